"""kill -9 of each process while vehicles send, and Redis wiped: all comes back, nothing is lost or there twice."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from redis.asyncio import Redis

from cloud.migrations import migrate
from tests.private_services import PrivateServices
from tests.running import PATIENCE_S, Sender, add_vehicle, eventually, fetch, make_batch
from wire.envelope import Settled
from wire.ranges import RangeSet

pytestmark = pytest.mark.services

VEHICLES = 3
BATCHES_BETWEEN_FAULTS = 25
WINDOW = 20


@dataclass
class Restarted:
    """A command that is started again whenever it ends."""

    command: str
    env: Mapping[str, str]
    log: Path
    starts: int = 0
    process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        with self.log.open("ab") as log:
            while True:
                self.process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "fleetwire", self.command, env=self.env, stdout=log, stderr=log
                )
                self.starts += 1
                try:
                    await self.process.wait()
                finally:
                    with contextlib.suppress(ProcessLookupError):
                        self.process.kill()

    async def kill(self) -> None:
        before = self.starts
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        await eventually(lambda: _true(self.starts > before))


@dataclass
class Vehicle:
    """Draws batches for ever; sends what is not settled, a window at a time, whatever it is answered."""

    sender: Sender
    settled: RangeSet = field(default_factory=RangeSet)
    drawn: int = 0
    last: int | None = None

    async def run(self) -> None:
        while self.last is None or self.settled.upto < self.last:
            if self.last is None or self.drawn <= self.last:
                self.drawn += 1
            unsettled = list((RangeSet([(0, self.drawn - 1)]) - self.settled).numbers())[:WINDOW]
            batches = [make_batch(seq, self.sender.stream, vehicle=self.sender.vehicle) for seq in unsettled]
            claim = f'{{"stream":"{self.sender.stream}","next":{self.drawn}}}'
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                status, reply = await self.sender.send(batches, claim)
                if status == 200 and reply["settled"]:
                    self.settled = Settled.model_validate(reply["settled"][0]).settled()
            await asyncio.sleep(0.02)


async def test_everything_comes_back_and_nothing_is_lost_or_twice(
    private_services: PrivateServices, tmp_path: Path
) -> None:
    running = (await private_services.start("postgres", "redis")).running
    database_url, redis_url = running["postgres"].url, running["redis"].url
    await migrate(database_url)
    port = _free_port()
    env = os.environ | {
        "FLEETWIRE_DATABASE_URL": database_url,
        "FLEETWIRE_REDIS_URL": redis_url,
        "FLEETWIRE_INGEST_PORT": str(port),
    }
    ingest, writer = (Restarted(name, env, tmp_path / f"{name}.log") for name in ("ingest", "writer"))

    async def wipe() -> None:
        async with Redis.from_url(redis_url) as redis:
            await redis.flushall()

    async def replace(name: str) -> None:
        await private_services.kill(name)
        await private_services.start(name)

    faults: list[Callable[[], Awaitable[None]]] = [
        ingest.kill,
        writer.kill,
        lambda: replace("redis"),
        wipe,
        lambda: replace("postgres"),
        writer.kill,
    ]
    async with _vehicles(database_url, f"http://127.0.0.1:{port}") as vehicles, _background(ingest.run, writer.run):
        async with _background(*(vehicle.run for vehicle in vehicles)) as sending:
            for fault in faults:
                await _progress(vehicles)
                await fault()
            await _progress(vehicles)
            for vehicle in vehicles:
                vehicle.last = vehicle.drawn
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*sending)
        drawn = {vehicle.sender.vehicle: vehicle.last + 1 for vehicle in vehicles if vehicle.last is not None}
    rows = await fetch(
        database_url,
        "SELECT v.ident, l.received::text, l.samples, count(*) AS n, count(DISTINCT (s.ts, s.signal_id, s.value)) AS d"
        " FROM ledger l JOIN vehicles v ON v.id = l.vehicle_id JOIN samples s USING (vehicle_id) GROUP BY 1, 2, 3",
    )
    for row in rows:
        count = drawn.pop(row["ident"])
        assert (row["received"], row["samples"], row["n"], row["d"]) == (f"{{[0,{count})}}", *[count * 20] * 3)
    assert drawn == {}


async def _progress(vehicles: list[Vehicle]) -> None:
    """Until each has settled some more than it had."""
    goals = [vehicle.settled.upto + BATCHES_BETWEEN_FAULTS for vehicle in vehicles]
    await eventually(lambda: _true(all(v.settled.upto >= goal for v, goal in zip(vehicles, goals, strict=True))))


@contextlib.asynccontextmanager
async def _vehicles(database_url: str, address: str) -> AsyncIterator[list[Vehicle]]:
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for number in range(VEHICLES):
            token = await add_vehicle(database_url, f"truck-{number}")
            found.append(Vehicle(await stack.enter_async_context(Sender(address, token, f"truck-{number}"))))
        yield found


@contextlib.asynccontextmanager
async def _background(*runs: Callable[[], Awaitable[None]]) -> AsyncIterator[list["asyncio.Task[None]"]]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_run(run)) for run in runs]
        yield tasks
        for task in tasks:
            task.cancel()


async def _run(run: Callable[[], Awaitable[None]]) -> None:
    await run()


async def _true(condition: bool) -> bool:
    return condition


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
