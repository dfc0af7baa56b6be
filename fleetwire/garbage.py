"""When Python searches for objects that hold only each other. A short command keeps what it makes until its end."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_NEW_OBJECTS: Final = 100_000
"""More than there are between two searches, of Python's 700, where thousands of frames are taken at once."""


@contextmanager
def no_collections() -> Iterator[None]:
    """None in here, as while importing, which leaves nothing to be found."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def rare_collections() -> Iterator[None]:
    """Few in here, and none at the end of the process, which gives back all that it holds anyway."""
    usual = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS, *usual[1:])
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
