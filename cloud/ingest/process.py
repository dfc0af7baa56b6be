"""The ingest process, put together."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

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
        ledgers = LedgerReader(pool)
        campaigns = Campaigns(pool)
        catalogs = Catalogs(pool, now_s=time.monotonic)
        ingest = Ingest(bus, ledgers, catalogs, campaigns, Store(pool), metrics, aside, shards=config.shards)
        devices = Devices(pool, now_s=time.monotonic)
        limits = {"body_bytes": config.body_bytes, "plain_bytes": config.plain_bytes}
        api = IngestApi(
            ingest,
            devices,
            Enrolment(pool, metrics, now_s=time.monotonic),
            metrics,
            **limits,
        )
        app = api.make_app()
        listener = _listener(config, Bridge(ingest, devices, metrics, **limits))
        # Without the database batches are still taken, so that no balancer should turn vehicles away then.
        also = {"postgresql": partial(ping, pool)} | ({"mqtt": listener.check} if listener else {})
        runtime.add_health(app, {"redis": bus.ping}, registry, also=also)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(ledgers.run(), name="ledgers"),
                tasks.create_task(campaigns.run(), name="campaigns"),
                tasks.create_task(devices.run(), name="devices"),
            ]
            if passwords is not None:
                running.append(tasks.create_task(passwords.watch(pool), name="broker passwords"))
            async with (
                runtime.serve(
                    OsmandApi(ingest, devices, metrics).make_app(),
                    host=config.host,
                    port=config.osmand_port,
                    fixed=config.was_set("osmand_port"),
                    auto_decompress=False,
                ) as osmand,
                runtime.serve(
                    app,
                    host=config.host,
                    port=config.ingest_port,
                    fixed=config.was_set("ingest_port"),
                    auto_decompress=False,
                    front=BatchConnections(
                        api.answer_batches, devices, api.answer_soon, body_bytes=config.body_bytes
                    ).serving,
                ) as address,
            ):
                say(f"ingest is ready on {address} and, for OsmAnd-style reports, on {osmand}")
                if listener is None:
                    await stop.wait()
                else:
                    name = f"ingest-{socket.gethostname()}-{urlsplit(address).port}"
                    listening = tasks.create_task(listener.run(name), name="mqtt")
                    await stop.wait()
                    listener.stop()
                    await asyncio.wait([listening])
            for task in running:
                task.cancel()


def _listener(config: CloudConfig, bridge: Bridge) -> MqttListener | None:
    """Raises ConfigError."""
    if config.mqtt_url is None:
        return None
    try:
        tls = ssl.create_default_context(cafile=config.mqtt_ca_file)
    except OSError as error:
        raise ConfigError(f"mqtt_ca_file = {config.mqtt_ca_file}: {error.strerror or error}") from error
    return MqttListener(Broker.at(config.mqtt_url, tls), bridge.answer)
