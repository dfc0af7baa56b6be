"""A file that only takes room, to be given up when the disk is full: SQLite needs room even to delete."""

import os
from contextlib import suppress
from pathlib import Path


class Reserve:
    """`size` bytes at `path`; of no size there is none, and it is always kept."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self.size = size
        self.is_kept = size == 0
        self.keep()

    def keep(self) -> None:
        """Take the room, where there is so much."""
        if self.is_kept:
            return
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(handle, 0, self.size)
            finally:
                os.close(handle)
        except OSError:
            self._remove()
            return
        self.is_kept = True

    def give_up(self) -> None:
        """Let others have the room."""
        if self.size:
            self._remove()
            self.is_kept = False

    def _remove(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
