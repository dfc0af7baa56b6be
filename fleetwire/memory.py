"""Memory of a command that ends soon: it need not search for what nobody holds, nor give back what it takes again."""

import atexit
import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_NEW_OBJECTS: Final = 100_000
"""More than there are between two searches, of Python's 700, where thousands of frames are taken at once."""

_MOST_KEPT_BYTES: Final = 1 << 28
_LARGEST_KEPT_BYTES: Final = 1 << 25
"""The most that glibc takes for this."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


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


def keep_freed_blocks() -> None:
    """Take large blocks from what was freed, not each from the system, page by page. Does nothing without glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # musl, macOS
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT_BYTES)
