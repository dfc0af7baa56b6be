"""MQTT from the vehicle's spool through a real Mosquitto to the database: what breaks on the way costs nothing."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import structlog
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from redis.asyncio import Redis

from cloud.access.accounts import revoke_devices
from cloud.config import CloudConfig
from cloud.database import connect
from cloud.running.local_broker import write_broker_passwords
from edge.agent import run_agent
from edge.batcher import Draft, DraftColumn
from edge.config import load_edge_config
from edge.outbox import Outbox
from edge.service.check_uplink import check_broker
from edge.spool import Spool
from edge.uplink import Uplink
from edge.ways import way_choice
from edge.ways.pacing import Timings
from edge.ways.transport import Answer
from edge.ways.uplink_http import HttpTransport
from edge.ways.uplink_mqtt import Broker, MqttTransport
from edge.ways.uplink_ways import Way, Ways
from tests.private_services import PrivateRedis, PrivateServices
from tests.running import add_vehicle, eventually, fetch, running_ingest, running_writer, settings
from wire.catalog import CatalogSignal, catalog_body, catalog_hash, make_catalog

pytestmark = pytest.mark.services

PATIENCE_S = 60
NOW_MS = 1_780_000_000_000
QUICK = Timings(heartbeat_s=0.2, poll_first_s=0.02, poll_limit_s=0.1, retry_first_s=0.05, retry_limit_s=0.2)
CONFIG = """
vehicle = "truck-1"
[[can]]
interface = "replay"
channel = "drive.log"
speed = 0
dbc = ["vehicle.dbc"]
[sampling]
every = true
[uplink]
url = "{url}"
token_file = "token"
"""
DBC = """
VERSION ""
NS_ :
BS_:
BU_: ECU
BO_ 256 Engine: 4 ECU
 SG_ Count : 0|32@1+ (1,0) [0|0] "" Vector__XXX
"""


@dataclass
class Stand:
    """A Mosquitto of the test's own, and what a cloud needs to use it."""

    services: PrivateServices
    url: str
    config: CloudConfig

    @property
    def address(self) -> str:
        """Without the cloud's own password."""
        return f"mqtt://127.0.0.1:{urlsplit(self.url).port}"

    @property
    def data(self) -> Path:
        return self.services.home / "services" / "mosquitto"

    async def add_vehicle(self, vehicle: str = "truck-1") -> str:
        token = await add_vehicle(self.config.database_url, vehicle)
        await write_broker_passwords(self.config)
        return token

    async def restart_broker(self, *, wiped: bool = False) -> None:
        await self.services.kill("mosquitto")
        if wiped:
            shutil.rmtree(self.data)
        await self.services.start("mosquitto")


@pytest.fixture
async def stand(private_services: PrivateServices, database_url: str, redis_url: str) -> Stand:
    return await make_stand(private_services, database_url, redis_url)


async def make_stand(services: PrivateServices, database_url: str, redis_url: str) -> Stand:
    url = (await services.start("mosquitto")).running["mosquitto"].url
    passwords = services.home / "services" / "mosquitto.passwd"
    config = settings(database_url, redis_url, home=services.home, mqtt_url=url, mqtt_password_file=passwords)
    return Stand(services, url, config)


@dataclass
class Vehicle:
    """A spool with an uplink over MQTT, and the values that went in."""

    outbox: Outbox
    uplink: Uplink
    transport: MqttTransport
    ways: Ways
    spool: Spool
    token: str
    values: list[float] = field(default_factory=list)

    async def put(self, count: int) -> None:
        """One batch each."""
        for _ in range(count):
            value = float(len(self.values))
            self.values.append(value)
            await self.outbox.put([Draft(columns={"M.A": DraftColumn([NOW_MS + len(self.values)], [value])})])

    async def settled(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.outbox.settled.wait()


class Impatient(MqttTransport):
    """Waits its own time for an answer, and not the uplink's half a minute."""

    async def send(self, body: bytes, *, timeout_s: float | None = None) -> Answer:
        return await super().send(body)


@asynccontextmanager
async def vehicle_at(
    stand: Stand,
    folder: Path,
    token: str,
    *,
    timings: Timings = QUICK,
    timeout_s: float = 5.0,
    fallbacks: Sequence[Way] = (),
) -> AsyncIterator[Vehicle]:
    """Sends until it is closed."""
    ident = "truck-1"
    spool = Spool.open(folder / "spool.db", vehicle=ident, max_bytes=8 * 10**6, now_ms=NOW_MS)
    outbox = Outbox(spool)
    broker = Broker.at(stand.address, None)
    async with Impatient(broker, vehicle=ident, token=lambda: vehicle.token, timeout_s=timeout_s) as transport:
        ways = Ways([Way("mqtt", stand.address, transport), *fallbacks])
        uplink = Uplink(outbox, ways, token=lambda: vehicle.token, timings=timings)
        vehicle = Vehicle(outbox, uplink, transport, ways, spool, token)
        running = asyncio.create_task(uplink.run(), name="uplink")
        try:
            yield vehicle
        finally:
            running.cancel()
            await asyncio.wait([running])
            spool.close()


@asynccontextmanager
async def cloud(stand: Stand) -> AsyncIterator[None]:
    async with running_ingest(stand.config), running_writer(stand.config):
        yield


async def test_agent_sends_over_mqtt_until_all_is_settled(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "vehicle.dbc").write_text(DBC)
    lines = [f"({1_600_000_000 + n / 1000:.6f}) can0 100#{n.to_bytes(4, 'little').hex()}\n" for n in range(500)]
    (tmp_path / "drive.log").write_text("".join(lines))
    (tmp_path / "token").write_text(await stand.add_vehicle())
    (tmp_path / "edge.toml").write_text(CONFIG.format(url=stand.address))
    async with cloud(stand), asyncio.timeout(PATIENCE_S):
        await run_agent(load_edge_config(tmp_path / "edge.toml"), asyncio.Event(), exit_when_settled=True)
    rows = await fetch(stand.config.database_url, "SELECT value FROM samples ORDER BY value")
    assert [row["value"] for row in rows] == [float(n) for n in range(500)]
    (catalog,) = await fetch(stand.config.database_url, "SELECT body::text FROM catalogs")
    assert "Engine.Count" in catalog["body"]


@pytest.mark.parametrize("wiped", [False, True])
async def test_broker_that_is_killed_costs_nothing(stand: Stand, tmp_path: Path, wiped: bool) -> None:
    async with cloud(stand), vehicle_at(stand, tmp_path, await stand.add_vehicle()) as vehicle:
        await vehicle.put(5)
        await vehicle.settled()
        await vehicle.put(5)
        await stand.restart_broker(wiped=wiped)
        await vehicle.put(5)
        await vehicle.settled()
        await assert_stored_once(stand, vehicle)


async def test_http_takes_over_while_the_broker_is_away_and_gives_it_back(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(way_choice, "PAUSE_FIRST_S", 0.2)
    monkeypatch.setattr(way_choice, "PAUSE_LIMIT_S", 0.5)
    token = await stand.add_vehicle()
    async with AsyncExitStack() as opened:
        ingest = await opened.enter_async_context(running_ingest(stand.config))
        await opened.enter_async_context(running_writer(stand.config))
        session = await opened.enter_async_context(aiohttp.ClientSession())
        fallback = Way("http", ingest, HttpTransport(session, url=ingest, token=lambda: token))
        vehicle = await opened.enter_async_context(vehicle_at(stand, tmp_path, token, fallbacks=[fallback]))
        ways = vehicle.ways
        await vehicle.put(5)
        await vehicle.settled()
        assert ways.present == 0
        await stand.services.kill("mosquitto")
        await vehicle.put(5)
        await vehicle.settled()
        assert ways.present == 1
        await stand.services.start("mosquitto")
        await vehicle.put(5)
        await eventually(lambda: _true(ways.present == 0))
        await vehicle.put(5)
        await vehicle.settled()
        assert set(ways.take_used()) == {"mqtt", "http"}
        await assert_stored_once(stand, vehicle)


async def test_broker_that_hangs_costs_time_alone(stand: Stand, tmp_path: Path) -> None:
    token = await stand.add_vehicle()
    async with cloud(stand), vehicle_at(stand, tmp_path, token, timeout_s=1.0) as vehicle:
        await vehicle.put(3)
        await vehicle.settled()
        broker = stand.services.running("mosquitto").process.pid
        os.kill(broker, signal.SIGSTOP)
        try:
            await vehicle.put(3)
            await eventually(lambda: _true(vehicle.uplink.counts.failures >= 2))
        finally:
            os.kill(broker, signal.SIGCONT)
        await vehicle.settled()
        await assert_stored_once(stand, vehicle)


async def test_client_id_taken_over_costs_nothing(stand: Stand, tmp_path: Path) -> None:
    token = await stand.add_vehicle()
    async with cloud(stand), vehicle_at(stand, tmp_path, token) as vehicle:
        await vehicle.put(3)
        await vehicle.settled()
        async with client_at(stand.address, vehicle.transport.client_id, "truck-1", token):
            await vehicle.put(3)
            await vehicle.settled()
        await assert_stored_once(stand, vehicle)


async def test_bridge_whose_client_id_is_taken_takes_another(stand: Stand, tmp_path: Path) -> None:
    token = await stand.add_vehicle()
    with structlog.testing.capture_logs() as logs:
        async with cloud(stand), vehicle_at(stand, tmp_path, token) as vehicle:
            await vehicle.put(3)
            await vehicle.settled()
            (name,) = [line["client"] for line in logs if line["event"] == "broker connected"]
            parts = urlsplit(stand.url)
            async with client_at(stand.address, name, str(parts.username), str(parts.password)):
                await vehicle.put(3)
                await vehicle.settled()
            await assert_stored_once(stand, vehicle)
    assert [line["client"].startswith(name) for line in logs if line["event"] == "broker connected"] == [True, True]


async def test_bridge_killed_before_it_acknowledged_costs_nothing(
    private_services: PrivateServices,
    private_redis: PrivateRedis,
    database_url: str,
    tmp_path: Path,
    unused_tcp_port: int,
) -> None:
    stand = await make_stand(private_services, database_url, private_redis.url)
    token = await stand.add_vehicle()
    async with (
        Redis.from_url(private_redis.url) as redis,
        running_writer(stand.config),
        vehicle_at(stand, tmp_path, token, timeout_s=PATIENCE_S) as vehicle,
    ):
        async with ingest_process(stand, tmp_path, unused_tcp_port) as kill:
            await vehicle.put(3)
            await vehicle.settled()
            await redis.client_pause(60_000, all=False)
            await vehicle.put(1)
            await eventually(lambda: _has_blocked_client(redis))
            kill()
        await redis.client_unpause()
        failures = vehicle.uplink.counts.failures
        async with ingest_process(stand, tmp_path, unused_tcp_port):
            await vehicle.put(3)
            await vehicle.settled()
        await assert_stored_once(stand, vehicle)
        assert vehicle.uplink.counts.failures == failures  # the broker delivered again what had no acknowledgement


async def test_wrong_token_is_said_and_waits_long_until_it_is_replaced(stand: Stand, tmp_path: Path) -> None:
    token = await stand.add_vehicle()
    with structlog.testing.capture_logs() as logs:
        async with cloud(stand), vehicle_at(stand, tmp_path, "fwd_wrong", timings=Timings()) as vehicle:
            await vehicle.put(1)
            refused = await eventually(lambda: _found(logs, "uplink_refused"))
            assert refused["status"] == 401
            assert refused["wait_s"] >= 60
            assert "ot authorized" in refused["problem"]
            vehicle.token = token
            await vehicle.settled()
            await assert_stored_once(stand, vehicle)
            assert vehicle.uplink.counts.refused == 1


async def test_check_tries_the_broker(stand: Stand) -> None:
    token = await stand.add_vehicle()
    broker = Broker.at(stand.address, None)
    async with MqttTransport(broker, vehicle="truck-1", token=lambda: token, timeout_s=5) as transport:
        assert "no ingest is connected" in (await check_broker(stand.address, transport)).found
        async with running_ingest(stand.config):
            await eventually(lambda: _status(transport, b"{}", 200))
            assert "accepts the credential" in (await check_broker(stand.address, transport)).found
    async with MqttTransport(broker, vehicle="truck-1", token=lambda: "fwd_wrong", timeout_s=5) as transport:
        assert "refuses the credential" in (await check_broker(stand.address, transport)).found


async def test_client_of_mqtt_3_is_answered_too(stand: Stand) -> None:
    token = await stand.add_vehicle()
    replies: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    async with (
        cloud(stand),
        client_at(stand.address, "old", "truck-1", token, protocol=MQTTProtocolVersion.MQTTv311) as client,
    ):
        client.on_message = lambda client, _, message: loop.call_soon_threadsafe(replies.put_nowait, message.payload)
        client.subscribe("fleetwire/truck-1/reply", 1)

        async def is_answered() -> dict[str, object] | None:
            client.publish("fleetwire/truck-1/batch", b"{}", qos=1)
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    reply: dict[str, object] = json.loads(await replies.get())
                    return reply
            return None

        assert (await eventually(is_answered))["accepted"] == []


async def test_token_that_is_revoked_is_refused(stand: Stand, tmp_path: Path) -> None:
    async with cloud(stand), vehicle_at(stand, tmp_path, await stand.add_vehicle()) as vehicle:
        await vehicle.put(1)
        await vehicle.settled()
        connection = await connect(stand.config.database_url)
        await revoke_devices(connection, "truck-1")
        await connection.close()
        await eventually(lambda: _true(vehicle.uplink.counts.refused > 0))


async def test_vehicle_reaches_its_own_topics_alone(stand: Stand, tmp_path: Path) -> None:
    own, other = await stand.add_vehicle(), await stand.add_vehicle("truck-2")
    assert own != other
    broker = Broker.at(stand.address, None)
    async with cloud(stand), AsyncExitStack() as stack:
        listener = await stack.enter_async_context(client_at(stand.address, "ear", "truck-2", other))
        heard: list[str] = []
        listener.on_message = lambda client, _, message: heard.append(message.topic)
        listener.subscribe([("fleetwire/#", 1), ("$share/ingest/fleetwire/+/batch", 1)])
        transport = await stack.enter_async_context(MqttTransport(broker, vehicle="truck-1", token=lambda: own))
        assert (await transport.send(b"{}")).status == 200
        foreign = await stack.enter_async_context(
            MqttTransport(broker, vehicle="truck-1", token=lambda: other, timeout_s=5)
        )
        assert (await foreign.send(b"{}")).status == 401
        assert heard == []


async def test_problems_are_answered_as_over_http(stand: Stand) -> None:
    token = await stand.add_vehicle()
    broker = Broker.at(stand.address, None)
    async with MqttTransport(broker, vehicle="truck-1", token=lambda: token, timeout_s=5) as transport:
        nobody = await transport.send(b"{}")
        assert (nobody.status, nobody.problem) == (0, "no ingest is connected to the broker")
        async with running_ingest(stand.config):
            await eventually(lambda: _status(transport, b"{}", 200))
            assert (await transport.send(b"{")).status == 400
            assert (await transport.send(b"[]")).status == 422
            foreign = await transport.send(b'{"batches":[{"vehicle":"truck-2"}]}')
            assert (foreign.status, "truck-2" in foreign.problem) == (403, True)
            assert (await transport.send(b" " * 8_000_001)).status == 413
            body = catalog_body(make_catalog([CatalogSignal(name="M.A")]))
            assert (await transport.send_catalog(catalog_hash(body), body)).status == 204
            assert (await transport.send_catalog("", b'{"signals":7}')).status == 422


async def test_full_queue_is_said_with_a_time_to_come_back(
    private_services: PrivateServices, private_redis: PrivateRedis, database_url: str
) -> None:
    stand = await make_stand(private_services, database_url, private_redis.url)
    token = await stand.add_vehicle()
    broker = Broker.at(stand.address, None)
    stream = "0199c0de-0000-7000-8000-000000000001"
    claim = b'{"streams":[{"stream":"%s","next":1}]}' % stream.encode()
    async with (
        running_ingest(stand.config),
        MqttTransport(broker, vehicle="truck-1", token=lambda: token, timeout_s=10) as transport,
    ):
        await eventually(lambda: _status(transport, b"{}", 200))
        await private_redis.kill()
        answer = await transport.send(claim)
        assert answer.status == 503
        assert answer.retry_after_s >= 1


async def assert_stored_once(stand: Stand, vehicle: Vehicle) -> None:
    rows = await fetch(stand.config.database_url, "SELECT value FROM samples ORDER BY value")
    assert [row["value"] for row in rows] == vehicle.values
    assert vehicle.outbox.counts.lost == 0


@asynccontextmanager
async def client_at(
    address: str,
    client_id: str,
    user: str,
    password: str,
    *,
    protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
) -> AsyncIterator[Client]:
    """Another client, connected."""
    connected = asyncio.Event()
    loop = asyncio.get_running_loop()
    client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=protocol, reconnect_on_failure=False)
    client.username_pw_set(user, password)
    client.on_connect = lambda *_: loop.call_soon_threadsafe(connected.set)
    parts = urlsplit(address)
    client.connect_async(str(parts.hostname), parts.port or 1883)
    client.loop_start()
    async with asyncio.timeout(PATIENCE_S):
        await connected.wait()
    try:
        yield client
    finally:
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)


@asynccontextmanager
async def ingest_process(stand: Stand, folder: Path, port: int) -> AsyncIterator[Callable[[], None]]:
    """As a process of its own; gives what kills it with -9."""
    env = os.environ | {
        "FLEETWIRE_HOME": str(stand.services.home),
        "FLEETWIRE_DATABASE_URL": stand.config.database_url,
        "FLEETWIRE_REDIS_URL": stand.config.redis_url,
        "FLEETWIRE_MQTT_URL": stand.url,
        "FLEETWIRE_INGEST_PORT": str(port),
    }
    with (folder / "ingest.log").open("ab") as log:
        command = (sys.executable, "-m", "fleetwire", "ingest")
        process = await asyncio.create_subprocess_exec(*command, env=env, stdout=log, stderr=log)

    def kill() -> None:
        process.send_signal(signal.SIGKILL)

    try:
        yield kill
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _has_blocked_client(redis: "Redis") -> bool:
    return bool((await redis.info("clients"))["blocked_clients"])


async def _found(logs: list[dict[str, object]], event: str) -> dict[str, object] | None:
    return next((line for line in logs if line["event"] == event), None)


async def _status(transport: MqttTransport, body: bytes, status: int) -> bool:
    return (await transport.send(body)).status == status


async def _true(condition: bool) -> bool:
    return condition
