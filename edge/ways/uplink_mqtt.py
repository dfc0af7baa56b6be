"""The uplink's transport over MQTT 5. The only file of the agent that knows paho.

A request counts as answered by the reply that carries its correlation data, and by nothing else: the broker's own
acknowledgement says only that the broker has it. A connection that went wrong is not repaired; the next request, whose
time the uplink's pacing knows, makes a new one.
"""

import asyncio
import json
import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from socket import SHUT_RDWR, socket
from ssl import SSLContext
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.errors import UplinkError
from edge.ways.transport import REQUEST_TIMEOUT_S, Answer

PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
QOS: Final = 1
KEEPALIVE_S: Final = 30
CONNECT_TIMEOUT_S: Final = 15.0
CLOSE_S: Final = 1.0

_NO_MATCHING_SUBSCRIBERS: Final = 0x10
_BAD_CREDENTIAL: Final = frozenset((0x86, 0x87, 0x8C))  # bad user name or password, not authorized, bad method
_BANNED: Final = 0x8A


@dataclass(frozen=True, slots=True)
class Broker:
    """Where it listens; with `tls` where it does so in secret."""

    host: str
    port: int
    tls: SSLContext | None = None

    @classmethod
    def at(cls, url: str, tls: SSLContext | None) -> Self:
        """Of `mqtt://host` or `mqtts://host:8883`; `tls` counts for the latter."""
        parts = urlsplit(url)
        return cls(parts.hostname or "", parts.port or PORTS[parts.scheme], tls if parts.scheme == "mqtts" else None)


class MqttTransport:
    """One vehicle's connection to the broker, made when there is something to send."""

    def __init__(
        self,
        broker: Broker,
        *,
        vehicle: str,
        token: Callable[[], str],
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        """`token` is asked at each request; a new one makes a new connection. It may raise UplinkError."""
        self.client_id = f"{vehicle}-{secrets.token_hex(4)}"
        """Each agent's own, so that two with one identity do not put each other out."""
        self._broker = broker
        self._vehicle = vehicle
        self._token = token
        self._timeout_s = timeout_s
        self._link: _Link | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def send(self, body: bytes, *, timeout_s: float | None = None) -> Answer:
        return await self._exchange("batch", body, timeout_s or self._timeout_s)

    async def send_catalog(self, name: str, body: bytes) -> Answer:
        return await self._exchange("catalog", body, self._timeout_s)

    async def fetch_campaign(self) -> Answer:
        return await self._exchange("campaign", b"", self._timeout_s)

    async def _exchange(self, topic: str, body: bytes, timeout_s: float) -> Answer:
        is_sent = False
        try:
            async with asyncio.timeout(timeout_s):
                link = await self._connected(self._token())
                is_sent = True
                return await link.ask(f"fleetwire/{self._vehicle}/{topic}", body, expiry_s=timeout_s)
        except UplinkError as error:
            return Answer(HTTPStatus.UNAUTHORIZED, problem=str(error), is_sent=False)
        except _Gone as gone:
            await self._close()
            return replace(gone.answer, is_sent=is_sent)
        except TimeoutError:
            await self._close()
            return Answer(problem=f"no reply within {timeout_s:g} s", is_sent=is_sent)
        except ValueError as error:
            return Answer(problem=f"{self._broker.host}: {error}", is_sent=False)

    async def _connected(self, token: str) -> "_Link":
        if self._link is not None and (self._link.is_gone or self._link.token != token):
            await self._close()
        if self._link is None:
            self._link = _Link(self.client_id, self._vehicle, token, self._broker.tls)
            try:
                await self._link.open(self._broker)
            except BaseException:
                await self._close()
                raise
        return self._link

    async def _close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()


class _Gone(Exception):
    """There is no connection, or no longer; `answer` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.problem)
        self.answer = answer


class _Link:
    """One connection, from the first packet to the last. Paho's thread hands everything over to the event loop."""

    def __init__(self, client_id: str, vehicle: str, token: str, tls: SSLContext | None) -> None:
        self.token = token
        self.is_gone = False
        self._vehicle = vehicle
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[bytes, asyncio.Future[Answer]] = {}
        self._sent: dict[int, bytes] = {}
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._largest_bytes: int | None = None
        client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTv5, reconnect_on_failure=False)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.username_pw_set(vehicle, token)
        if tls is not None:
            client.tls_set_context(tls)
        client.on_connect = self._connected
        client.on_connect_fail = self._not_connected
        client.on_subscribe = self._subscribed
        client.on_message = self._arrived
        client.on_publish = self._published
        client.on_disconnect = self._disconnected
        self._client = client

    async def open(self, broker: Broker) -> None:
        """Returns when replies would arrive. Raises _Gone, or ValueError for what is no host."""
        self._client.connect_async(broker.host, broker.port, KEEPALIVE_S)
        self._client.loop_start()
        await self._ready

    async def ask(self, topic: str, body: bytes, *, expiry_s: float) -> Answer:
        """Raises _Gone when the connection ends before the reply is there."""
        if self._largest_bytes is not None and len(body) + len(topic) > self._largest_bytes:
            return Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, problem=f"the broker takes {self._largest_bytes} bytes")
        name = secrets.token_bytes(8)
        reply: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting[name] = reply
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.CorrelationData = name
        properties.MessageExpiryInterval = max(round(expiry_s), 1)  # nobody waits for the answer any longer
        mid = self._client.publish(topic, body, qos=QOS, properties=properties).mid
        self._sent[mid] = name
        try:
            return await reply
        finally:
            self._waiting.pop(name, None)
            self._sent.pop(mid, None)

    async def close(self) -> None:
        """Takes CLOSE_S at most, for a line that is dead without saying so. One that is still being made ends later."""
        self._fail(Answer(problem="the connection was closed"))
        self._client.disconnect()
        line = self._client.socket()
        if not isinstance(line, socket):
            return
        stopping = asyncio.ensure_future(asyncio.to_thread(self._client.loop_stop))
        stopped, _ = await asyncio.wait([stopping], timeout=CLOSE_S)
        if not stopped:
            with suppress(OSError):
                line.shutdown(SHUT_RDWR)

    # From here to the next line of this kind: on paho's thread.

    def _connected(
        self, client: Client, _: Any, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if self.is_gone:
            client.disconnect()
            return
        if reason.is_failure:
            self._hand_over(self._fail, _refusal(reason))
            return
        self._largest_bytes = getattr(properties, "MaximumPacketSize", None)
        client.subscribe(f"fleetwire/{self._vehicle}/reply", qos=QOS)

    def _not_connected(self, client: Client, _: Any) -> None:
        error = sys.exception()  # paho calls this while it handles the error, and would go on trying
        client.disconnect()
        self._hand_over(self._fail, Answer(problem=str(error) or type(error).__name__))

    def _subscribed(self, client: Client, _: Any, mid: int, reasons: list[ReasonCode], properties: Properties) -> None:
        if refused := next((reason for reason in reasons if reason.is_failure), None):
            self._hand_over(self._fail, _refusal(refused))
        else:
            self._hand_over(self._take_ready)

    def _arrived(self, client: Client, _: Any, message: MQTTMessage) -> None:
        name = getattr(message.properties, "CorrelationData", None)
        self._hand_over(self._take_reply, name, message.payload)

    def _published(self, client: Client, _: Any, mid: int, reason: ReasonCode, properties: Properties) -> None:
        if reason.is_failure or reason.value == _NO_MATCHING_SUBSCRIBERS:
            self._hand_over(self._take_refusal, mid, reason)

    def _disconnected(
        self, client: Client, _: Any, flags: DisconnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._hand_over(self._fail, Answer(problem=f"the broker is gone: {reason}"))

    def _hand_over(self, call: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody waits
            self._loop.call_soon_threadsafe(call, *arguments)

    # On the event loop again.

    def _take_ready(self) -> None:
        if not self._ready.done():
            self._ready.set_result(None)

    def _take_reply(self, name: bytes | None, payload: bytes) -> None:
        waiting = self._waiting.get(name) if name is not None else None
        if waiting is not None and not waiting.done():
            waiting.set_result(read_answer(payload))

    def _take_refusal(self, mid: int, reason: ReasonCode) -> None:
        waiting = self._waiting.get(self._sent.get(mid, b""))
        if waiting is None or waiting.done():
            return
        if reason.value == _NO_MATCHING_SUBSCRIBERS:
            waiting.set_result(Answer(problem="no ingest is connected to the broker"))
        else:
            waiting.set_result(_refusal(reason))

    def _fail(self, answer: Answer) -> None:
        self.is_gone = True
        everything: list[asyncio.Future[Any]] = [self._ready, *self._waiting.values()]
        for waiting in everything:
            if not waiting.done():
                waiting.set_exception(_Gone(answer))
                waiting.exception()  # whoever waited may have been cancelled


def read_answer(payload: bytes) -> Answer:
    """A reply as it is, or what is said in its place: `{"status", "title", "detail", "retry_after"}`."""
    try:
        value = json.loads(payload)
    except ValueError:
        return Answer(problem="the reply is not JSON")
    status = value.get("status") if isinstance(value, dict) else None
    if not isinstance(status, int):
        return Answer(HTTPStatus.OK, payload)
    retry_after = value.get("retry_after")
    retry_after_s = float(retry_after) if isinstance(retry_after, int | float) else 0.0
    return Answer(status, payload, retry_after_s, str(value.get("detail", "")))


def _refusal(reason: ReasonCode) -> Answer:
    problem = f"the broker refuses: {reason}"
    if reason.value in _BAD_CREDENTIAL:
        return Answer(HTTPStatus.UNAUTHORIZED, problem=problem)
    return Answer(HTTPStatus.FORBIDDEN if reason.value == _BANNED else 0, problem=problem)
