"""A browser that follows the fleet while something is measured."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from bench.stack import Stack


@asynccontextmanager
async def browser(stack: Stack, vehicle: str) -> AsyncIterator[None]:
    """A socket that follows the whole fleet, as the map does, and the signals of one `vehicle`."""
    headers = {"Authorization": f"Bearer {stack.admin_token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(f"{stack.web_url}/v1/live", max_msg_size=0) as socket,
    ):
        await socket.send_json({"op": "subscribe", "id": 1, "vehicles": ["*"], "signals": []})
        await socket.send_json({"op": "subscribe", "id": 2, "vehicles": [vehicle], "signals": ["*"]})
        reading = asyncio.create_task(_read_all(socket), name="browser")
        yield
        reading.cancel()


async def _read_all(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for message in socket:
        assert b'"op":"error"' not in message.data.encode()
