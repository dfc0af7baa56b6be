"""Ask a running agent how it is: a Unix socket beside the spool. Whoever connects gets one JSON object.

A socket and no file: a status written every second would wear out the card.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog
from pydantic import ValidationError

from edge.errors import EdgeError
from edge.service.status import AgentStatus
from edge.service.unix_socket import PATIENCE_S, serve, short_name

_MOST_BYTES: Final = 2**20

log = structlog.get_logger(__name__)


class StatusError(EdgeError):
    """No agent tells its status there."""


def socket_of(spool: Path) -> Path:
    """Where the agent of this spool answers."""
    return spool.with_name(f"{spool.name}.sock")


@asynccontextmanager
async def serve_status(spool: Path, gather: Callable[[], Awaitable[AgentStatus]]) -> AsyncIterator[None]:
    """Answer as long as the block runs."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write((await gather()).model_dump_json().encode())

    async with serve(socket_of(spool), answer):
        yield


async def ask_status(spool: Path) -> AgentStatus:
    """Raises StatusError."""
    path = socket_of(spool)
    try:
        async with asyncio.timeout(PATIENCE_S):
            with short_name(path) as address:
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
