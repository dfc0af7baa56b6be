"""A TCP proxy that hurts what goes through it: cut, reset, black hole, half-open, slow, duplicate. Seeded."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from random import Random
from typing import Final
from urllib.parse import urlsplit

SLOW_BYTES: Final = 200
SLOW_S: Final = 0.05
_PIECE: Final = 16_384
_LINGER_NONE: Final = struct.pack("ii", 1, 0)


class Harm(Enum):
    """What is done to the connections that are there and to those that come."""

    NONE = "none"
    CUT = "cut"
    """Closed in order, in the middle of whatever passes."""
    RESET = "reset"
    """The same with RST instead of FIN."""
    BLACK_HOLE = "black hole"
    """Taken, and nothing passes in either direction."""
    HALF_OPEN = "half-open"
    """Requests pass, replies do not; nobody closes."""
    SLOW = "slow"
    """4,000 bytes a second."""
    DUPLICATE = "duplicate"
    """What a vehicle sends goes to ingest twice, over two connections; the second answer goes nowhere."""


class Proxy:
    """Between the vehicles and ingest. `harm` may be set at any time."""

    def __init__(self, target: str, dice: Random) -> None:
        parts = urlsplit(target)
        assert parts.hostname
        assert parts.port
        self.harm = Harm.NONE
        self.url = ""
        self._target = (parts.hostname, parts.port)
        self._dice = dice
        self._pairs: set[_Pair] = set()

    async def hurt(self, harm: Harm) -> None:
        """From now on. CUT and RESET strike what is there, and let pass what comes; a duplicate needs a beginning."""
        self.harm = harm
        if harm in {Harm.CUT, Harm.RESET, Harm.DUPLICATE}:
            for pair in list(self._pairs):
                pair.abort(reset=harm is Harm.RESET)

    async def heal(self) -> None:
        """What was swallowed is gone: those connections end, as they do when a line comes back elsewhere."""
        if self.harm in {Harm.BLACK_HOLE, Harm.HALF_OPEN}:
            for pair in list(self._pairs):
                pair.abort(reset=False)
        self.harm = Harm.NONE

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a vehicle, to its end."""
        try:
            upstream = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        pair = _Pair((reader, writer), upstream)
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._up(pair), name="up")
                tasks.create_task(self._down(pair), name="down")
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._pairs.discard(pair)
            pair.abort(reset=False)

    async def _up(self, pair: "_Pair") -> None:
        copy: asyncio.StreamWriter | None = None
        try:
            while piece := await pair.vehicle[0].read(_PIECE):
                if self.harm is Harm.BLACK_HOLE:
                    continue
                if self.harm is Harm.DUPLICATE:
                    copy = copy or await self._second(pair)
                    copy.write(piece)
                elif copy is not None:
                    copy.close()
                    copy = None
                await self._pass(piece, pair.ingest[1])
        finally:
            if copy is not None:
                copy.close()
            pair.ingest[1].close()

    async def _down(self, pair: "_Pair") -> None:
        try:
            while piece := await pair.ingest[0].read(_PIECE):
                if self.harm not in {Harm.BLACK_HOLE, Harm.HALF_OPEN}:
                    await self._pass(piece, pair.vehicle[1])
        finally:
            pair.vehicle[1].close()

    async def _pass(self, piece: bytes, out: asyncio.StreamWriter) -> None:
        if self.harm is not Harm.SLOW:
            out.write(piece)
            await out.drain()
            return
        for begin in range(0, len(piece), SLOW_BYTES):
            out.write(piece[begin : begin + SLOW_BYTES])
            await out.drain()
            await asyncio.sleep(SLOW_S * self._dice.uniform(0.5, 1.5))

    async def _second(self, pair: "_Pair") -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection(*self._target)
        pair.others.append(writer)
        pair.reading.append(asyncio.create_task(_discard(reader), name="discard"))
        return writer


class _Pair:
    """A vehicle's connection and ours to ingest, and those that came beside it."""

    def __init__(
        self,
        vehicle: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        ingest: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.vehicle = vehicle
        self.ingest = ingest
        self.others: list[asyncio.StreamWriter] = []
        self.reading: list[asyncio.Task[None]] = []

    def abort(self, *, reset: bool) -> None:
        """Both ends, now."""
        for writer in (self.vehicle[1], self.ingest[1], *self.others):
            line = writer.get_extra_info("socket")
            if reset and line is not None:
                with suppress(OSError):
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
            writer.transport.abort()
        for task in self.reading:
            task.cancel()


@asynccontextmanager
async def proxying(target: str, dice: Random) -> AsyncIterator[Proxy]:
    """Listens on a free port of loopback as `Proxy.url`; afterwards nothing of it is left."""
    proxy = Proxy(target, dice)
    connections: set[asyncio.Task[None]] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await proxy.take(reader, writer)
        except asyncio.CancelledError:
            return  # asyncio's server complains of a cancelled connection
        finally:
            connections.discard(task)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _discard(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while await reader.read(_PIECE):
            pass
