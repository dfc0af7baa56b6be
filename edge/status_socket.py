"""Ask a running agent how it is: a Unix socket beside the spool. Whoever connects gets one JSON object.

A socket and no file: a status written every second would wear out the card.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import structlog
from pydantic import ValidationError

from edge.errors import EdgeError
from edge.status import AgentStatus

PATIENCE_S: Final = 10.0
_MODE: Final = 0o660
_MOST_BYTES: Final = 2**20

log = structlog.get_logger(__name__)


class StatusError(EdgeError):
    """No agent tells its status there."""


def socket_of(spool: Path) -> Path:
    """Where the agent of this spool answers."""
    return spool.with_name(f"{spool.name}.sock")


@asynccontextmanager
async def serve_status(spool: Path, gather: Callable[[], Awaitable[AgentStatus]]) -> AsyncIterator[None]:
    """Answer as long as the block runs. The spool's owner is alone, so a socket that is there is a dead one's.

    Where there can be no socket, as on a FAT card, it is said and the agent runs without.
    """

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write((await gather()).model_dump_json().encode())
            await asyncio.wait_for(writer.drain(), PATIENCE_S)
        except (ConnectionError, TimeoutError):
            pass  # who asked did not wait
        finally:
            writer.close()

    path = socket_of(spool)
    try:
        path.unlink(missing_ok=True)
        with _short(path) as address:
            server = await asyncio.start_unix_server(answer, address)
        path.chmod(_MODE)
    except OSError as error:
        log.warning("status_not_served", path=str(path), error=str(error))
        yield
        return
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def ask_status(spool: Path) -> AgentStatus:
    """Raises StatusError."""
    path = socket_of(spool)
    try:
        async with asyncio.timeout(PATIENCE_S):
            with _short(path) as address:
                reader, writer = await asyncio.open_unix_connection(address)
            try:
                text = await reader.read(_MOST_BYTES)
                while more := await reader.read(_MOST_BYTES):
                    text += more
            finally:
                writer.close()
        return AgentStatus.model_validate_json(text)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise StatusError(
            f"no agent runs with the spool {spool}: 'systemctl status fleetwire-edge' may say why"
        ) from error
    except PermissionError as error:
        raise StatusError(
            f"{path}: only the agent's user may ask: sudo -u fleetwire fleetwire edge status …"
        ) from error
    except (OSError, TimeoutError) as error:
        raise StatusError(f"the agent at {path} does not answer: {error or 'no answer in time'}") from error
    except ValidationError as error:
        raise StatusError(f"the agent at {path} is of another version: restart it") from error


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for `path` that fits into the 108 bytes of a socket's address."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
