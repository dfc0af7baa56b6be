"""`GET /v1/live`: a reader and a sender for each browser."""

import asyncio
import contextlib
import importlib.metadata
import time
from collections import deque
from collections.abc import Awaitable
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
LOOKS = 12
"""At a client in that time; after `PING_AFTER` of them one that says nothing is pinged."""
PING_AFTER = 8
GOODBYE_S = 2.0
RECHECK_S = 60.0
UNSENT_BYTES = 1 << 16
"""What the kernel may hold that the network has not taken yet."""

_VERSION = importlib.metadata.version("fleetwire")
_log = structlog.get_logger()


class Sockets:
    """The open sockets. A client that takes nothing, or answers no ping, for `slow_after_s` is closed."""

    def __init__(self, hub: Hub, feed: Feed, db: Pool, *, slow_after_s: float = SLOW_AFTER_S) -> None:
        self._hub = hub
        self._feed = feed
        self._db = db
        self._slow_after_s = slow_after_s
        self._open: dict[web.WebSocketResponse, asyncio.Transport | None] = {}

    @property
    def count(self) -> int:
        return len(self._open)

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        check_origin(request.headers)
        # Not compressed: that would be done for each client again, while the text of a vehicle is shared. Pings are
        # ours: aiohttp's would end a client whose answer has to wait until it has taken a large snapshot.
        socket = web.WebSocketResponse(
            autoping=False, max_msg_size=MAX_MESSAGE_BYTES, compress=False, writer_limit=0, timeout=GOODBYE_S
        )
        await socket.prepare(request)
        _keep_little_unsent(request.transport)
        conversation = _Conversation(self._hub, self._feed, socket, request, slow_after_s=self._slow_after_s)
        self._open[socket] = request.transport
        try:
            async with asyncio.TaskGroup() as tasks:
                checks = tasks.create_task(self._recheck(request, socket), name="live-recheck")
                await conversation.run()
                checks.cancel()
        finally:
            del self._open[socket]
        return socket

    async def close(self) -> None:
        """Tells every client that the server goes; they come back by themselves."""
        closing = [socket.close(code=WSCloseCode.GOING_AWAY, message=b"server stops") for socket in self._open]
        transports = list(self._open.values())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await asyncio.gather(*closing, return_exceptions=True)
        for transport in transports:  # a goodbye waits behind all that a client has not read
            if transport is not None:
                transport.abort()

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
        self._heard_s = time.monotonic()
        self._ping_due = False

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                works = [tasks.create_task(work) for work in (self._read(), self._send(), self._be_patient())]
                await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
                for work in works:
                    work.cancel()
        finally:
            self._hub.leave(self._client)
            if self._transport is not None and self._unsent():
                # What it has not read would keep the connection open for as long as it lives.
                asyncio.get_running_loop().call_later(self._slow_after_s, self._transport.abort)

    async def _read(self) -> None:
        async for message in self._socket:
            self._heard_s = time.monotonic()
            if message.type is WSMsgType.TEXT:
                await self._follow(message.data)
            elif message.type is WSMsgType.BINARY:
                await self._reply(error_message("Not understood", "send JSON as text"))
            elif message.type is WSMsgType.PING:
                with contextlib.suppress(ConnectionError):  # the loop sees that it is closed
                    await self._socket.pong(message.data)

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
            await self._deliver(self._socket.send_str(hello_message(time.time_ns() // 1_000_000, _VERSION)))
            while True:
                self._wake.clear()
                if self._ping_due:
                    self._ping_due = False
                    await self._deliver(self._socket.ping())
                messages = self._take_replies() or self._hub.collect(self._client, _monotonic_ms())
                for message in messages:
                    await self._deliver(self._socket.send_str(message))
                if not messages:
                    await self._pause(self._hub.wait_ms(self._client, _monotonic_ms()))
        except ConnectionError:
            return  # the socket closed under the message

    def _take_replies(self) -> list[str]:
        replies = list(self._replies)
        self._replies.clear()
        self._room.set()
        return replies

    async def _deliver(self, sending: Awaitable[None]) -> None:
        """Waits until the client has taken it."""
        self._delivering = True
        await sending
        self._delivering = False
        self._delivered += 1

    async def _be_patient(self) -> None:
        """Until the client has, for `slow_after_s`, taken nothing of what it is sent, or else said nothing.

        A look now and then, and not a timeout for each message, of which there are thousands a second.
        """
        looked, alive_s, look_s = (0, 0), time.monotonic(), self._slow_after_s / LOOKS
        while (quiet_s := time.monotonic() - alive_s) < self._slow_after_s:
            await asyncio.sleep(look_s)
            unsent = self._unsent()
            if self._delivering or unsent:
                if (self._delivered, unsent) != looked:
                    alive_s = time.monotonic()
            elif self._heard_s > alive_s:
                alive_s = self._heard_s
            elif quiet_s >= PING_AFTER * look_s:
                self._ping_due = True
                self._wake.set()
            looked = (self._delivered, unsent)
        _log.info("live_client_too_slow")
        # Not a close, which would wait behind everything that the client has not read.
        if self._transport is not None:
            self._transport.abort()

    def _unsent(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

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
