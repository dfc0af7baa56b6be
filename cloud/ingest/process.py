"""The ingest process, put together."""

import asyncio
import time
from collections.abc import Callable
from functools import partial

from cloud import runtime
from cloud.bus import Bus
from cloud.config import CloudConfig
from cloud.database import make_pool, ping
from cloud.ingest.app import IngestApi
from cloud.ingest.catalogs import Catalogs
from cloud.ingest.devices import Devices
from cloud.ingest.enrolment import Enrolment
from cloud.ingest.ledgers import LedgerReader
from cloud.ingest.metrics import IngestMetrics
from cloud.ingest.service import Ingest
from cloud.store import Store

POOL_SIZE = 8


async def run(config: CloudConfig, stop: asyncio.Event, say: Callable[[str], None]) -> None:
    """Serves until `stop`; says its address once it is there. Raises PortTaken."""
    registry = runtime.make_registry()
    metrics = IngestMetrics(registry)
    async with Bus(config.redis_url) as bus, make_pool(config.database_url, size=POOL_SIZE, name="ingest") as pool:
        ledgers = LedgerReader(pool)
        ingest = Ingest(bus, ledgers, Catalogs(pool, now_s=time.monotonic), Store(pool), metrics, shards=config.shards)
        api = IngestApi(
            ingest,
            Devices(pool, now_s=time.monotonic),
            Enrolment(pool, metrics, now_s=time.monotonic),
            metrics,
            body_bytes=config.body_bytes,
            plain_bytes=config.plain_bytes,
        )
        app = api.make_app()
        # Without the database batches are still taken, so that no balancer should turn vehicles away then.
        runtime.add_health(app, {"redis": bus.ping}, registry, also={"postgresql": partial(ping, pool)})
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(ledgers.run(), name="ledgers")
            async with runtime.serve(
                app,
                host=config.host,
                port=config.ingest_port,
                fixed=config.was_set("ingest_port"),
                auto_decompress=False,
            ) as address:
                say(f"ingest is ready on {address}")
                await stop.wait()
            reading.cancel()
