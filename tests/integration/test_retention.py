"""Retention: each fleet's data goes when it is too old and not before, fleets share chunks, and the counts add up."""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import product

import asyncpg
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from cloud.access.accounts import add_fleet, add_vehicles
from cloud.database import Pool, is_about_the_data, make_pool
from cloud.telemetry.facts import MIN_TIME_MS, facts_of
from cloud.telemetry.retention import (
    CLASSES,
    Chunk,
    Delete,
    Drop,
    Table,
    compact_dirty,
    enforce,
    fleet_named,
    plan,
    policy,
    set_retention,
)
from cloud.telemetry.store import Arrival, Store
from cloud.writer.housekeeping import Housekeeping
from fleetwire.admin import admin
from tests.recount import assert_counts_agree
from tests.running import fetch
from wire.model import Batch, Column, Event, Fixes, FrameBlock

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
STREAM = str(uuid.uuid4())
TABLES = {"samples": "samples", "fixes": "fixes", "events": "device_events", "frames": "frames"}

days = st.integers(0, 12)


@given(
    cuts=st.dictionaries(st.integers(1, 3), st.none() | days, min_size=1),
    chunks=st.sets(days, max_size=6),
    by_chunk=st.booleans(),
)
def test_plan_takes_what_is_too_old_and_nothing_else(
    cuts: dict[int, int | None], chunks: set[int], by_chunk: bool
) -> None:
    """Seen row by row: a row at the middle of each chunk of two days, and at its beginning, for every fleet."""
    moments = {fleet: None if cut is None else NOW + cut * DAY for fleet, cut in cuts.items()}
    parts = [Chunk(str(low), NOW + 2 * low * DAY, NOW + (2 * low + 2) * DAY) for low in sorted(chunks)]
    acts = list(plan(Table("x", "x", by_chunk=by_chunk), parts, moments))
    for chunk, fleet, into in product(parts, cuts, (timedelta(0), DAY)):
        cut = moments[fleet]
        dropped = any(isinstance(act, Drop) and act.chunk == chunk for act in acts)
        row = chunk.low + into
        deleted = any(isinstance(act, Delete) and act.fleet_id == fleet and act.low <= row < act.high for act in acts)
        is_old = cut is not None and (chunk.high <= cut if by_chunk else row < cut)
        assert (dropped or deleted) == is_old
    for act in acts:
        if isinstance(act, Drop):
            assert all(cut is not None and act.chunk.high <= cut for cut in moments.values())


def test_policy_only_where_all_fleets_agree_and_never_before_our_own_round() -> None:
    cut = NOW - 30 * DAY
    assert policy(NOW, [cut, cut]) == 38 * DAY
    assert policy(NOW, [cut, None]) is None
    assert policy(NOW, [cut, cut - DAY]) is None
    assert policy(NOW, [None]) is None
    assert policy(NOW, []) is None


def batch(vehicle: str, seq: int, *ages: float) -> Batch:
    """One of each kind at so many days before now."""
    t_ms = sorted(int((NOW - age * DAY).timestamp() * 1000) for age in ages)
    dt = [one - t_ms[0] for one in t_ms]
    return Batch(
        vehicle=vehicle,
        stream=STREAM,
        seq=seq,
        t0=t_ms[0],
        signals={"M.A": Column(dt=dt, v=[1.0] * len(dt))},
        fixes=Fixes(dt=dt, lat=[1.0] * len(dt), lon=[2.0] * len(dt)),
        events=[Event(t=one, kind="x", data={}) for one in t_ms],
        frames=[FrameBlock(bus="", dt=dt, id=[1] * len(dt), data=["00"] * len(dt))],
    )


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Vehicles `a` of fleet 'default' and `b` of fleet 'vans'."""
    async with make_pool(database_url, size=4, name="test") as pool:
        await add_fleet(pool, "vans")
        await add_vehicles(pool, ["a"])
        await add_vehicles(pool, ["b"], fleet="vans")
        yield pool


async def keep(pool: Pool, fleet: str, **kept: float | None) -> None:
    for kind, number in kept.items():
        await set_retention(pool, await fleet_named(pool, fleet), kind, None if number is None else number * DAY)


async def ages(database_url: str, kind: str, vehicle: str) -> list[float]:
    """Of what is left, in days."""
    rows = await fetch(
        database_url,
        f"SELECT extract(epoch FROM $2 - ts) / 86400 AS age FROM {TABLES[kind]} t JOIN vehicles v ON v.id = vehicle_id"
        " WHERE v.ident = $1 ORDER BY 1",
        vehicle,
        NOW,
    )
    return [float(row["age"]) for row in rows]


async def run_round(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await enforce(connection, NOW, community=False)


async def insist(act: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await act()
        except asyncpg.PostgresError as error:
            if is_about_the_data(error):
                raise
        else:
            return


@pytest.mark.services
async def test_event_whose_time_cannot_be_is_still_known_when_it_comes_again(database_url: str, pool: Pool) -> None:
    """Its key lies in 2010, and is not as old as that."""
    await keep(pool, "default", events=30)
    await keep(pool, "vans", events=30)
    t_ms = 1_000
    event = facts_of(batch("a", 0, 0).model_copy(update={"t0": t_ms, "fixes": None, "events": [], "frames": []}))
    received_ms = int(NOW.timestamp() * 1000)
    assert (await Store(pool).add_events("a", [(b"key", event)], received_ms=received_ms)).aside == 1
    await run_round(pool)
    again = await Store(pool).add_events("a", [(b"key", event)], received_ms=received_ms)
    assert (again.aside, again.repeated) == (0, 1)
    assert len(await fetch(database_url, "SELECT FROM set_aside")) == 1


@pytest.mark.services
async def test_fleets_that_share_chunks_keep_what_they_wish(database_url: str, pool: Pool) -> None:
    store, all_ages = Store(pool), (0.5, 9.9, 10.1, 11.9, 29.9, 30.1, 45.0, 60.0)
    for vehicle in ("a", "b"):
        facts = batch(vehicle, 0, *all_ages)
        await store.commit([Arrival(vehicle, STREAM, 0, facts_of(facts))])
    await keep(pool, "default", samples=10, fixes=10, events=30)
    await keep(pool, "vans", samples=30, fixes=30, events=30)
    await run_round(pool)
    assert await ages(database_url, "fixes", "a") == [0.5, 9.9]
    assert await ages(database_url, "fixes", "b") == [0.5, 9.9, 10.1, 11.9, 29.9]
    assert await ages(database_url, "events", "a") == await ages(database_url, "fixes", "b")
    # 10.1 days ago is in the chunk of a day that is not over for ten days yet.
    assert await ages(database_url, "samples", "a") == [0.5, 9.9, 10.1]
    assert await ages(database_url, "samples", "b") == [0.5, 9.9, 10.1, 11.9, 29.9, 30.1]
    assert len(await ages(database_url, "frames", "a")) == len(all_ages)
    chunks = await fetch(
        database_url, "SELECT range_end FROM timescaledb_information.chunks WHERE hypertable_name = 'samples'"
    )
    assert min(row["range_end"] for row in chunks) > NOW - 31 * DAY
    await assert_counts_agree(database_url)
    await run_round(pool)
    await assert_counts_agree(database_url)


@pytest.mark.services
async def test_what_was_believed_to_be_of_the_year_1_goes_too(database_url: str, pool: Pool) -> None:
    ancient = batch("a", 0, 0).model_copy(update={"t0": MIN_TIME_MS, "events": []})
    await Store(pool).commit([Arrival("a", STREAM, 0, facts_of(ancient))])
    for fleet in ("default", "vans"):
        await keep(pool, fleet, samples=30, fixes=30)
    await run_round(pool)
    assert await ages(database_url, "samples", "a") == await ages(database_url, "fixes", "a") == []
    await assert_counts_agree(database_url)


@pytest.mark.services
async def test_nothing_goes_without_a_setting_or_after_it_was_taken_back(database_url: str, pool: Pool) -> None:
    await Store(pool).commit([Arrival("a", STREAM, 0, facts_of(batch("a", 0, 1.0, 4_000.0)))])
    await keep(pool, "default", samples=30)
    await keep(pool, "default", samples=None)
    await run_round(pool)
    for kind in CLASSES:
        assert await ages(database_url, kind, "a") == [1.0, 4_000.0]


@pytest.mark.services
async def test_fleet_without_vehicles_holds_no_chunk(database_url: str, pool: Pool) -> None:
    await add_fleet(pool, "empty")
    await Store(pool).commit([Arrival("a", STREAM, 0, facts_of(batch("a", 0, 40.0)))])
    for fleet in ("default", "vans"):
        await keep(pool, fleet, samples=30)
    await run_round(pool)
    chunks = await fetch(database_url, "SELECT FROM timescaledb_information.chunks WHERE hypertable_name = 'samples'")
    assert chunks == []
    await assert_counts_agree(database_url)


@pytest.mark.services
async def test_chunk_that_somebody_writes_to_waits_for_the_next_round(database_url: str, pool: Pool) -> None:
    await Store(pool).commit([Arrival("a", STREAM, 0, facts_of(batch("a", 0, 40.0, 41.5)))])
    for fleet in ("default", "vans"):
        await keep(pool, fleet, samples=30)
    async with pool.acquire() as busy:
        transaction = busy.transaction()
        await transaction.start()
        await busy.execute("UPDATE samples SET q = 1 WHERE ts < $1", NOW - 41 * DAY)
        await run_round(pool)
        assert await ages(database_url, "samples", "a") == [40.0, 41.5]
        await transaction.rollback()
    await run_round(pool)
    assert await ages(database_url, "samples", "a") == []
    await assert_counts_agree(database_url)


@pytest.mark.services
async def test_writing_goes_on_while_chunks_are_dropped(database_url: str, pool: Pool) -> None:
    """Late data and the end of its chunk meet: no row is in neither count.

    They may get in each other's way; then either tries again, as the writer's committer and the housekeeping do.
    """
    for fleet in ("default", "vans"):
        await keep(pool, fleet, samples=30, fixes=30)
    store = Store(pool)

    async def write() -> None:
        for seq in range(25):
            arrival = Arrival("a", STREAM, seq, facts_of(batch("a", seq, 40 + seq % 5, 1.0)))
            await insist(lambda arrival=arrival: store.commit([arrival]))  # type: ignore[misc]

    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(write())
        while not writing.done():
            await insist(lambda: run_round(pool))
    await run_round(pool)
    assert await ages(database_url, "samples", "a") == [1.0] * 25
    await assert_counts_agree(database_url)


@pytest.mark.services
async def test_old_journal_chunks_go_and_new_ones_stay(database_url: str, pool: Pool) -> None:
    await Store(pool).commit([Arrival("a", STREAM, 0, facts_of(batch("a", 0, 1.0)))])
    for age in (0.1, 2.9, 3.5, 9.0):
        await fetch(database_url, "INSERT INTO journal (at, vehicle_id) VALUES ($1, 1)", NOW - age * DAY)
    await run_round(pool)
    rows = await fetch(database_url, "SELECT extract(epoch FROM $1 - at) / 86400 AS age FROM journal ORDER BY at", NOW)
    assert [round(float(row["age"]), 1) for row in rows][:2] == [2.9, 0.1]


@pytest.mark.services
async def test_dirty_spans_of_a_vehicle_are_joined(database_url: str, pool: Pool) -> None:
    store = Store(pool)
    for seq in range(20):
        await store.commit([Arrival("a", STREAM, seq, facts_of(batch("a", seq, 1.0 + seq / 10_000)))])
    await store.commit([Arrival("a", STREAM, 20, facts_of(batch("a", 20, 5.0)))])
    await store.commit([Arrival("b", STREAM, 0, facts_of(batch("b", 0, 5.0)))])
    low, high = (
        await fetch(
            database_url, "SELECT min(t_from), max(t_to) FROM dirty WHERE vehicle_id = 1 AND t_from > $1", NOW - 2 * DAY
        )
    )[0]
    async with pool.acquire() as connection:
        await compact_dirty(connection)
    spans = await fetch(database_url, "SELECT vehicle_id, t_from, t_to FROM dirty ORDER BY 1, 2")
    assert [(row["vehicle_id"], row["t_from"], row["t_to"]) for row in spans] == [
        (1, NOW - 5 * DAY, NOW - 5 * DAY),
        (1, low, high),
        (2, NOW - 5 * DAY, NOW - 5 * DAY),
    ]


@pytest.mark.services
async def test_one_writer_at_a_time_keeps_house(database_url: str, pool: Pool) -> None:
    async with make_pool(database_url, size=1, name="test") as other:
        async with other.acquire() as connection:
            await connection.execute("SELECT pg_advisory_lock($1)", 0x666C7468)
            assert not await Housekeeping(pool).round(NOW)
            await connection.execute("SELECT pg_advisory_unlock($1)", 0x666C7468)
        assert await Housekeeping(pool).round(NOW)


async def run(database_url: str, *arguments: str) -> Result:
    env = {key: None for key in os.environ if key.startswith("FLEETWIRE_")}
    env |= {"FLEETWIRE_DATABASE_URL": database_url, "FLEETWIRE_REDIS_URL": "redis://127.0.0.1:1"}
    return await asyncio.to_thread(CliRunner().invoke, admin, ("retention", *arguments), env=env)


@pytest.mark.services
async def test_command_sets_lists_and_unsets(database_url: str, pool: Pool) -> None:
    assert (await run(database_url, "set", "samples", "90d")).output == "fleet 'default' keeps samples for 90 days\n"
    assert (await run(database_url, "set", "fixes", "2w", "--fleet", "vans")).exit_code == 0
    assert (await run(database_url, "list")).output == "default  samples  90 days\nvans  fixes  14 days\n"
    assert (await run(database_url, "unset", "samples")).exit_code == 0
    listed = [json.loads(line) for line in (await run(database_url, "list", "--json")).output.splitlines()]
    assert listed[0] == {"fleet": "default", "class": None, "days": None}
    assert "there is no fleet 'x'" in (await run(database_url, "set", "fixes", "2w", "--fleet", "x")).output
    assert "out of bounds" in (await run(database_url, "set", "fixes", "2h")).output
    actions = await fetch(database_url, "SELECT action FROM audit_log")
    assert [row["action"] for row in actions] == ["retention.set"] * 3
