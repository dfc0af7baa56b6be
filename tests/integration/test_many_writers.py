"""Several writers as real processes: shards are shared, a dead one's are taken over, one that wakes up does no harm."""

import asyncio
import os
import re
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from cloud.bus import Bus
from cloud.streams.entries import batch_item
from tests.running import PATIENCE_S, add_vehicle, eventually, fetch, make_batch
from wire.codec import encode_batch
from wire.model import Fixes
from wire.names import shard_of

pytestmark = pytest.mark.services

SHARDS = 16
VEHICLES = [f"truck-{number}" for number in range(40)]


@dataclass
class WriterProcess:
    process: asyncio.subprocess.Process
    address: str

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    async def is_stopped(self) -> bool:
        """As Linux sees it."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    async def metric(self, name: str) -> float:
        async with aiohttp.ClientSession() as session, session.get(f"{self.address}/metrics") as response:
            match = re.search(rf"^fleetwire_writer_{name} (.+)$", await response.text(), re.MULTILINE)
        assert match is not None, name
        return float(match[1])

    async def has_shards(self, count: int) -> bool:
        return await self.metric("shards") == count


@asynccontextmanager
async def writer(database_url: str, redis_url: str) -> AsyncIterator[WriterProcess]:
    env = os.environ | {
        "FLEETWIRE_DATABASE_URL": database_url,
        "FLEETWIRE_REDIS_URL": redis_url,
        "FLEETWIRE_WRITER_PORT": "0",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fleetwire", "writer", env=env, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while (match := re.search(r"metrics on (\S+)/metrics", (await process.stdout.readline()).decode())) is None:
                pass
        yield WriterProcess(process, match[1])
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
async def bus(redis_url: str) -> AsyncIterator[Bus]:
    async with Bus(redis_url) as bus:
        yield bus


@pytest.fixture
async def registered(database_url: str) -> str:
    """The address of a database that knows the vehicles."""
    for vehicle in VEHICLES:
        await add_vehicle(database_url, vehicle)
    return database_url


@dataclass
class Fleet:
    """Queues one batch of every vehicle at a time, each with 20 samples and a fix."""

    bus: Bus
    stream: str
    rounds: int = 0

    async def send(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            for vehicle in VEHICLES:
                batch = make_batch(self.rounds, self.stream, vehicle=vehicle, fixes=Fixes(dt=[0], lat=[1.0], lon=[2.0]))
                item = batch_item(vehicle, self.stream, batch.seq, encode_batch(batch))
                await self.bus.admit(shard_of(vehicle, SHARDS), [item])
            self.rounds += 1

    async def stored(self) -> None:
        await eventually(self._is_stored)

    async def _is_stored(self) -> bool:
        return not any([await self.bus.backlog(shard) for shard in range(SHARDS)])

    async def check(self, database_url: str) -> None:
        """Every batch is there, once."""
        count = self.rounds * len(VEHICLES)
        samples = await fetch(
            database_url, "SELECT count(*) AS n, count(DISTINCT (ts, vehicle_id, signal_id, value)) AS d FROM samples"
        )
        assert tuple(samples[0]) == (20 * count, 20 * count)
        fixes = await fetch(database_url, "SELECT count(*), count(DISTINCT (ts, vehicle_id)) FROM fixes")
        assert tuple(fixes[0]) == (count, count)
        ledger = await fetch(database_url, "SELECT received::text, samples, fixes FROM ledger")
        assert {tuple(row) for row in ledger} == {(f"{{[0,{self.rounds})}}", 20 * self.rounds, self.rounds)}
        assert len(ledger) == len(VEHICLES)


@pytest.fixture
def fleet(bus: Bus) -> Fleet:
    return Fleet(bus, str(uuid.uuid4()))


async def test_second_writer_gets_half_and_a_dead_ones_shards_are_taken_over(
    registered: str, redis_url: str, fleet: Fleet
) -> None:
    async with writer(registered, redis_url) as first:
        await eventually(lambda: first.has_shards(16))
        async with writer(registered, redis_url) as second:
            await fleet.send(5)
            await eventually(lambda: first.has_shards(8))
            await eventually(lambda: second.has_shards(8))
            await fleet.send(5)
            await fleet.stored()
            assert await first.metric("batches_total") + await second.metric("batches_total") == 10 * len(VEHICLES)
            await fleet.send(5)
            second.signal(signal.SIGKILL)
            await fleet.send(5)
            await fleet.stored()
            await eventually(lambda: first.has_shards(16))
    await fleet.check(registered)


async def test_writer_that_is_told_to_stop_gives_its_shards_to_the_others(
    registered: str, redis_url: str, fleet: Fleet
) -> None:
    async with writer(registered, redis_url) as first, writer(registered, redis_url) as second:
        await eventually(lambda: first.has_shards(8))
        await eventually(lambda: second.has_shards(8))
        await fleet.send(3)
        first.signal(signal.SIGTERM)
        await fleet.send(3)
        assert await first.process.wait() == 0
        await eventually(lambda: second.has_shards(16))
        await fleet.stored()
    await fleet.check(registered)


@pytest.mark.parametrize("table", ["samples", "fixes"])
async def test_writer_that_sleeps_in_a_copy_is_ended_and_wakes_up_to_no_effect(
    registered: str, redis_url: str, fleet: Fleet, table: str
) -> None:
    """It holds the ledger's locks, and where `table` is fixes has also copied samples that are not committed."""
    async with writer(registered, redis_url) as sleeper:
        await eventually(lambda: sleeper.has_shards(16))
        backend = await _stop_in_copy_into(table, sleeper, registered, fleet)
        async with writer(registered, redis_url) as second:
            await fleet.send()
            await fleet.stored()
            assert await second.metric("zombies_total") == 1
            assert not await fetch(registered, "SELECT FROM pg_stat_activity WHERE pid = $1", backend)
            await fleet.check(registered)

            sleeper.signal(signal.SIGCONT)
            await eventually(lambda: _is_positive(sleeper, "repeats_total"))
            await eventually(lambda: sleeper.has_shards(8))
            assert await sleeper.metric("database_errors_total") >= 1
            await fleet.check(registered)

            await fleet.send()
            await fleet.stored()
            second.signal(signal.SIGTERM)
            await second.process.wait()
            await eventually(lambda: sleeper.has_shards(16))
            await fleet.send()
            await fleet.stored()
    await fleet.check(registered)


async def _stop_in_copy_into(table: str, sleeper: WriterProcess, database_url: str, fleet: Fleet) -> int:
    """A lock holds up its COPY, so that it is stopped before it has sent the rows; returns who waits for them."""
    blocker = await asyncpg.connect(database_url)
    try:
        async with blocker.transaction():
            await blocker.execute(f"LOCK TABLE {table} IN SHARE MODE")
            await fleet.send()
            waiting = "SELECT l.pid FROM pg_locks l WHERE NOT granted AND relation = $1::text::regclass"
            ((backend,),) = await eventually(lambda: fetch(database_url, waiting, table))
            sleeper.signal(signal.SIGSTOP)
            await eventually(sleeper.is_stopped)
        asleep = "SELECT FROM pg_stat_activity WHERE pid = $1 AND query LIKE 'COPY%' AND wait_event = 'ClientRead'"
        await eventually(lambda: blocker.fetch(asleep, backend))
    finally:
        await blocker.close()
    return int(backend)


async def _is_positive(process: WriterProcess, metric: str) -> bool:
    return await process.metric(metric) > 0
