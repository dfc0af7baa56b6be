"""Connections on which agents send batches, served without the objects that aiohttp makes for each request.

A request for batches that came plainly good is answered here. The first of any other kind, and all after it on its
connection, are aiohttp's. Requests of a connection are answered in their order, one at a time. The body of one whose
sender is not known is not read on until the database has said that there is one; else aiohttp refuses it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from email.utils import formatdate
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Final, Protocol, cast

from aiohttp import hdrs

from cloud.ingest.http_head import Head, read_head

PATIENCE_S: Final = 60.0
"""For the rest of a request. What is not there by then is aiohttp's, as is what comes too slowly."""
IDLE_S: Final = 75.0
LAST_ANSWERS_S: Final = 5.0
MOST_BYTES: Final = 1_500_000
"""Of a body; agents send less. Larger ones are aiohttp's."""
_LOOK_EVERY_S: Final = 5.0
_AHEAD_BYTES: Final = 262_144
_READ_BYTES: Final = 262_144

Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, fields beside the usual ones, body."""
Answering = Callable[[Head, bytes], Awaitable[Answer]]
Soon = Callable[[Head, bytes, Callable[[Answer | None], None]], bool]
"""Tells the answer when it is there. What says False, or tells None later, leaves the request to `Answering`."""
Protocols = Callable[[], asyncio.BaseProtocol]


class Senders(Protocol):
    """Who may send, by the Authorization field."""

    def knows(self, authorization: str | None) -> bool:
        """Whether it is known without asking; it may have been revoked since."""
        ...

    async def admits(self, authorization: str | None) -> bool:
        """Whether there is one; from then on it is known."""
        ...


class BatchConnections:
    """What a listener serves. Silent connections end, and all of them when serving ends, the busy ones last."""

    def __init__(self, answer: Answering, senders: Senders, soon: Soon | None = None, *, body_bytes: int) -> None:
        self.answer = answer
        self.senders = senders
        self.soon = soon or (lambda head, body, tell: False)
        self.body_bytes = min(body_bytes, MOST_BYTES)
        self.open: set[_Connection] = set()
        self.closing = False
        self.buffer = memoryview(bytearray(_READ_BYTES))
        """What any connection received is read into this, and taken out at once."""
        self._all_gone = asyncio.Event()

    @asynccontextmanager
    async def serving(self, others: Protocols) -> AsyncIterator[Protocols]:
        """Gives what makes connections, of which those with other requests become `others`."""
        looking = asyncio.create_task(self._look(), name="idle connections")
        try:
            yield partial(_Connection, self, others)
        finally:
            looking.cancel()
            await self._close()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            now_s = time.monotonic()
            for connection in list(self.open):
                connection.look(now_s)

    async def _close(self) -> None:
        self.closing = True
        for connection in list(self.open):
            connection.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_ANSWERS_S if self.open else 0):
                await self._all_gone.wait()
        for connection in list(self.open):
            connection.abort()

    def gone(self, connection: "_Connection") -> None:
        self.open.discard(connection)
        if self.closing and not self.open:
            self._all_gone.set()


class _Connection(asyncio.BufferedProtocol):
    # Not a Protocol, for each of whose reads the event loop has 256 KiB mapped and unmapped.

    def __init__(self, server: BatchConnections, others: Protocols) -> None:
        self._server = server
        self._others = others
        self._loop = asyncio.get_running_loop()
        self._arrived: bytes | bytearray = b""
        self._head: Head | None = None
        self._since_s = time.monotonic()
        self._may_write = True
        self._is_busy = False
        self._request: tuple[Head, bytes] | None = None  # the one that is being answered
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.gone(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._server.buffer[:nbytes])
        if not self._arrived:
            self._arrived = data
            self._since_s = time.monotonic()
        else:
            if isinstance(self._arrived, bytes):
                self._arrived = bytearray(self._arrived)
            self._arrived += data
        if not self._is_busy and self._may_write:
            self._begin()
        elif len(self._arrived) > _AHEAD_BYTES:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._go_on()

    def look(self, now_s: float) -> None:
        """Whether a request comes too slowly, or none for too long."""
        quiet_s = now_s - self._since_s
        if self._is_busy:
            return
        if self._arrived and quiet_s > PATIENCE_S and self._may_write:
            self._hand_over()
        elif quiet_s > IDLE_S:
            self._transport.abort()

    def end(self) -> None:
        """After the request that is being answered."""
        if not self._is_busy:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def _begin(self) -> None:
        """With the next request, once all of it is there."""
        head = self._head or read_head(self._arrived)
        if head is None or head.end - head.begin > self._server.body_bytes:
            self._hand_over()
        elif len(self._arrived) < head.end:
            if self._head is None and not self._server.senders.knows(head.authorization):
                self._transport.pause_reading()
                self._is_busy = True
                self._task = self._loop.create_task(self._ask(head), name="sender")
            self._head = head
        else:
            body = bytes(self._arrived[head.begin : head.end])
            self._arrived, self._head = self._arrived[head.end :], None
            self._is_busy, self._request = True, (head, body)
            if not self._server.soon(head, body, self._told):
                self._told(None)

    def _told(self, answer: Answer | None) -> None:
        if answer is not None:
            self._write(answer)
        elif self._request is not None:
            self._task = self._loop.create_task(self._serve(*self._request), name="batches")

    async def _ask(self, head: Head) -> None:
        """Read on if there is such a sender."""
        try:
            is_admitted = await self._server.senders.admits(head.authorization)
        except BaseException:
            self._transport.abort()
            raise
        finally:
            self._is_busy, self._task = False, None
        if self._server.closing:
            self._transport.close()
        elif self._transport.is_closing():
            return
        elif is_admitted:
            self._go_on()
        else:
            self._hand_over()

    async def _serve(self, head: Head, body: bytes) -> None:
        try:
            answer = await self._server.answer(head, body)
        except BaseException:
            self._transport.abort()
            raise
        self._write(answer)

    def _write(self, answer: Answer) -> None:
        status, fields, said = answer
        self._is_busy, self._request, self._task = False, None, None
        if self._transport.is_closing():
            return
        self._transport.write(_head_of_answer(status, fields, len(said), int(time.time())) + said)
        if self._server.closing:
            self._transport.close()
        else:
            self._since_s = time.monotonic()
            self._go_on()

    def _go_on(self) -> None:
        if self._arrived and not self._is_busy and self._may_write:
            self._transport.resume_reading()
            self._begin()

    def _hand_over(self) -> None:
        self._server.gone(self)
        other = cast(asyncio.Protocol, self._others())
        self._transport.set_protocol(other)
        self._transport.resume_reading()
        other.connection_made(self._transport)
        other.data_received(bytes(self._arrived))


def _head_of_answer(status: int, fields: list[tuple[str, str]], length: int, now_s: int) -> bytes:
    more = "".join(f"{name}: {value}\r\n" for name, value in fields) if fields else ""
    return f"HTTP/1.1 {_begin_of_head(status, now_s)}{more}{hdrs.CONTENT_LENGTH}: {length}\r\n\r\n".encode()


@lru_cache(maxsize=16)
def _begin_of_head(status: int, now_s: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}\r\n{hdrs.DATE}: {formatdate(now_s, usegmt=True)}\r\n"
