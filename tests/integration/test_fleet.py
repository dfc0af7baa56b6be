"""A simulated fleet over the agent's own spool and uplink: nothing it stored is missing in the cloud."""

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from simulator.fleet import run_fleet
from simulator.fleet_plan import Credential, FleetPlan, plan_fleet
from simulator.fleet_vehicle import SIGNALS, fleet_catalog, settle_in
from simulator.routes import distance_m
from tests.fake_cloud import TOKEN, FakeCloud, serve
from wire.catalog import catalog_body, catalog_hash
from wire.ranges import RangeSet

CREDENTIALS = [Credential(f"van-{number}", TOKEN) for number in range(3)]
PATIENCE_S = 40


def plan(url: str, home: Path) -> FleetPlan:
    (only,) = plan_fleet(CREDENTIALS, ingest=url, home=home, seed=1, speed=10, processes=1)
    return only


async def until(cloud: FakeCloud, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            with suppress(TimeoutError):
                await cloud.until(condition)


def assert_without_gaps(cloud: FakeCloud) -> None:
    streams = {stream for stream, _ in cloud.batches}
    for stream in streams:
        seqs = RangeSet.of(seq for name, seq in cloud.batches if name == stream)
        assert len(seqs.ranges) == 1
        assert seqs.ranges[0][0] == 0


async def test_fleet_ends_with_everything_settled(tmp_path: Path) -> None:
    cloud, stop = FakeCloud(), asyncio.Event()
    cloud.wanted_catalogs = [catalog_hash(catalog_body(fleet_catalog()))]
    async with serve(cloud) as url, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run_fleet(plan(url, tmp_path), stop, report=lambda counts: None))
        await until(cloud, lambda: len(cloud.batches) >= 6)
        stop.set()
    counts = running.result()
    assert counts.unsettled == 0
    assert counts.samples == sum(len(c.v) for batch in cloud.batches.values() for c in batch.signals.values())
    assert {batch.vehicle for batch in cloud.batches.values()} == {"van-0", "van-1", "van-2"}
    assert {name for batch in cloud.batches.values() for name in batch.signals} == set(SIGNALS)
    assert list(cloud.catalogs) == cloud.wanted_catalogs
    assert_without_gaps(cloud)


async def test_what_a_fleet_stored_while_the_cloud_was_away_arrives_after_its_restart(tmp_path: Path) -> None:
    away, stop = FakeCloud(), asyncio.Event()
    away.failures = [web.Response(status=503) for _ in range(1000)]
    async with serve(away) as url, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run_fleet(plan(url, tmp_path), stop, report=lambda counts: None))
        await until(away, lambda: (tmp_path / "van-2.json").exists())
        stop.set()
    stored = running.result()
    assert stored.settled == 0
    cloud, stop = FakeCloud(), asyncio.Event()
    async with serve(cloud) as url, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run_fleet(plan(url, tmp_path), stop, report=lambda counts: None))
        await until(cloud, lambda: len({stream for stream, _ in cloud.batches}) == 6)
        stop.set()
    assert running.result().unsettled == 0
    samples = sum(len(c.v) for batch in cloud.batches.values() for c in batch.signals.values())
    assert samples == stored.samples + running.result().samples
    assert_without_gaps(cloud)


async def test_sigterm_ends_all_processes_of_a_fleet(tmp_path: Path) -> None:
    cloud = FakeCloud()
    tokens = tmp_path / "tokens.jsonl"
    tokens.write_text("".join(f'{{"vehicle":"{one.vehicle}","token":"{one.token}"}}\n' for one in CREDENTIALS))
    arguments = ["--tokens", str(tokens), "--home", str(tmp_path / "home"), "--processes", "2", "--speed", "10"]
    async with serve(cloud) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fleetwire", "simulate", "fleet", "--ingest", url), *arguments
        )
        await until(cloud, lambda: len({batch.vehicle for batch in cloud.batches.values()}) == 3)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
    assert_without_gaps(cloud)


def test_a_vehicle_goes_on_where_it_was_last() -> None:
    first = settle_in("helsinki-turku", seed=1, ident="van-1", remembered=None)
    again = settle_in("helsinki-turku", seed=1, ident="van-1", remembered=None)
    assert first.memory() == again.memory()
    torn = settle_in("helsinki-turku", seed=1, ident="van-1", remembered='{"route": "helsinki-tu')
    assert torn.memory() == first.memory()
    other = settle_in("helsinki-turku", seed=1, ident="van-2", remembered=None)
    spots = [vehicle.driver.spot for vehicle in (first, other)]
    assert distance_m(spots[0].lat, spots[0].lon, spots[1].lat, spots[1].lon) > 1000
