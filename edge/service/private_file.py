"""Files that appear whole or not at all, also when power fails."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path, *, mode: int) -> Iterator[IO[str]]:
    """A new file beside `path`, which takes its place when the block ends well. Raises OSError.

    Written by root it belongs to whom the old file, else the folder, belongs to: often the agent's own user.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            if os.geteuid() == 0:
                model = path.stat() if path.exists() else path.parent.stat()
                os.fchown(file.fileno(), model.st_uid, model.st_gid)
            yield file
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        _sync_folder(path.parent)
    finally:
        fresh.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
