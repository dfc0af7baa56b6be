"""The ingest process, put together."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

from aiohttp import web

from cloud import runtime
from cloud.access.broker_passwords import BrokerPasswords
from cloud.bus import Bus
from cloud.config import CloudConfig
from cloud.database import make_pool, ping
from cloud.errors import ConfigError
from cloud.ingest.app import IngestApi
from cloud.ingest.aside import reading_aside
from cloud.ingest.batch_connections import BatchConnections
from cloud.ingest.bridge import Bridge
from cloud.ingest.campaigns import Campaigns
from cloud.ingest.catalogs import Catalogs
from cloud.ingest.devices import Devices
from cloud.ingest.enrolment import Enrolment
from cloud.ingest.ledgers import LedgerReader
from cloud.ingest.means import Means
from cloud.ingest.metrics import IngestMetrics
from cloud.ingest.mqtt import Broker, MqttListener
from cloud.ingest.osmand_app import OsmandApi
from cloud.ingest.service import Ingest
from cloud.telemetry.store import Store

POOL_SIZE = 8


async def run(
    config: CloudConfig,
    stop: asyncio.Event,
    say: Callable[[str], None],
    *,
    passwords: BrokerPasswords | None = None,
) -> None:
    """Serves until `stop`; says its address once it is there. Keeps the MQTT broker's `passwords`. Raises PortTaken."""
    registry = runtime.make_registry()
    metrics = IngestMetrics(registry)
    async with (
        Bus(config.redis_url) as bus,
        make_pool(config.database_url, size=POOL_SIZE, name="ingest") as pool,
        reading_aside() as aside,
    ):
        catalogs = Catalogs(pool, now_s=time.monotonic)
        means = Means(bus, LedgerReader(pool), catalogs, Campaigns(pool), metrics, shards=config.shards)
        ingest = Ingest(means, Store(pool), aside)
        devices = Devices(pool, now_s=time.monotonic)
        enrolment = Enrolment(pool, metrics, now_s=time.monotonic)
        limits = {"body_bytes": config.body_bytes, "plain_bytes": config.plain_bytes}
        api = IngestApi(ingest, devices, enrolment, metrics, **limits)
        app, osmand_app = api.make_app(), OsmandApi(ingest, devices, metrics).make_app()
        listener = _listener(config, Bridge(ingest, devices, metrics, **limits))
        # Without the database batches are still taken, so that no balancer should turn vehicles away then.
        also = {"postgresql": partial(ping, pool)} | ({"mqtt": listener.check} if listener else {})
        runtime.add_health(app, {"redis": bus.ping}, registry, also=also)
        front = BatchConnections(api.answer_batches, devices, api.answer_soon, body_bytes=config.body_bytes)
        async with asyncio.TaskGroup() as tasks:
            works = [means.ledgers.run(), means.campaigns.run(), devices.run()]
            if passwords is not None:
                works.append(passwords.watch(pool))
            running = [tasks.create_task(work) for work in works]
            async with _serving(config, app, front, osmand_app) as (address, osmand):
                say(f"ingest is ready on {address} and, for OsmAnd-style reports, on {osmand}")
                await _until(stop, listener, f"ingest-{socket.gethostname()}-{urlsplit(address).port}")
            for task in running:
                task.cancel()


@asynccontextmanager
async def _serving(
    config: CloudConfig, app: web.Application, front: BatchConnections, osmand_app: web.Application
) -> AsyncIterator[tuple[str, str]]:
    """Gives both addresses. Raises PortTaken."""
    osmand_fixed, fixed = config.was_set("osmand_port"), config.was_set("ingest_port")
    serve = partial(runtime.serve, host=config.host, auto_decompress=False)
    async with (
        serve(osmand_app, port=config.osmand_port, fixed=osmand_fixed) as osmand,
        serve(app, port=config.ingest_port, fixed=fixed, front=front.serving) as address,
    ):
        yield address, osmand


async def _until(stop: asyncio.Event, listener: MqttListener | None, client_id: str) -> None:
    if listener is None:
        await stop.wait()
        return
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(listener.run(client_id), name="mqtt")
        await stop.wait()
        listener.stop()


def _listener(config: CloudConfig, bridge: Bridge) -> MqttListener | None:
    """Raises ConfigError."""
    if config.mqtt_url is None:
        return None
    try:
        tls = ssl.create_default_context(cafile=config.mqtt_ca_file)
    except OSError as error:
        raise ConfigError(f"mqtt_ca_file = {config.mqtt_ca_file}: {error.strerror or error}") from error
    return MqttListener(Broker.at(config.mqtt_url, tls), bridge.answer)
