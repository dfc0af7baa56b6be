"""Erasure: nothing of the span is left anywhere, nothing of it ever comes back, and the counts still add up."""

import asyncio
import json
import os
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest
from click.testing import CliRunner, Result

from cloud.bus import Bus
from cloud.database import Connection, Pool, make_pool
from cloud.streams.entries import batch_item
from cloud.telemetry.dead_letters import find_letter, replay
from cloud.telemetry.erasure import carry_out, order
from cloud.telemetry.facts import MIN_TIME_MS, facts_of
from cloud.telemetry.plausible import EARLIEST_MS
from cloud.telemetry.store import Arrival, Store
from fleetwire.admin import admin
from tests.recount import assert_counts_agree
from tests.running import add_vehicle, eventually, fetch, running_writer, settings
from tests.unit.test_plausible import rows
from wire.codec import decode_batch, encode_batch
from wire.model import Batch, Column, Event, Fixes, FrameBlock
from wire.names import shard_of

pytestmark = pytest.mark.services

NOW_MS = time.time_ns() // 1_000_000
DAY_MS = 86_400_000
T0_MS = NOW_MS // DAY_MS * DAY_MS - 20 * DAY_MS
STREAM = str(uuid.uuid4())
TABLES = ("samples", "fixes", "device_events", "frames")


def at(t_ms: int) -> datetime:
    return datetime.fromtimestamp(t_ms / 1000, UTC)


def rich(seq: int, *times_ms: int, vehicle: str = "truck-1", stream: str = STREAM) -> Batch:
    """A sample of two signals, a fix, an event and a frame at each of these times."""
    dt = [t_ms - times_ms[0] for t_ms in times_ms]
    values = [float(t_ms % 1_000_003) for t_ms in times_ms]
    return Batch(
        vehicle=vehicle,
        stream=stream,
        seq=seq,
        t0=times_ms[0],
        signals={"M.A": Column(dt=dt, v=values), "M.B": Column(dt=dt[:1], v=values[:1])},
        fixes=Fixes(dt=dt, lat=[47.5] * len(dt), lon=[8.0 + n / 100 for n in range(len(dt))]),
        events=[Event(t=t_ms, kind="x", data={}) for t_ms in times_ms],
        frames=[FrameBlock(bus="pt", dt=dt, id=[1] * len(dt), data=["ff"] * len(dt))],
    )


def arrival(batch: Batch) -> Arrival:
    return Arrival(batch.vehicle, batch.stream, batch.seq, facts_of(batch), batch.catalog, received_ms=NOW_MS)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    await add_vehicle(database_url)
    await add_vehicle(database_url, "truck-2")
    async with make_pool(database_url, size=6, name="test") as pool:
        yield pool


@pytest.fixture
def store(pool: Pool) -> Store:
    return Store(pool)


async def vehicle_id(database_url: str, ident: str = "truck-1") -> int:
    (row,) = await fetch(database_url, "SELECT id FROM vehicles WHERE ident = $1", ident)
    found: int = row["id"]
    return found


async def erase(pool: Pool, database_url: str, low_ms: int | None, high_ms: int) -> None:
    async with pool.acquire() as connection:
        begin = None if low_ms is None else at(low_ms)
        number = await order(connection, await vehicle_id(database_url), begin=begin, end=at(high_ms), actor="test")
        await carry_out(connection, number)


async def times(database_url: str, table: str, ident: str = "truck-1") -> list[int]:
    found = await fetch(
        database_url,
        f"SELECT (extract(epoch FROM ts) * 1000)::bigint AS t FROM {table} WHERE vehicle_id = $1 ORDER BY ts",
        await vehicle_id(database_url, ident),
    )
    return [row["t"] for row in found]


async def run(database_url: str, *arguments: str) -> Result:
    env = {key: None for key in os.environ if key.startswith("FLEETWIRE_")}
    env |= {"FLEETWIRE_DATABASE_URL": database_url, "FLEETWIRE_REDIS_URL": "redis://127.0.0.1:1"}
    return await asyncio.to_thread(CliRunner().invoke, admin, arguments, env=env)


async def test_span_is_gone_from_every_table_and_its_neighbours_are_left(
    database_url: str, store: Store, pool: Pool
) -> None:
    """Over several chunks, to the millisecond, and of this vehicle alone."""
    low, high = T0_MS + 3 * DAY_MS, T0_MS + 6 * DAY_MS
    all_of = [low - 1, low, low + DAY_MS, high - 1, high]
    await store.commit([arrival(rich(0, *all_of)), arrival(rich(0, *all_of, vehicle="truck-2"))])
    await erase(pool, database_url, low, high)
    for table in TABLES:
        kept = [low - 1, low - 1, high] if table == "samples" else [low - 1, high]
        assert await times(database_url, table) == kept
        assert len(await times(database_url, table, "truck-2")) == (6 if table == "samples" else 5)
    (row,) = await fetch(database_url, "SELECT samples, fixes, events, frames, done_at, actor FROM erasures")
    assert (row["samples"], row["fixes"], row["events"], row["frames"], row["actor"]) == (3, 3, 3, 3, "test")
    assert row["done_at"] is not None
    (ledger,) = await fetch(database_url, "SELECT received::text, samples FROM ledger WHERE vehicle_id = 1")
    assert tuple(ledger) == ("{[0,1)}", 6)
    await assert_counts_agree(database_url)


async def test_late_data_into_an_erased_span_is_dropped_and_counted(
    database_url: str, store: Store, pool: Pool
) -> None:
    await erase(pool, database_url, T0_MS, T0_MS + 1_000)
    stored = await store.commit(
        [arrival(rich(0, T0_MS - 1, T0_MS, T0_MS + 999, T0_MS + 1_000)), arrival(rich(1, T0_MS))]
    )
    assert stored.erased == 4 * 2 + 1 + 5 - 1  # M.B has a sample in the first ms only
    assert await times(database_url, "fixes") == [T0_MS - 1, T0_MS + 1_000]
    (row,) = await fetch(database_url, "SELECT received::text, fixes, erased FROM ledger")
    assert tuple(row) == ("{[0,2)}", 2, stored.erased)
    await assert_counts_agree(database_url)


async def test_latest_falls_back_to_what_is_left(database_url: str, store: Store, pool: Pool) -> None:
    await store.commit([arrival(rich(0, T0_MS, T0_MS + 5)), arrival(rich(1, T0_MS + 50, T0_MS + 60))])
    before = await fetch(database_url, "SELECT * FROM latest WHERE vehicle_id = 1")
    await store.commit([arrival(rich(2, T0_MS + 70, T0_MS + 80, T0_MS + 90))])
    assert await fetch(database_url, "SELECT ts_ms FROM latest WHERE vehicle_id = 1") != [before[0]["ts_ms"]]
    await erase(pool, database_url, T0_MS + 61, T0_MS + 1_000)
    (after,) = await fetch(database_url, "SELECT * FROM latest WHERE vehicle_id = 1")
    assert {**after, "seen_at": None} == {**before[0], "seen_at": None}
    await erase(pool, database_url, None, T0_MS + 1_000)
    (empty,) = await fetch(database_url, "SELECT * FROM latest WHERE vehicle_id = 1")
    assert (empty["signal_ids"], empty["last_ts"], empty["seen_at"], empty["lat"]) == ([], None, None, None)


async def test_newest_of_a_millisecond_is_the_highest_as_the_writer_has_it(
    database_url: str, store: Store, pool: Pool
) -> None:
    ties = rich(0, T0_MS).model_copy(update={"signals": {"M.A": Column(dt=[0, 0, 0, 9], v=[1.0, 3.0, 2.0, 0.0])}})
    await store.commit([arrival(ties)])
    await erase(pool, database_url, T0_MS + 1, T0_MS + 100)
    (row,) = await fetch(database_url, "SELECT ts_ms, values FROM latest")
    assert tuple(row) == ([T0_MS], [3.0])


async def test_writers_that_began_before_the_order_are_waited_for(database_url: str, store: Store, pool: Pool) -> None:
    """Erasing while many commit: whoever did not know is deleted from, whoever knew has dropped it."""
    low, high = T0_MS, T0_MS + 1_000_000
    batches = [rich(seq, T0_MS + seq * 10_000, high + seq, stream=STREAM) for seq in range(60)]

    async def write(some: list[Batch]) -> None:
        for batch in some:
            await store.commit([arrival(batch)])

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write(batches[0::2]))
        tasks.create_task(write(batches[1::2]))
        await eventually(lambda: fetch(database_url, "SELECT FROM samples LIMIT 1"))
        await erase(pool, database_url, low, high)
        for table in TABLES:
            assert min(await times(database_url, table), default=high) >= high
    for table in TABLES:
        assert await times(database_url, table) == [high + seq for seq in range(60)]
    (row,) = await fetch(database_url, "SELECT fixes, erased FROM ledger")
    (tally,) = await fetch(database_url, "SELECT fixes, samples + fixes + events + frames AS n FROM tallies")
    assert row["fixes"] - tally["fixes"] == 60
    assert row["erased"] + tally["n"] == 60 * 5
    await assert_counts_agree(database_url)


async def test_transaction_that_does_not_know_holds_the_erasure_up(database_url: str, pool: Pool) -> None:
    """Seen with a transaction of ours in the writer's place: it stores after the order, and is deleted from."""
    ident = await vehicle_id(database_url)
    writer = await asyncpg.connect(database_url)
    try:
        transaction = writer.transaction()
        await transaction.start()
        await writer.fetchval("SELECT pg_current_xact_id()")
        assert await writer.fetch("SELECT FROM erasures") == []
        erasing = asyncio.create_task(erase(pool, database_url, T0_MS, T0_MS + 1_000))
        await eventually(lambda: fetch(database_url, "SELECT FROM erasures"))
        await writer.execute("INSERT INTO fixes (ts, vehicle_id, lat, lon) VALUES ($1, $2, 1, 2)", at(T0_MS), ident)
        assert not erasing.done()
        await transaction.commit()
        await erasing
    finally:
        await writer.close()
    assert await times(database_url, "fixes") == []


async def test_dead_letters_are_erased_rewritten_or_left(database_url: str, store: Store, pool: Pool) -> None:
    """What cannot be read goes if it arrived within the span, for nobody knows when it was recorded."""
    inside, across, outside = rich(0, T0_MS, T0_MS + 1), rich(1, T0_MS + 2, T0_MS + 5_000), rich(2, T0_MS + 6_000)
    for batch in (inside, across, outside):
        await store.bury("truck-1", STREAM, batch.seq, problem="x", payload=encode_batch(batch))
    await store.bury("truck-1", STREAM, 3, problem="x", payload=b"\xff\x00")
    await erase(pool, database_url, T0_MS, T0_MS + 1_000)
    letters = await fetch(database_url, "SELECT id, seq, payload FROM dead_letters ORDER BY seq")
    assert [row["seq"] for row in letters] == [1, 2, 3]
    left = facts_of(decode_batch(letters[0]["payload"]))
    assert rows(left) == rows(facts_of(across.model_copy(update={
        "signals": {"M.A": Column(dt=[4_998], v=[float((T0_MS + 5_000) % 1_000_003)])},
        "fixes": Fixes(dt=[4_998], lat=[47.5], lon=[8.01]),
        "events": across.events[1:],
        "frames": [FrameBlock(bus="pt", dt=[4_998], id=[1], data=["ff"])],
    })))  # fmt: skip
    (row,) = await fetch(database_url, "SELECT received::text, dead::text, erased FROM ledger")
    assert tuple(row) == ("{[0,1)}", "{[1,4)}", 9 + 5)
    await assert_counts_agree(database_url)
    await erase(pool, database_url, None, NOW_MS + 600_000)
    assert await fetch(database_url, "SELECT FROM dead_letters") == []
    (row,) = await fetch(database_url, "SELECT received::text, dead::text FROM ledger")
    assert tuple(row) == ("{[0,4)}", "{}")
    await assert_counts_agree(database_url)


async def test_letter_that_is_replayed_meanwhile_is_not_counted_as_erased(
    database_url: str, store: Store, pool: Pool
) -> None:
    """Its rows are dropped by the replay, and counted there."""
    batch = rich(0, T0_MS, T0_MS + 5_000)
    await store.bury("truck-1", STREAM, 0, problem="x", payload=encode_batch(batch))
    (row,) = await fetch(database_url, "SELECT id FROM dead_letters")

    class Overtaken:
        """A connection on which the letter is replayed as soon as it was found."""

        def __init__(self, connection: Connection) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> object:
            return getattr(self._connection, name)

        async def fetch(self, query: str, *arguments: object, **more: float) -> list[asyncpg.Record]:
            found = await self._connection.fetch(query, *arguments, **more)
            if "FROM dead_letters" in query and found:
                assert await replay(store, await find_letter(pool, row["id"]))
            return found

    async with pool.acquire() as connection:
        number = await order(
            connection, await vehicle_id(database_url), begin=at(T0_MS), end=at(T0_MS + 1_000), actor="test"
        )
        await carry_out(Overtaken(connection), number)  # type: ignore[arg-type]
    (row,) = await fetch(database_url, "SELECT kept_apart, (SELECT erased FROM ledger) AS erased FROM erasures")
    assert tuple(row) == (0, 5)
    assert await times(database_url, "fixes") == [T0_MS + 5_000]
    await assert_counts_agree(database_url)


async def test_what_is_buried_after_an_erasure_holds_nothing_of_it(database_url: str, store: Store, pool: Pool) -> None:
    """As by a writer that had the batch in hand. What cannot be read goes if it arrived within the span."""
    await erase(pool, database_url, T0_MS, T0_MS + 1_000)
    inside, across, outside = rich(0, T0_MS), rich(1, T0_MS + 999, T0_MS + 1_000), rich(2, T0_MS + 1_000)
    for batch in (inside, across, outside):
        await store.bury("truck-1", STREAM, batch.seq, problem="x", payload=encode_batch(batch))
    for seq, received_ms in enumerate((T0_MS + 500, T0_MS + 1_500, None), 3):
        await store.bury("truck-1", STREAM, seq, problem="x", payload=b"\xff\x00", received_ms=received_ms)
    letters = {r["seq"]: r for r in await fetch(database_url, "SELECT id, seq, payload FROM dead_letters")}
    assert sorted(letters) == [1, 2, 4, 5]
    assert min(facts_of(decode_batch(letters[1]["payload"])).t_ms) == T0_MS + 1_000
    assert letters[2]["payload"] == encode_batch(outside)
    (ledger,) = await fetch(database_url, "SELECT received::text, dead::text, erased FROM ledger")
    assert tuple(ledger) == ("{[0,1),[3,4)}", "{[1,3),[4,6)}", 5 + 5)
    await assert_counts_agree(database_url)
    assert await replay(store, await find_letter(pool, letters[1]["id"]))
    assert await times(database_url, "fixes") == [T0_MS + 1_000]
    (ledger,) = await fetch(database_url, "SELECT received::text, fixes, erased FROM ledger")
    assert tuple(ledger) == ("{[0,2),[3,4)}", 1, 5 + 5)
    await assert_counts_agree(database_url)


async def test_replayed_dead_letter_respects_what_was_erased(database_url: str, store: Store, pool: Pool) -> None:
    """Also where the letter still holds it, as one that a writer before this rule buried."""
    batch = rich(0, T0_MS + 999, T0_MS + 1_000)
    await store.bury("truck-1", STREAM, 0, problem="x", payload=encode_batch(batch))
    await erase(pool, database_url, T0_MS, T0_MS + 1_000)
    payload = encode_batch(batch)
    (row,) = await fetch(database_url, "UPDATE dead_letters SET payload = $1 RETURNING id", payload)
    await fetch(database_url, "UPDATE ledger SET erased = 0")
    assert await replay(store, await find_letter(pool, row["id"]))
    assert await times(database_url, "fixes") == [T0_MS + 1_000]
    (ledger,) = await fetch(database_url, "SELECT received::text, dead::text, fixes, erased FROM ledger")
    assert tuple(ledger) == ("{[0,1)}", "{}", 1, 5)
    await assert_counts_agree(database_url)


async def test_what_is_set_aside_goes_by_its_times_or_by_its_arrival(
    database_url: str, store: Store, pool: Pool
) -> None:
    await store.commit([arrival(rich(0, 5_000, 6_000)), arrival(rich(1, 7_000))])
    await fetch(database_url, "UPDATE set_aside SET at = $1", at(T0_MS))
    await erase(pool, database_url, 5_500, 6_500)
    entries = await fetch(database_url, "SELECT seq, samples, fixes, events, frames FROM set_aside ORDER BY id")
    assert [tuple(row) for row in entries] == [(0, 2, 1, 1, 1), (1, 2, 1, 1, 1)]
    (row,) = await fetch(database_url, "SELECT erased, (SELECT kept_apart FROM erasures) AS apart FROM ledger")
    assert tuple(row) == (4, 4)
    await erase(pool, database_url, T0_MS - 1, T0_MS + 1)
    assert await fetch(database_url, "SELECT FROM set_aside") == []
    (row,) = await fetch(database_url, "SELECT erased FROM ledger")
    assert row["erased"] == 4 + 10


async def test_what_is_set_aside_and_cannot_be_read_goes_by_its_arrival(
    database_url: str, store: Store, pool: Pool
) -> None:
    """It holds up no erasure, and ends no writer."""
    await store.commit([arrival(rich(0, 5_000))])
    await fetch(database_url, "UPDATE set_aside SET at = $1, payload = $2", at(T0_MS), b"\xff\x00")
    await erase(pool, database_url, 5_000, 6_000)
    assert len(await fetch(database_url, "SELECT FROM set_aside")) == 1
    await erase(pool, database_url, T0_MS, T0_MS + 1)
    assert await fetch(database_url, "SELECT FROM set_aside") == []
    (row,) = await fetch(database_url, "SELECT erased FROM ledger")
    assert row["erased"] == 5


async def test_released_rows_respect_what_was_erased(database_url: str, store: Store, pool: Pool) -> None:
    await store.commit([arrival(rich(0, 5_000, 6_000))])
    await erase(pool, database_url, T0_MS, T0_MS + 1_000)
    (row,) = await fetch(database_url, "SELECT id FROM set_aside")
    moved = Arrival("truck-1", STREAM, 0, facts_of(rich(0, T0_MS + 500, T0_MS + 1_500)))
    stored = await store.release([(row["id"], moved)])
    assert (stored.rows, stored.erased) == (4, 5)
    assert await times(database_url, "fixes") == [T0_MS + 1_500]
    await assert_counts_agree(database_url)


async def test_erased_while_batches_are_in_flight(database_url: str, redis_url: str, pool: Pool) -> None:
    """What lies in Redis when the erasure is done is dropped when it is written."""
    batches = [rich(seq, T0_MS + seq * 100, T0_MS + 10_000 + seq) for seq in range(20)]
    items = [batch_item("truck-1", STREAM, one.seq, encode_batch(one)) for one in batches]
    async with Bus(redis_url) as bus:
        await bus.admit(shard_of("truck-1"), items)
        await erase(pool, database_url, T0_MS, T0_MS + 10_000)
        async with running_writer(settings(database_url, redis_url)):
            await eventually(lambda: fetch(database_url, "SELECT FROM ledger WHERE received = '{[0,20)}'"))
    assert await times(database_url, "fixes") == [T0_MS + 10_000 + seq for seq in range(20)]
    (row,) = await fetch(database_url, "SELECT erased FROM ledger")
    assert row["erased"] == 20 * 5
    await assert_counts_agree(database_url)


async def test_writer_carries_out_what_was_only_ordered(database_url: str, redis_url: str, store: Store) -> None:
    """As after the API's order, or when who carried it out was killed."""
    await store.commit([arrival(rich(0, T0_MS))])
    connection = await asyncpg.connect(database_url)
    try:
        await order(connection, await vehicle_id(database_url), begin=None, end=at(NOW_MS), actor="test")
    finally:
        await connection.close()
    async with running_writer(settings(database_url, redis_url)):
        await eventually(lambda: fetch(database_url, "SELECT FROM erasures WHERE done_at IS NOT NULL"))
    assert await times(database_url, "samples") == []
    await assert_counts_agree(database_url)


async def test_interrupted_erasure_is_carried_out_again_with_exact_counts(
    database_url: str, store: Store, pool: Pool
) -> None:
    await store.commit([arrival(rich(0, *(T0_MS + day * DAY_MS for day in range(6))))])
    async with pool.acquire() as connection:
        number = await order(connection, await vehicle_id(database_url), begin=None, end=at(NOW_MS), actor="test")
    executing = asyncpg.connection.Connection.execute
    calls = 0

    class Interrupted(Exception):
        pass

    class Cutting:
        """A connection that is cut after some statements."""

        def __init__(self, connection: asyncpg.Connection, after: int) -> None:
            self._connection, self._left = connection, after

        def __getattr__(self, name: str) -> object:
            return getattr(self._connection, name)

        async def execute(self, *arguments: object, **more: object) -> object:
            nonlocal calls
            calls += 1
            self._left -= 1
            if self._left < 0 and "advisory" not in str(arguments[0]):
                raise Interrupted
            return await executing(self._connection, *arguments, **more)

    for after in range(2, 40, 3):
        connection = await asyncpg.connect(database_url)
        try:
            await carry_out(Cutting(connection, after), number)  # type: ignore[arg-type]
            break
        except Interrupted:
            continue
        finally:
            await connection.close()
    else:
        pytest.fail("it never came to its end")
    assert calls > 20
    (row,) = await fetch(database_url, "SELECT samples, fixes, events, frames FROM erasures")
    assert tuple(row) == (7, 6, 6, 6)
    await assert_counts_agree(database_url)


async def test_command_erases_a_vehicle_and_tells_what(database_url: str, store: Store, pool: Pool) -> None:
    await store.commit([arrival(rich(0, T0_MS, T0_MS + 5)), arrival(rich(0, T0_MS, vehicle="truck-2"))])
    await store.add_events("truck-1", [(b"key", facts_of(rich(0, T0_MS)))], received_ms=NOW_MS)
    result = await run(database_url, "erase", "truck-1", "--yes")
    assert (result.exit_code, result.output) == (0, "erased: 5 samples, 3 fixes, 3 events, 3 frames\n")
    assert await fetch(database_url, "SELECT FROM event_keys") == []
    assert len(await times(database_url, "fixes", "truck-2")) == 1
    (entry,) = await fetch(database_url, "SELECT action, data FROM audit_log")
    assert (entry["action"], json.loads(entry["data"])["vehicle"]) == ("erasure.order", "truck-1")
    (listed,) = (await run(database_url, "erasures", "--json")).output.splitlines()
    assert json.loads(listed)["samples"] == 5
    await assert_counts_agree(database_url)


async def test_all_of_a_vehicle_goes_however_far_back_its_times_lie(
    database_url: str, store: Store, pool: Pool
) -> None:
    """What was believed lies where it says, since the year 1; the keys of impossible events lie at 2010."""
    for seq, t_ms in enumerate((MIN_TIME_MS, 0, EARLIEST_MS - 1, EARLIEST_MS, T0_MS)):
        await store.commit([Arrival("truck-1", STREAM, seq, facts_of(rich(seq, t_ms)))])
    events = {b"since never": 5_000, b"at 2010": EARLIEST_MS, b"tomorrow": NOW_MS + DAY_MS, b"now": T0_MS}
    for key, t_ms in events.items():
        await store.add_events("truck-1", [(key, facts_of(rich(0, t_ms)))], received_ms=NOW_MS)
    assert len(await fetch(database_url, "SELECT FROM set_aside")) == 2
    assert len(await fetch(database_url, "SELECT FROM event_keys WHERE ts = $1", at(EARLIEST_MS))) == 3
    assert (await run(database_url, "erase", "truck-1", "--yes")).exit_code == 0
    for table in (*TABLES, "event_keys", "set_aside", "dead_letters"):
        assert await fetch(database_url, f"SELECT FROM {table}") == [], table
    await assert_counts_agree(database_url)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (("truck-9", "--yes"), 1, "there is no vehicle 'truck-9'"),
        (("truck-1", "--yes", "--to", "2199-01-01"), 2, "lies in the future"),
        (("truck-1", "--yes", "--from", "2024-01-02", "--to", "2024-01-01"), 2, "--from must lie before --to"),
        (("truck-1",), 1, "Erase all data of 'truck-1'"),
    ],
)
async def test_misuse_erases_nothing(
    database_url: str, pool: Pool, arguments: tuple[str, ...], exit_code: int, says: str
) -> None:
    result = await run(database_url, "erase", *arguments)
    assert (result.exit_code, says in result.output) == (exit_code, True), result.output
    assert await fetch(database_url, "SELECT FROM erasures") == []


async def test_event_in_an_erased_span_is_dropped_and_known_afterwards(
    database_url: str, store: Store, pool: Pool
) -> None:
    await erase(pool, database_url, T0_MS, T0_MS + 1_000)
    events = [
        (b"one", facts_of(rich(0, T0_MS + 1))),
        (b"two", facts_of(rich(0, T0_MS + DAY_MS))),
    ]
    stored = await store.add_events("truck-1", events, received_ms=NOW_MS)
    assert (stored.stored, stored.erased, stored.repeated) == (1, 1, 0)
    again = await store.add_events("truck-1", events, received_ms=NOW_MS)
    assert again.repeated == 2
    await assert_counts_agree(database_url)
