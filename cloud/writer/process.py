"""The writer process, put together."""

import asyncio
import secrets
from collections.abc import Callable
from functools import partial

from aiohttp import web

from cloud import runtime
from cloud.bus import Bus
from cloud.config import CloudConfig
from cloud.database import QUICK_S, Pool, inspect, make_pool, ping
from cloud.telemetry.packed_columns import ensure_columns
from cloud.telemetry.store import Store
from cloud.writer.backlog import watch_backlog
from cloud.writer.committer import Committer, until_usable
from cloud.writer.housekeeping import Housekeeping
from cloud.writer.leases import Leases
from cloud.writer.metrics import WriterMetrics
from cloud.writer.service import Writer
from cloud.writer.zombies import Undeterred

POOL_SIZE = 3
"""One writes, one looks who is in its way, one answers how the database is."""
LOCK_TIMEOUT_MS = 10_000
"""Who waits for longer lets go of its own locks and tries again, as while the schema is migrated."""


async def run(config: CloudConfig, stop: asyncio.Event, say: Callable[[str], None]) -> None:
    """Writes until `stop`. Raises DatabaseError for a server that must not be used, and PortTaken."""
    registry = runtime.make_registry()
    metrics = WriterMetrics(registry)
    database = make_pool(config.database_url, size=POOL_SIZE, name="writer", lock_timeout=f"{LOCK_TIMEOUT_MS}ms")
    async with Bus(config.redis_url) as bus, database as pool:
        app = web.Application()
        runtime.add_health(app, {"redis": bus.ping, "postgresql": partial(ping, pool)}, registry)
        async with runtime.serve(
            app, host=config.host, port=config.writer_port, fixed=config.was_set("writer_port")
        ) as address:
            if not await until_usable(partial(_prepare, pool), stop=stop):
                return
            leases = Leases(bus, range(config.shards), owner=secrets.token_hex(8))
            writer = Writer(
                bus,
                leases,
                Committer(Undeterred(Store(pool), pool, metrics), metrics, stop=stop),
                metrics,
                group_samples=config.group_samples,
                group_age_ms=config.group_age_ms,
            )
            async with (
                make_pool(config.database_url, size=1, name="housekeeping") as spare,
                asyncio.TaskGroup() as tasks,
            ):
                done = asyncio.Event()
                tasks.create_task(leases.run(done), name="leases")
                keeping = tasks.create_task(Housekeeping(spare).run(done), name="housekeeping")
                tasks.create_task(watch_backlog(bus, leases, metrics, until=done), name="backlog")
                say(f"writer is ready, metrics on {address}/metrics")
                await writer.run(stop)
                done.set()
                keeping.cancel()  # its rounds may be long, and each can be cut anywhere
            await leases.release()


async def _prepare(pool: Pool) -> None:
    async with pool.acquire(timeout=QUICK_S) as connection:
        await inspect(connection)
        await ensure_columns(connection)
