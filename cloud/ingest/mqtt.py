"""Ingest's connection to the MQTT broker. The only file of the cloud that knows paho.

All ingest processes share one subscription. A message is acknowledged when it was answered, which is after Redis has
its batches. The broker keeps the session of a process that died for SESSION_S, so that what it had not acknowledged
comes again; whatever is lost beyond that the vehicles send again, for they wait for the reply.
"""

import asyncio
import random
import secrets
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from cloud.errors import BrokerAway
from cloud.ingest.bridge import TOPICS, Said

SUBSCRIBED: Final = tuple(f"$share/ingest/fleetwire/+/{topic}" for topic in TOPICS)
QOS: Final = 1
PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
KEEPALIVE_S: Final = 30
SESSION_S: Final = 30
"""As long as vehicles wait for a reply."""
IN_FLIGHT: Final = 64
"""How many messages the broker may have sent that are not acknowledged."""
RETRY_FIRST_S: Final = 0.5
RETRY_LIMIT_S: Final = 15.0

_SESSION_TAKEN_OVER: Final = 0x8E

Answer = Callable[[str, bytes], Awaitable[Said | None]]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Broker:
    host: str
    port: int
    user: str | None
    password: str | None
    tls: SSLContext | None

    @classmethod
    def at(cls, url: str, tls: SSLContext | None) -> Self:
        """Of `mqtt://user:password@host` or `mqtts://…`; `tls` counts for the latter."""
        parts = urlsplit(url)
        return cls(
            parts.hostname or "127.0.0.1",
            parts.port or PORTS[parts.scheme],
            unquote(parts.username) if parts.username else None,
            unquote(parts.password) if parts.password else None,
            tls if parts.scheme == "mqtts" else None,
        )


class MqttListener:
    """Keeps a connection and answers what comes over it."""

    def __init__(self, broker: Broker, answer: Answer) -> None:
        self._broker = broker
        self._answer = answer
        self._stopping = asyncio.Event()
        self._connection: _Connection | None = None

    async def run(self, name: str) -> None:
        """Until `stop`; a broker that is away is tried again, with full jitter.

        `name` is to be the same after a restart, so that the session goes on, and no other process's.
        """
        failures = 0
        client_id = name
        while not self._stopping.is_set():
            connection = _Connection(self._broker, self._answer, client_id)
            try:
                await connection.open()
                failures = 0
                self._connection = connection
                log.info("broker connected", host=self._broker.host, port=self._broker.port, client=client_id)
                await connection.serve(self._stopping)
            except BrokerAway as error:
                log.warning("broker away", host=self._broker.host, port=self._broker.port, problem=str(error))
            finally:
                self._connection = None
                await connection.close()
            if connection.was_taken_over:
                client_id = f"{name}-{secrets.token_hex(4)}"
            wait_s = random.uniform(0, min(RETRY_FIRST_S * 2**failures, RETRY_LIMIT_S))
            failures = min(failures + 1, 10)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._stopping.wait()

    def stop(self) -> None:
        """`run` takes nothing more, answers what it has, and returns."""
        self._stopping.set()

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    async def check(self) -> None:
        """Raises BrokerAway."""
        if not self.is_connected:
            raise BrokerAway(f"no connection to the MQTT broker at {self._broker.host}:{self._broker.port}")


class _Connection:
    """From the first packet to the last. Paho's thread hands everything over to the event loop."""

    def __init__(self, broker: Broker, answer: Answer, client_id: str) -> None:
        self.was_taken_over = False
        self._broker = broker
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._gone: asyncio.Future[str] = self._loop.create_future()
        self._arrived: asyncio.Queue[MQTTMessage] = asyncio.Queue()  # bounded by IN_FLIGHT, see _take
        self._answering = 0
        client = Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=MQTTv5, reconnect_on_failure=False, manual_ack=True
        )
        if broker.user is not None:
            client.username_pw_set(broker.user, broker.password)
        if broker.tls is not None:
            client.tls_set_context(broker.tls)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        self._client = client

    async def open(self) -> None:
        """Returns when messages arrive. Raises BrokerAway."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_S
        properties.ReceiveMaximum = IN_FLIGHT
        self._client.connect_async(
            self._broker.host, self._broker.port, KEEPALIVE_S, clean_start=False, properties=properties
        )
        self._client.loop_start()
        await _first_of(self._ready, self._gone)
        if self._gone.done():
            raise BrokerAway(self._gone.result())

    async def serve(self, stopping: asyncio.Event) -> None:
        """Answers until `stopping` or the connection is gone, then what it has still. Raises BrokerAway."""
        async with asyncio.TaskGroup() as tasks:
            intake = tasks.create_task(self._take_in(tasks), name="mqtt intake")
            stop = asyncio.ensure_future(stopping.wait())
            await _first_of(stop, self._gone)
            stop.cancel()
            intake.cancel()
        if self._gone.done():
            raise BrokerAway(self._gone.result())

    async def close(self) -> None:
        """The broker keeps the session, and what was not acknowledged comes again."""
        self._end("closed")
        self._client.disconnect()
        if self._client.socket() is not None:
            await asyncio.to_thread(self._client.loop_stop)

    async def _take_in(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            message = await self._arrived.get()
            tasks.create_task(self._serve_one(message), name=f"mqtt {message.topic}")

    async def _serve_one(self, message: MQTTMessage) -> None:
        try:
            said = await self._answer(message.topic, bytes(message.payload))
        finally:
            self._answering -= 1
        if said is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            if (name := getattr(message.properties, "CorrelationData", None)) is not None:
                properties.CorrelationData = name
            self._client.publish(said.topic, said.body, qos=QOS, properties=properties)
        self._client.ack(message.mid, message.qos)

    def _take(self, message: MQTTMessage) -> None:
        # Only what comes without a promise, at QoS 0, can be more than was asked for.
        if self._answering < IN_FLIGHT or message.qos:
            self._answering += 1
            self._arrived.put_nowait(message)

    def _end(self, problem: str) -> None:
        if not self._gone.done():
            self._gone.set_result(problem)

    def _note_ready(self) -> None:
        if not self._ready.done():
            self._ready.set_result(None)

    def _note_taken_over(self) -> None:
        self.was_taken_over = True

    # From here: on paho's thread.

    def _on_connect(
        self, client: Client, _: Any, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if self._gone.done():
            client.disconnect()
        elif reason.is_failure:
            self._hand_over(self._end, f"refused: {reason}")
        else:
            client.subscribe([(topic, QOS) for topic in SUBSCRIBED])

    def _on_connect_fail(self, client: Client, _: Any) -> None:
        error = sys.exception()  # paho calls this while it handles the error, and would go on trying
        client.disconnect()
        self._hand_over(self._end, str(error) or type(error).__name__)

    def _on_subscribe(
        self, client: Client, _: Any, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        if refused := next((reason for reason in reasons if reason.is_failure), None):
            self._hand_over(self._end, f"the subscription was refused: {refused}")
        else:
            self._hand_over(self._note_ready)

    def _on_message(self, client: Client, _: Any, message: MQTTMessage) -> None:
        self._hand_over(self._take, message)

    def _on_disconnect(
        self, client: Client, _: Any, flags: DisconnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.value == _SESSION_TAKEN_OVER:
            self._hand_over(self._note_taken_over)
        self._hand_over(self._end, str(reason))

    def _hand_over(self, call: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody waits
            self._loop.call_soon_threadsafe(call, *arguments)


async def _first_of(*waits: "asyncio.Future[Any]") -> None:
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
