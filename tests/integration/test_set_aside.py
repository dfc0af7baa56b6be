"""Times that cannot be: kept aside, counted and shown, and stored once it is known what was wrong with the clock."""

import asyncio
import json
import os
import time
import uuid
from collections.abc import AsyncIterator

import pytest
from click.testing import CliRunner, Result

from cloud.bus import Bus
from cloud.database import Pool, make_pool
from cloud.streams.entries import batch_item
from cloud.telemetry.facts import facts_of
from cloud.telemetry.plausible import EARLIEST_MS
from cloud.telemetry.store import Arrival, Store
from fleetwire.admin import admin
from tests.recount import assert_counts_agree
from tests.running import add_vehicle, eventually, fetch, make_batch, running_writer, settings
from wire.codec import encode_batch
from wire.model import Batch, Column, Event, Fixes, FrameBlock
from wire.names import shard_of

pytestmark = pytest.mark.services

NOW_MS = time.time_ns() // 1_000_000
STREAM = str(uuid.uuid4())
DAY_MS = 86_400_000
WEEKS_1024_MS = 1024 * 7 * DAY_MS


def rich(seq: int, *times_ms: int, stream: str = STREAM, catalog: str | None = None) -> Batch:
    """A sample, a fix, an event and a frame at each of these times."""
    dt = [t_ms - times_ms[0] for t_ms in times_ms]
    return Batch(
        vehicle="truck-1",
        stream=stream,
        seq=seq,
        t0=times_ms[0],
        signals={"M.S": Column(dt=dt, v=[seq + n / 10 for n in range(len(dt))], q={0: 3})},
        fixes=Fixes(dt=dt, lat=[47.5] * len(dt), lon=[8.5] * len(dt), sats=[9] * len(dt)),
        events=[Event(t=t_ms, kind="x", data={"seq": seq}) for t_ms in times_ms],
        frames=[FrameBlock(bus="pt", dt=dt, id=[1] * len(dt), data=["ff"] * len(dt))],
        catalog=catalog,
    )


def arrival(batch: Batch, received_ms: int = NOW_MS) -> Arrival:
    return Arrival(batch.vehicle, batch.stream, batch.seq, facts_of(batch), batch.catalog, received_ms=received_ms)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    await add_vehicle(database_url)
    async with make_pool(database_url, size=4, name="test") as pool:
        yield pool


@pytest.fixture
def store(pool: Pool) -> Store:
    return Store(pool)


async def run(database_url: str, *arguments: str) -> Result:
    env = {key: None for key in os.environ if key.startswith("FLEETWIRE_")}
    env |= {"FLEETWIRE_DATABASE_URL": database_url, "FLEETWIRE_REDIS_URL": "redis://127.0.0.1:1"}
    return await asyncio.to_thread(CliRunner().invoke, admin, ("set-aside", *arguments), env=env)


async def stored_ms(database_url: str, table: str = "samples") -> list[int]:
    rows = await fetch(database_url, f"SELECT (extract(epoch FROM ts) * 1000)::bigint AS t FROM {table} ORDER BY ts")
    return [row["t"] for row in rows]


async def test_batch_with_impossible_rows_is_received_and_only_the_others_are_stored(
    database_url: str, store: Store
) -> None:
    good, early, ahead = NOW_MS - 30 * DAY_MS, 62_000, NOW_MS + 400_000
    stored = await store.commit([arrival(rich(0, early, good, ahead)), arrival(rich(1, good))])
    assert (stored.batches, stored.samples, stored.rows, stored.aside) == (2, 2, 8, 8)
    for table in ("samples", "fixes", "device_events", "frames"):
        assert await stored_ms(database_url, table) == [good, good]
    (ledger,) = await fetch(database_url, "SELECT received::text, samples, fixes, events, frames, erased FROM ledger")
    assert tuple(ledger) == ("{[0,2)}", 2, 2, 2, 2, 0)
    entries = await fetch(database_url, "SELECT cause, seq, samples, fixes, events, frames FROM set_aside ORDER BY id")
    assert [tuple(row) for row in entries] == [("before_2010", 0, 1, 1, 1, 1), ("ahead", 0, 1, 1, 1, 1)]
    (latest,) = await fetch(database_url, "SELECT ts_ms, last_ts = (SELECT max(ts) FROM samples) AS last FROM latest")
    assert (latest["ts_ms"], latest["last"]) == ([good], True)
    await assert_counts_agree(database_url)


async def test_edges_of_what_is_possible(database_url: str, store: Store) -> None:
    for seq, t_ms in enumerate((EARLIEST_MS, EARLIEST_MS - 1, NOW_MS + 300_000, NOW_MS + 300_001)):
        await store.commit([arrival(rich(seq, t_ms))])
    assert await stored_ms(database_url) == [EARLIEST_MS, NOW_MS + 300_000]


async def test_batch_that_is_sent_again_is_not_set_aside_again(database_url: str, store: Store) -> None:
    for _ in range(2):
        await store.commit([arrival(rich(0, 1_000))])
    assert len(await fetch(database_url, "SELECT FROM set_aside")) == 1


async def test_rows_are_judged_by_when_they_reached_redis(database_url: str, redis_url: str) -> None:
    """However long they lay in the queue; and the vehicle is seen, though its clock cannot be believed."""
    await add_vehicle(database_url)
    async with running_writer(settings(database_url, redis_url)), Bus(redis_url) as bus:
        body = encode_batch(rich(0, NOW_MS + DAY_MS))
        await bus.admit(shard_of("truck-1"), [batch_item("truck-1", STREAM, 0, body)])
        (row,) = await eventually(lambda: fetch(database_url, "SELECT cause, samples FROM set_aside"))
    assert tuple(row) == ("ahead", 1)
    (latest,) = await fetch(database_url, "SELECT seen_at IS NOT NULL AS seen, last_ts, signal_ids FROM latest")
    assert tuple(latest) == (True, None, [])


async def test_shift_stores_all_kinds_of_rows_where_they_belong(database_url: str, store: Store) -> None:
    true_ms = NOW_MS - 5 * DAY_MS
    await store.commit([arrival(rich(seq, true_ms + seq - WEEKS_1024_MS, catalog="a" * 64)) for seq in range(3)])
    result = await run(database_url, "release", "--vehicle", "truck-1", "--shift", "+1024w")
    assert (result.exit_code, result.output) == (0, "3 entries released: 12 rows stored\n")
    for table in ("samples", "fixes", "device_events", "frames"):
        assert await stored_ms(database_url, table) == [true_ms, true_ms + 1, true_ms + 2]
    (row,) = await fetch(database_url, "SELECT samples, fixes, events, frames, received::text FROM ledger")
    assert tuple(row) == (3, 3, 3, 3, "{[0,3)}")
    assert await fetch(database_url, "SELECT FROM set_aside") == []
    assert [row["q"] for row in await fetch(database_url, "SELECT q FROM samples")] == [3, 3, 3]
    (latest,) = await fetch(database_url, "SELECT ts_ms FROM latest")
    assert latest["ts_ms"] == [true_ms + 2]
    await assert_counts_agree(database_url)
    (entry,) = await fetch(database_url, "SELECT action, data FROM audit_log")
    assert (entry["action"], json.loads(entry["data"])["rows"]) == ("set_aside.release", 12)


async def test_begin_says_when_the_first_row_was_recorded(database_url: str, store: Store) -> None:
    await store.commit([arrival(rich(0, 62_000, 63_500)), arrival(rich(1, 64_000))])
    result = await run(database_url, "release", "--vehicle", "truck-1", "--begin", "2026-01-31T06:00:00Z")
    assert result.exit_code == 0
    begin = 1_769_839_200_000
    assert await stored_ms(database_url) == [begin, begin + 1_500, begin + 2_000]


async def test_what_would_still_be_impossible_stays(database_url: str, store: Store) -> None:
    await store.commit([arrival(rich(0, 62_000)), arrival(rich(1, NOW_MS + DAY_MS))])
    result = await run(database_url, "release", "--vehicle", "truck-1", "--shift", "-1d")
    assert result.exit_code == 1
    assert "1 entries released: 4 rows stored" in result.output
    assert "entry 1 of 'truck-1' would still have rows before 2010" in result.output
    assert [row["id"] for row in await fetch(database_url, "SELECT id FROM set_aside")] == [1]
    assert (await run(database_url, "release", "1", "--as-it-is")).exit_code == 0
    assert await stored_ms(database_url) == [62_000, NOW_MS]
    await assert_counts_agree(database_url)


async def test_choice_by_cause_and_stream(database_url: str, store: Store) -> None:
    other = str(uuid.uuid4())
    await store.commit(
        [arrival(rich(0, 5)), arrival(rich(0, NOW_MS + DAY_MS, stream=other)), arrival(rich(1, 5, stream=other))]
    )
    result = await run(database_url, "release", "--stream", other, "--cause", "ahead", "--shift", "-1d")
    assert result.output == "1 entries released: 4 rows stored\n"
    left = [json.loads(line) for line in (await run(database_url, "list", "--json")).output.splitlines()]
    assert [(one["stream"], one["cause"]) for one in left] == [(STREAM, "before_2010"), (other, "before_2010")]
    assert (await run(database_url, "list", "--stream", other)).output.count("before_2010") == 1


async def test_released_at_once_by_several_is_stored_once(database_url: str, store: Store, pool: Pool) -> None:
    batch = rich(0, 5)
    await store.commit([arrival(batch)])
    (row,) = await fetch(database_url, "SELECT id FROM set_aside")
    believed = Arrival("truck-1", STREAM, 0, facts_of(rich(0, NOW_MS - DAY_MS)))
    results = await asyncio.gather(*(Store(pool).release([(row["id"], believed)]) for _ in range(4)))
    assert sorted(one.batches for one in results) == [0, 0, 0, 1]
    assert await stored_ms(database_url) == [NOW_MS - DAY_MS]
    await assert_counts_agree(database_url)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (("release", "--shift", "1d"), 2, "say which"),
        (("release", "1"), 2, "one of --shift, --begin and --as-it-is"),
        (("release", "1", "--shift", "1d", "--as-it-is"), 2, "one of --shift, --begin and --as-it-is"),
        (("release", "1", "--shift", "soon"), 2, "'soon' is no duration"),
        (("release", "77", "--shift", "1d"), 1, "nothing of that is set aside"),
    ],
)
async def test_misuse_says_what_to_do(database_url: str, arguments: tuple[str, ...], exit_code: int, says: str) -> None:
    result = await run(database_url, *arguments)
    assert (result.exit_code, says in result.output) == (exit_code, True), result.output


async def test_late_data_is_welcome(database_url: str, store: Store) -> None:
    old = make_batch(0, STREAM, t0=EARLIEST_MS + DAY_MS)
    stored = await store.commit([arrival(old)])
    assert (stored.samples, stored.aside) == (20, 0)
