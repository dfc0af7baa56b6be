"""The black box on demand: a Unix socket beside the spool. Whoever connects gets the ring's frames as a candump log.

Whoever asks writes them where there is room; the agent writes nothing. The log ends with a comment that says how many
frames it has, so that one that was cut is known.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from edge.campaigns.frame_ring import FrameRing
from edge.errors import EdgeError
from edge.service.unix_socket import PATIENCE_S, serve, short_name
from wire.candump import candump_line

_CHUNK: Final = 2**16
_LAST_LINE: Final = "# frames: "


class BlackboxError(EdgeError):
    """There is no black box to be read."""


def socket_of(spool: Path) -> Path:
    """Where the agent of this spool gives its black box."""
    return spool.with_name(f"{spool.name}.blackbox.sock")


@asynccontextmanager
async def serve_blackbox(
    spool: Path, ring: FrameRing | None, shift_ms: Callable[[], int] = lambda: 0
) -> AsyncIterator[None]:
    """Answer as long as the block runs; not at all without a ring. `shift_ms` makes times true."""
    if ring is None:
        yield
        return

    async def answer(writer: asyncio.StreamWriter) -> None:
        count, shift_us = 0, shift_ms() * 1000
        for frames in ring:
            count += len(frames)
            lines = (
                candump_line((t_ns or 0) // 1000 + shift_us, channel, number, data, is_extended=is_extended)
                for t_ns, channel, number, is_extended, data in frames
            )
            writer.write("".join(lines).encode())
            await asyncio.wait_for(writer.drain(), PATIENCE_S)
        writer.write(f"{_LAST_LINE}{count}\n".encode())

    async with serve(socket_of(spool), answer):
        yield


async def read_blackbox(spool: Path, write: Callable[[bytes], object]) -> int:
    """Hand the log to `write`, piece by piece; returns the number of frames. Raises BlackboxError."""
    path = socket_of(spool)
    tail = b""
    try:
        with short_name(path) as address:
            reader, writer = await asyncio.open_unix_connection(address)
        try:
            while chunk := await asyncio.wait_for(reader.read(_CHUNK), PATIENCE_S):
                write(chunk)
                tail = (tail + chunk)[-_CHUNK:]
        finally:
            writer.close()
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise BlackboxError(
            f"no agent with a black box runs with the spool {spool}: does one run, with [blackbox] max_bytes above 0?"
        ) from error
    except PermissionError as error:
        raise BlackboxError(f"{path}: only the agent's user may ask: sudo -u fleetwire fleetwire edge …") from error
    except (ConnectionError, TimeoutError) as error:
        raise BlackboxError(f"the agent at {path} does not answer: {error or 'no answer in time'}") from error
    last = tail.rstrip(b"\n").rpartition(b"\n")[2].decode()
    if not last.startswith(_LAST_LINE):
        raise BlackboxError(f"the agent at {path} ended before it had given all: ask again when it runs")
    return int(last.removeprefix(_LAST_LINE))
