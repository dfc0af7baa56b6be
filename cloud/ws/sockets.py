"""`GET /v1/live`: a reader and a sender for each browser."""

import asyncio
import contextlib
import importlib.metadata
import time
from collections import deque
from socket import IPPROTO_TCP, TCP_NOTSENT_LOWAT

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from cloud.access.auth import PRINCIPAL, authenticate, check_origin
from cloud.database import UNAVAILABLE, Pool
from cloud.problem import Problem
from cloud.ws.feed import Feed
from cloud.ws.hub import Client, Hub
from cloud.ws.messages import PONG, error_message, hello_message
from cloud.ws.requests import Ping, RequestError, Subscribe, Unsubscribe, parse_request

PATH = "/v1/live"
MAX_MESSAGE_BYTES = 256_000
MAX_REPLIES = 32
SLOW_AFTER_S = 30.0
HEARTBEAT_S = 20.0  # a ping after 20 s of silence, and 10 s to answer it
RECHECK_S = 60.0
UNSENT_BYTES = 1 << 16
"""What the kernel may hold that the network has not taken yet."""

_VERSION = importlib.metadata.version("fleetwire")
_log = structlog.get_logger()


class Sockets:
    """The open sockets. A client that takes nothing for `slow_after_s` is closed."""

    def __init__(self, hub: Hub, feed: Feed, db: Pool, *, slow_after_s: float = SLOW_AFTER_S) -> None:
        self._hub = hub
        self._feed = feed
        self._db = db
        self._slow_after_s = slow_after_s
        self._open: set[web.WebSocketResponse] = set()

    @property
    def count(self) -> int:
        return len(self._open)

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        check_origin(request.headers)
        # Not compressed: that would be done for each client again, while the text of a vehicle is shared.
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, max_msg_size=MAX_MESSAGE_BYTES, compress=False, writer_limit=0
        )
        await socket.prepare(request)
        _keep_little_unsent(request.transport)
        conversation = _Conversation(self._hub, self._feed, socket, request, slow_after_s=self._slow_after_s)
        self._open.add(socket)
        try:
            async with asyncio.TaskGroup() as tasks:
                checks = tasks.create_task(self._recheck(request, socket), name="live-recheck")
                await conversation.run()
                checks.cancel()
        finally:
            self._open.discard(socket)
        return socket

    async def close(self) -> None:
        """Tells every client that the server goes; they come back by themselves."""
        closing = (socket.close(code=WSCloseCode.GOING_AWAY, message=b"server stops") for socket in set(self._open))
        await asyncio.gather(*closing)

    async def _recheck(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        """A socket ends soon after the session or token that opened it."""
        while True:
            await asyncio.sleep(RECHECK_S)
            try:
                await authenticate(self._db, request.headers, request.cookies)
            except Problem:
                await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"sign in again")
            except UNAVAILABLE:
                continue


class _Conversation:
    def __init__(
        self, hub: Hub, feed: Feed, socket: web.WebSocketResponse, request: web.Request, *, slow_after_s: float
    ) -> None:
        self._hub = hub
        self._feed = feed
        self._socket = socket
        self._transport = request.transport
        self._slow_after_s = slow_after_s
        self._wake = asyncio.Event()
        self._client = Client(request[PRINCIPAL].fleet_id, self._wake.set)
        self._replies: deque[str] = deque()
        self._room = asyncio.Event()
        self._delivering = False
        self._delivered = 0

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                works = [tasks.create_task(work) for work in (self._read(), self._send(), self._be_patient())]
                await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
                for work in works:
                    work.cancel()
        finally:
            self._hub.leave(self._client)

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                await self._follow(message.data)
            elif message.type is WSMsgType.BINARY:
                await self._reply(error_message("Not understood", "send JSON as text"))

    async def _follow(self, text: str) -> None:
        try:
            match parse_request(text):
                case Subscribe() as request:
                    await self._look_for(request.of_vehicles or frozenset())
                    self._hub.subscribe(self._client, request)
                case Unsubscribe(id=subscription_id):
                    self._hub.unsubscribe(self._client, subscription_id)
                case Ping():
                    await self._reply(PONG)
        except RequestError as error:
            await self._reply(error_message("Not understood", error.detail, error.id))

    async def _look_for(self, vehicles: frozenset[str]) -> None:
        """A vehicle may have been registered a moment ago."""
        if self._hub.unknown(self._client.fleet_id, vehicles):
            with contextlib.suppress(TimeoutError):
                await self._feed.reload()

    async def _reply(self, message: str) -> None:
        """Waits while the client does not take what it has asked for, and so reads no more of it."""
        while len(self._replies) >= MAX_REPLIES:
            self._room.clear()
            await self._room.wait()
        self._replies.append(message)
        self._wake.set()

    async def _send(self) -> None:
        try:
            await self._deliver(hello_message(time.time_ns() // 1_000_000, _VERSION))
            while True:
                self._wake.clear()
                messages = self._take_replies() or self._hub.collect(self._client, _monotonic_ms())
                for message in messages:
                    await self._deliver(message)
                if not messages:
                    await self._pause(self._hub.wait_ms(self._client, _monotonic_ms()))
        except ConnectionError:
            return  # the socket closed under the message

    def _take_replies(self) -> list[str]:
        replies = list(self._replies)
        self._replies.clear()
        self._room.set()
        return replies

    async def _deliver(self, message: str) -> None:
        """Waits until the client has taken it."""
        self._delivering = True
        await self._socket.send_str(message)
        self._delivering = False
        self._delivered += 1

    async def _be_patient(self) -> None:
        """Until the client has taken nothing of a message for `slow_after_s`; slowly it may."""
        taken, since_s = (0, 0), time.monotonic()
        while True:
            # A look now and then, and not a timeout for each message, of which there are thousands a second.
            await asyncio.sleep(self._slow_after_s / 4)
            now = (self._delivered, 0 if self._transport is None else self._transport.get_write_buffer_size())
            if now != taken or not self._delivering:
                taken, since_s = now, time.monotonic()
            elif time.monotonic() - since_s >= self._slow_after_s:
                break
        _log.info("live_client_too_slow")
        # Not a close, which would wait behind everything that the client has not read.
        if self._transport is not None:
            self._transport.abort()

    async def _pause(self, wait_ms: float | None) -> None:
        # A timer that wakes, and not a timeout, which is a cancellation each time that it is over: thousands a second.
        timer = None if wait_ms is None else asyncio.get_running_loop().call_later(wait_ms / 1000, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()


def _keep_little_unsent(transport: asyncio.Transport | None) -> None:
    """Whoever reads slowly waits in the hub, where a newer value replaces the older one, and not in buffers.

    The kernel would take megabytes for a socket that is never read from: writing for it would go on for minutes, to the
    harm of those who do read.
    """
    if transport is None:
        return
    transport.set_write_buffer_limits(high=0)
    if (raw := transport.get_extra_info("socket")) is not None:
        raw.setsockopt(IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def _monotonic_ms() -> float:
    return time.monotonic() * 1000
