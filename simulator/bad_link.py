"""A TCP proxy that does to connections what networks do: cuts, silence, half-open lines, crawling, resets, repeats.

What it does is the `condition`, which may change at any time, also in the middle of a request. A connection that has
lost a byte stays silent for ever, as one that a router has forgotten.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

_AT_ONCE: Final = 65_536
_STEPS_PER_S: Final = 1
_AT_ONCE_AND_HARD: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Condition:
    """What becomes of connections, old and new, while it lasts."""

    refuses: bool = False
    """Every connection is reset, and no new one is taken."""
    swallows_requests: bool = False
    swallows_replies: bool = False
    bytes_per_s: float | None = None
    """In each direction and for each connection; None is as fast as it goes."""
    resets_after: int | None = None
    """A connection is reset when so many bytes of requests went through."""
    doubles: bool = False
    """What a client sends is sent to the server a second time, over a connection of its own."""


GOOD: Final = Condition()
CUT: Final = Condition(refuses=True)
BLACK_HOLE: Final = Condition(swallows_requests=True, swallows_replies=True)
HALF_OPEN: Final = Condition(swallows_replies=True)
"""The server hears the client, the client nothing."""
DOUBLED: Final = Condition(doubles=True)


class BadLink:
    """The proxy between any number of clients and one server."""

    def __init__(self, host: str, port: int) -> None:
        """`host` and `port` are the server's. Use `bad_link`."""
        self.taken = 0
        """Connections so far."""
        self.swallowed_bytes = 0
        self._far = (host, port)
        self._condition = GOOD
        self._open: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def condition(self) -> Condition:
        """What it does now."""
        return self._condition

    @condition.setter
    def condition(self, condition: Condition) -> None:
        self._condition = condition
        if condition.refuses:
            self.end_all(reset=True)

    def end_all(self, *, reset: bool) -> None:
        """End the connections that are there, in the middle of whatever passes; the ends hear a reset or an end."""
        for writer in self._open:
            if reset:
                _reset(writer)
            else:
                writer.transport.abort()
        self._open.clear()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A client's connection, which may be refused."""
        task = asyncio.get_running_loop().create_task(self._take(reader, writer), name="bad link")
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def close(self) -> None:
        """End every connection."""
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._condition.refuses:
                _reset(writer)
            else:
                self.taken += 1
                await self._carry(reader, writer)
        except (OSError, EOFError):
            _reset(writer)
        finally:
            self._open.discard(writer)
            await _close(writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._far)
        second = await asyncio.open_connection(*self._far) if self._condition.doubles else None
        line = _Line(self, writer)
        self._open |= {writer, far_writer}
        try:
            async with asyncio.TaskGroup() as tasks:
                there = tasks.create_task(line.requests(reader, far_writer, second and second[1]), name="requests")
                back = tasks.create_task(line.replies(far_reader, writer), name="replies")
                if second is not None:
                    tasks.create_task(_drain(second[0]), name="second replies")
                await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
                raise _Ended
        except* (_Ended, OSError):
            pass
        finally:
            self._open.discard(far_writer)
            for end in (far_writer, *([second[1]] if second is not None else [])):
                await _close(end)


class _Ended(Exception):
    """One side has closed: the other is closed too."""


class _Line:
    """One connection: what went through, and whether it lost something."""

    def __init__(self, link: BadLink, client: asyncio.StreamWriter) -> None:
        self._link = link
        self._client = client
        self._sent = 0
        self._is_dead = False

    async def requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, second: asyncio.StreamWriter | None
    ) -> None:
        async for part in self._parts(reader):
            condition = self._link.condition
            self._is_dead |= condition.swallows_requests
            if self._is_dead:
                self._link.swallowed_bytes += len(part)
                continue
            if condition.resets_after is not None and self._sent + len(part) > condition.resets_after:
                writer.write(part[: max(condition.resets_after - self._sent, 0)])
                _reset(self._client)
                return
            self._sent += len(part)
            for end in (writer, *([second] if second is not None else [])):
                end.write(part)
                await end.drain()

    async def replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for part in self._parts(reader):
            self._is_dead |= self._link.condition.swallows_replies
            if self._is_dead:
                self._link.swallowed_bytes += len(part)
            else:
                writer.write(part)
                await writer.drain()
        if self._is_dead or self._link.condition.swallows_replies:
            await asyncio.Event().wait()  # the end is as little heard as anything else; the client gives up by itself

    async def _parts(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """What arrives, in pieces and at the pace that the condition allows."""
        while data := await reader.read(_AT_ONCE):
            while data:
                rate = self._link.condition.bytes_per_s
                size = len(data) if rate is None else max(int(rate / _STEPS_PER_S), 1)
                part, data = data[:size], data[size:]
                if rate is not None:
                    await asyncio.sleep(len(part) / rate)
                yield part


@asynccontextmanager
async def bad_link(host: str, port: int) -> AsyncIterator[tuple[BadLink, int]]:
    """A good link to the server at first; gives it and the port where it is reached on this machine."""
    link = BadLink(host, port)
    server = await asyncio.start_server(link.accept, "127.0.0.1", 0)
    try:
        yield link, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await link.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """The other end hears a reset, not a proper end."""
    line = writer.get_extra_info("socket")
    with suppress(OSError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE_AND_HARD)
    writer.transport.abort()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _drain(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while await reader.read(_AT_ONCE):
            pass
