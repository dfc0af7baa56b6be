"""Unix sockets beside the spool: whoever connects gets something from the running agent."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import structlog

PATIENCE_S: Final = 10.0
_MODE: Final = 0o660

log = structlog.get_logger(__name__)


@asynccontextmanager
async def serve(path: Path, answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[None]:
    """Answer as long as the block runs. The spool's owner is alone, so a socket that is there is a dead one's.

    Where there can be no socket, as on a FAT card, it is said and the agent runs without.
    """

    async def give(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(writer)
            await asyncio.wait_for(writer.drain(), PATIENCE_S)
        except (ConnectionError, TimeoutError):
            pass  # who asked did not wait
        finally:
            writer.close()

    try:
        path.unlink(missing_ok=True)
        with short_name(path) as address:
            server = await asyncio.start_unix_server(give, address)
        path.chmod(_MODE)
    except OSError as error:
        log.warning("socket_not_served", path=str(path), error=str(error))
        yield
        return
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


@contextmanager
def short_name(path: Path) -> Iterator[str]:
    """A name for `path` that fits into the 108 bytes of a socket's address."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
