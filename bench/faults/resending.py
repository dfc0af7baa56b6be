"""Transports that carry requests more often, later and in another order than the uplink sent them."""

import asyncio
from random import Random
from typing import Final

from edge.ways.transport import Answer, Transport

TIMES: Final = 10
REMEMBERED: Final = 30


class Replaying:
    """Sends every request ten times, some of them at once; the uplink hears the last answer."""

    def __init__(self, transport: Transport, dice: Random) -> None:
        self._transport = transport
        self._dice = dice

    async def send(self, body: bytes, *, timeout_s: float | None = None) -> Answer:
        at_once = self._dice.randint(1, TIMES - 1)
        await asyncio.gather(*(self._transport.send(body, timeout_s=timeout_s) for _ in range(at_once)))
        for _ in range(TIMES - at_once - 1):
            await self._transport.send(body, timeout_s=timeout_s)
        return await self._transport.send(body, timeout_s=timeout_s)

    async def send_catalog(self, name: str, body: bytes) -> Answer:
        return await self._transport.send_catalog(name, body)


class Shuffling:
    """Loses half of the requests at first, and sends any of the last thirty again at any time."""

    def __init__(self, transport: Transport, dice: Random) -> None:
        self._transport = transport
        self._dice = dice
        self._known: list[bytes] = []

    async def send(self, body: bytes, *, timeout_s: float | None = None) -> Answer:
        self._known = [*self._known[1 - REMEMBERED :], body]
        for old in self._dice.sample(self._known, k=min(2, len(self._known))):
            if old is not body:
                await self._transport.send(old, timeout_s=timeout_s)
        if self._dice.random() < 0.5:
            return Answer(problem="it will arrive later")
        return await self._transport.send(body, timeout_s=timeout_s)

    async def send_catalog(self, name: str, body: bytes) -> Answer:
        return await self._transport.send_catalog(name, body)
