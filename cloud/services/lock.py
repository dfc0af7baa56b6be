"""A lock between processes, held as a file; the kernel gives it back when its holder dies."""

import asyncio
import contextlib
import fcntl
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

_POLL_S = 0.05
_TELL_AFTER_ATTEMPTS = 40


@contextlib.asynccontextmanager
async def file_lock(path: Path, *, waiting: str, say: Callable[[str], None]) -> AsyncIterator[None]:
    """Holds the lock; says `waiting` when that takes more than two seconds."""
    with path.open("w") as lock:
        for attempt in itertools.count():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == _TELL_AFTER_ATTEMPTS:
                    say(waiting)
                await asyncio.sleep(_POLL_S)
        yield
