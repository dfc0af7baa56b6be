"""A backup from a while ago is put in place of the database under a running fleet: the vehicles refill it.

The vehicles are the agent's own spool, outbox and uplink; the backup is taken while everything runs, as pg_basebackup
takes it.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from cloud.migrations import migrate
from edge.batcher import Draft, DraftColumn
from edge.outbox import Outbox
from edge.spool import Spool
from edge.uplink import Uplink
from edge.ways.uplink_http import HttpTransport
from tests.private_services import PrivateServices
from tests.recount import assert_counts_agree
from tests.running import add_vehicle, eventually, fetch, running_ingest, running_writer, settings

pytestmark = pytest.mark.services

VEHICLES = 3
SAMPLES = 20
STEP = 15
"""Batches of each vehicle before the backup, between it and the disaster, and after."""
REFILL_S = 120


@dataclass
class Vehicle:
    """Records a batch every few milliseconds and sends it."""

    ident: str
    outbox: Outbox
    uplink: Uplink
    stream: str
    recorded: int = 0

    async def record(self, until: asyncio.Event) -> None:
        t0_ms = time.time_ns() // 1_000_000 - 3_600_000
        while not until.is_set():
            begin = self.recorded * SAMPLES
            t_ms = [t0_ms + begin + n for n in range(SAMPLES)]
            column = DraftColumn(t_ms, [float(begin + n) for n in range(SAMPLES)])
            await self.outbox.put([Draft(columns={"M.N": column})])
            self.recorded += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), 0.05)


@asynccontextmanager
async def driving(ident: str, token: str, address: str, folder: Path) -> AsyncIterator[Vehicle]:
    spool = Spool.open(folder / f"{ident}.db", vehicle=ident, max_bytes=10**8, now_ms=time.time_ns() // 1_000_000)
    outbox = Outbox(spool)
    async with aiohttp.ClientSession() as session:
        transport = HttpTransport(session, url=address, token=lambda: token)
        uplink = Uplink(outbox, transport, token=lambda: token)
        sending = asyncio.create_task(uplink.run())
        try:
            yield Vehicle(ident, outbox, uplink, spool.stream)
        finally:
            sending.cancel()
            await asyncio.wait([sending])
            spool.close()


async def back_up(database_url: str, data: Path, copy: Path) -> None:
    """As pg_basebackup does it: files while the server writes to them, then the log that makes them whole."""

    def copy_if_there(source: str, target: str) -> None:
        with suppress(FileNotFoundError):
            shutil.copy2(source, target)

    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("SELECT pg_backup_start('test', true)")
        ignore = shutil.ignore_patterns("pg_wal", "postmaster.pid", "postmaster.opts")
        await asyncio.to_thread(shutil.copytree, data, copy, ignore=ignore, copy_function=copy_if_there)
        label = await connection.fetchval("SELECT labelfile FROM pg_backup_stop()")
        await asyncio.to_thread(shutil.copytree, data / "pg_wal", copy / "pg_wal", copy_function=copy_if_there)
        (copy / "backup_label").write_text(label)
    finally:
        await connection.close()


async def received(database_url: str) -> Mapping[str, int]:
    rows = await fetch(
        database_url,
        "SELECT v.ident, (SELECT sum(upper(r) - lower(r)) FROM unnest(l.received) AS r)::int AS n"
        " FROM ledger l JOIN vehicles v ON v.id = l.vehicle_id",
    )
    return {row["ident"]: row["n"] or 0 for row in rows}


async def test_vehicles_refill_what_a_restored_backup_lacks(
    private_services: PrivateServices, redis_url: str, tmp_path: Path
) -> None:
    database_url = (await private_services.start("postgres")).running["postgres"].url
    data, copy = private_services.home / "services" / "postgres" / "pg", private_services.home / "backup"
    await migrate(database_url)
    tokens = {f"v-{n}": await add_vehicle(database_url, f"v-{n}") for n in range(VEHICLES)}
    config = settings(database_url, redis_url)

    async def all_have(count: int) -> bool:
        with suppress(OSError, asyncpg.PostgresError):
            found = await received(database_url)
            return all(found.get(ident, 0) >= count for ident in tokens)
        return False

    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(running_ingest(config))
        await stack.enter_async_context(running_writer(config))
        fleet = [await stack.enter_async_context(driving(*one, address, tmp_path)) for one in tokens.items()]
        parked = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for vehicle in fleet:
                tasks.create_task(vehicle.record(parked))
            await eventually(lambda: all_have(STEP))
            await back_up(database_url, data, copy)
            before = max((await received(database_url)).values())
            await eventually(lambda: all_have(before + STEP))
            await private_services.kill("postgres")
            shutil.rmtree(data)
            copy.rename(data)
            await private_services.start("postgres")
            goal = max(vehicle.recorded for vehicle in fleet) + STEP
            await eventually(lambda: all_have(goal))
            parked.set()
        async with asyncio.timeout(REFILL_S):
            for vehicle in fleet:
                await vehicle.outbox.settled.wait()
    assert sum(vehicle.outbox.counts.reopened for vehicle in fleet) > 0
    assert sum(vehicle.outbox.counts.lost for vehicle in fleet) == 0
    rows = await fetch(
        database_url,
        "SELECT v.ident, l.stream::text, l.received::text, l.samples,"
        " (SELECT count(*) FROM samples s WHERE s.vehicle_id = v.id) AS n,"
        " (SELECT count(DISTINCT value) FROM samples s WHERE s.vehicle_id = v.id) AS different"
        " FROM ledger l JOIN vehicles v ON v.id = l.vehicle_id ORDER BY 1",
    )
    assert [tuple(row) for row in rows] == [
        (one.ident, one.stream, f"{{[0,{one.recorded})}}", *[one.recorded * SAMPLES] * 3) for one in fleet
    ]
    await assert_counts_agree(database_url)
