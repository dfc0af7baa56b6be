"""A small disk that may be filled to the last byte: a tmpfs in a mount namespace of its own, without being root."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from simulator.errors import SimulatorError

_READY: Final = b"ready"
_PATIENCE_S: Final = 5.0
_AT_ONCE: Final = 65_536


class NoSmallDiskError(SimulatorError):
    """This computer does not let us have one."""


@dataclass(frozen=True, slots=True)
class Disk:
    """Where the agent's spool lies: any folder, or a disk that only processes begun with `enter` see there."""

    folder: Path
    enter: Sequence[str] = ()
    from_outside: Path | None = None
    """The same folder, for whoever did not enter; None where it is no disk of its own."""


@asynccontextmanager
async def small_disk(folder: Path, size_bytes: int) -> AsyncIterator[Disk]:
    """A disk on `folder`, gone afterwards. Raises NoSmallDiskError with the reason."""
    script = f'mount -t tmpfs -o size={size_bytes} tmpfs "$0" && echo {_READY.decode()} && exec cat'
    try:
        holder = await asyncio.create_subprocess_exec(
            *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, str(folder)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except FileNotFoundError as error:
        raise NoSmallDiskError("'unshare' is not installed (package util-linux)") from error
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        said = (await holder.stdout.readline()).strip()
        if said != _READY:
            raise NoSmallDiskError(f"user namespaces are not allowed here: {said.decode(errors='replace')}")
        enter = ("nsenter", f"--target={holder.pid}", "--user", "--mount", "--preserve-credentials")
        yield Disk(folder, enter, Path(f"/proc/{holder.pid}/root") / folder.relative_to("/"))
    finally:
        holder.stdin.close()  # the holder reads it, and ends with it, also when we are killed
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await holder.wait()


def fill(filler: Path) -> None:
    """Write into the file until not a byte is left."""
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        for size in (_AT_ONCE, 512, 1):
            with suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
