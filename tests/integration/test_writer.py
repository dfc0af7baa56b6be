"""The writer over real services: what it stores, what it knows already, what it sets apart, and what it survives."""

import asyncio
import random
import secrets
import shutil
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from cloud.bus import Bus
from cloud.database import make_pool
from cloud.errors import DatabaseError
from cloud.migrations import migrate
from cloud.streams.entries import batch_item, claims_item
from cloud.telemetry.facts import facts_of
from cloud.telemetry.store import Arrival, Store
from cloud.writer import process
from cloud.writer.metrics import WriterMetrics
from cloud.writer.zombies import Undeterred
from tests.private_services import PrivateRedis, PrivateServices
from tests.running import T0_MS, add_vehicle, eventually, fetch, make_batch, running_writer, settings
from wire.codec import encode_batch
from wire.envelope import StreamClaim
from wire.model import Batch, Column, Event, Fixes, FrameBlock
from wire.names import shard_of

pytestmark = pytest.mark.services

SHARD = shard_of("truck-1")


@pytest.fixture
def stream() -> str:
    return str(uuid.uuid4())


@pytest.fixture
async def registered(database_url: str) -> str:
    """The address of a database that knows truck-1."""
    await add_vehicle(database_url)
    return database_url


@pytest.fixture
async def bus(redis_url: str) -> AsyncIterator[Bus]:
    async with Bus(redis_url) as bus:
        yield bus


async def queue(bus: Bus, batches: Sequence[Batch], *claims: StreamClaim) -> None:
    items = [batch_item(one.vehicle, one.stream, one.seq, encode_batch(one)) for one in batches]
    await bus.admit(SHARD, items, claims_item("truck-1", claims) if claims else None)


async def drained(bus: Bus) -> None:
    await eventually(lambda: _is_empty(bus))


async def _is_empty(bus: Bus) -> bool:
    return await bus.backlog(SHARD) == 0


async def counts(database_url: str) -> tuple[int, int]:
    """Samples, and different ones."""
    (row,) = await fetch(
        database_url, "SELECT count(*) AS n, count(DISTINCT (ts, vehicle_id, signal_id, value)) AS d FROM samples"
    )
    return row["n"], row["d"]


async def test_every_value_arrives_as_it_was_sent(registered: str, redis_url: str, bus: Bus, stream: str) -> None:
    batch = Batch(
        vehicle="truck-1",
        stream=stream,
        seq=0,
        t0=T0_MS,
        signals={
            "A.Tiny": Column(dt=[0, 0, 7], v=[5e-324, -0.1, 1.7976931348623157e308], q={1: 32767}),
            "A.Big": Column(dt=[-1, 2**31], v=[2.0**53, 0.1 + 0.2]),
        },
        fixes=Fixes(dt=[0, 250], lat=[-90, 47.123456789], lon=[180, 8.5], speed=[None, 88.5], sats=[255, None]),
        events=[Event(t=T0_MS + 3, kind="dtc_set", data={"code": "P0301", "n": [1, None, {"ä": "ö"}]})],
        frames=[FrameBlock(bus="pt", dt=[1], id=[0x18FEF100], data=["00ff10"])],
    )
    async with running_writer(settings(registered, redis_url)):
        await queue(bus, [batch])
        await drained(bus)
    samples = await fetch(
        registered,
        "SELECT name, extract(epoch FROM ts)::numeric * 1000 - $1::bigint AS dt, value, q FROM samples s"
        " JOIN signals g ON g.id = s.signal_id ORDER BY name, ts",
        T0_MS,
    )
    assert [tuple(row) for row in samples] == [
        ("A.Big", -1, 2.0**53, None),
        ("A.Big", 2**31, 0.1 + 0.2, None),
        ("A.Tiny", 0, 5e-324, None),
        ("A.Tiny", Decimal("0.001"), -0.1, 32767),
        ("A.Tiny", 7, 1.7976931348623157e308, None),
    ]
    fixes = await fetch(registered, "SELECT lat, lon, alt, speed, course, hdop, sats FROM fixes ORDER BY ts")
    assert [tuple(row) for row in fixes] == [
        (-90, 180, None, None, None, None, 255),
        (47.123456789, 8.5, None, 88.5, None, None, None),
    ]
    (event,) = await fetch(registered, "SELECT kind, data->'n'->2->>'ä' AS deep, ts FROM device_events")
    assert (event["kind"], event["deep"]) == ("dtc_set", "ö")
    assert event["ts"] == datetime.fromtimestamp((T0_MS + 3) / 1000, UTC)
    (frame,) = await fetch(registered, "SELECT bus, arb_id, data FROM frames")
    assert tuple(frame) == ("pt", 0x18FEF100, b"\x00\xff\x10")
    (row,) = await fetch(registered, "SELECT received::text, samples, fixes, events, next FROM ledger")
    assert tuple(row) == ("{[0,1)}", 5, 2, 1, 1)
    (dirty,) = await fetch(registered, "SELECT t_from, t_to FROM dirty")
    assert dirty["t_from"] == datetime.fromtimestamp((T0_MS - 1) / 1000, UTC)
    (journal,) = await fetch(registered, "SELECT seqs::text, samples, fixes, events FROM journal")
    assert tuple(journal) == ("{[0,1)}", 5, 2, 1)


async def test_repeats_within_a_group_and_after_it_are_dropped(
    registered: str, redis_url: str, bus: Bus, stream: str
) -> None:
    batches = [make_batch(seq, stream) for seq in range(20)]
    async with Redis.from_url(redis_url) as redis:
        await queue(bus, batches)
        await redis.delete(f"inflight:{{{SHARD:02d}}}")  # so that each is queued a second time
        await queue(bus, batches)
        async with running_writer(settings(registered, redis_url)):
            await drained(bus)
            await redis.flushall()
            await queue(bus, random.sample(batches, len(batches)))
            await drained(bus)
    assert await counts(registered) == (400, 400)
    (row,) = await fetch(registered, "SELECT received::text, samples FROM ledger")
    assert tuple(row) == ("{[0,20)}", 400)


async def test_latest_does_not_depend_on_the_order_of_arrival(registered: str, redis_url: str, bus: Bus) -> None:
    found = []
    for _ in range(3):
        stream = str(uuid.uuid4())
        batches = [
            make_batch(seq, stream, fixes=Fixes(dt=[0], lat=[seq], lon=[-seq], speed=[1.5])) for seq in range(30)
        ]
        async with running_writer(settings(registered, redis_url, group_samples=random.choice([1, 100]))):
            await queue(bus, random.sample(batches, len(batches)))
            await drained(bus)
        rows = await fetch(
            registered, "SELECT last_ts, ts_ms, values, fix_ts, lat, lon, alt, speed, course FROM latest"
        )
        found.append([tuple(row) for row in rows])
        await fetch(registered, "TRUNCATE latest")
    assert found[0] == found[1] == found[2]
    last_ts, ts_ms, values, _, lat, *_ = found[0][0]
    assert (ts_ms, sorted(values), lat) == ([T0_MS + 29_900] * 2, [-29.09, 29.09], 29)
    assert last_ts == datetime.fromtimestamp((T0_MS + 29_900) / 1000, UTC)


async def test_batch_that_the_database_refuses_is_buried_alone(
    registered: str, redis_url: str, bus: Bus, stream: str
) -> None:
    batches = [make_batch(seq, stream) for seq in range(7)]
    batches[3] = make_batch(3, stream, events=[Event(t=T0_MS, kind="x", data={"nul": "\0"})])
    async with running_writer(settings(registered, redis_url)):
        await queue(bus, batches)
        await drained(bus)
    (row,) = await fetch(registered, "SELECT received::text, dead::text, samples FROM ledger")
    assert tuple(row) == ("{[0,3),[4,7)}", "{[3,4)}", 120)
    (letter,) = await fetch(registered, "SELECT seq, problem, payload FROM dead_letters")
    assert letter["seq"] == 3
    assert "u0000" in letter["problem"]
    assert letter["payload"] == encode_batch(batches[3])


async def test_entry_that_is_no_batch_is_buried_and_its_claims_hold(
    registered: str, redis_url: str, bus: Bus, stream: str
) -> None:
    claim = claims_item("truck-1", [StreamClaim(stream=stream, next=3, lost=((1, 1, "evicted"),))])
    await bus.admit(SHARD, [batch_item("truck-1", stream, 0, b'{"v":1}')], claim)
    await bus.admit(SHARD, [batch_item("truck-1", stream, 2, encode_batch(make_batch(5, stream)))])
    async with running_writer(settings(registered, redis_url)):
        await drained(bus)
    (row,) = await fetch(registered, "SELECT received::text, dead::text, lost::text, next FROM ledger")
    assert tuple(row) == ("{}", "{[0,1),[2,3)}", "{[1,2)}", 3)
    (loss,) = await fetch(registered, "SELECT range::text, cause FROM losses")
    assert tuple(loss) == ("[1,2)", "evicted")


@pytest.mark.parametrize("name", ["", "truck-1", "truck-1/x/0", "truck-1/{stream}/x", "truck-1/{stream}/" + "9" * 20])
async def test_entry_that_nobody_named_is_dropped(
    registered: str, redis_url: str, bus: Bus, stream: str, name: str
) -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.xadd(f"tm:{{{SHARD:02d}}}", {"n": name.format(stream=stream), "b": "{}"})
    await queue(bus, [make_batch(0, stream)])
    async with running_writer(settings(registered, redis_url)):
        await drained(bus)
    assert await counts(registered) == (20, 20)


async def test_received_beats_lost_in_either_order(registered: str, redis_url: str, bus: Bus, stream: str) -> None:
    claim = StreamClaim(stream=stream, next=3, lost=((0, 2, "evicted"),))
    async with running_writer(settings(registered, redis_url)):
        await queue(bus, [make_batch(0, stream)])
        await drained(bus)
        await queue(bus, [], claim)
        await drained(bus)
        await queue(bus, [make_batch(2, stream)])
        await drained(bus)
    (row,) = await fetch(registered, "SELECT received::text, lost::text FROM ledger")
    assert tuple(row) == ("{[0,1),[2,3)}", "{[1,2)}")
    assert [r["range"] for r in await fetch(registered, "SELECT range::text FROM losses")] == ["[1,3)"]


async def test_batches_of_a_vehicle_that_is_not_registered_are_dropped(
    database_url: str, redis_url: str, bus: Bus, stream: str
) -> None:
    await queue(bus, [make_batch(0, stream)])
    async with running_writer(settings(database_url, redis_url)):
        await drained(bus)
    assert await fetch(database_url, "SELECT FROM ledger") == []


async def test_newest_batch_names_the_vehicles_catalog(registered: str, redis_url: str, bus: Bus, stream: str) -> None:
    async with running_writer(settings(registered, redis_url)):
        for seq, catalog in ((1, "b" * 64), (0, "a" * 64)):
            await queue(bus, [make_batch(seq, stream, catalog=catalog)])
            await drained(bus)
    (row,) = await fetch(registered, "SELECT catalog FROM vehicles")
    assert row["catalog"] == "b" * 64


async def test_what_a_dead_writer_left_pending_is_written_by_the_next(
    registered: str, redis_url: str, bus: Bus, stream: str
) -> None:
    await queue(bus, [make_batch(seq, stream) for seq in range(5)])
    assert len(await bus.read([SHARD], count=3, block_ms=1000)) == 3
    async with running_writer(settings(registered, redis_url)):
        await drained(bus)
    assert await counts(registered) == (100, 100)


async def test_second_writer_takes_over_when_the_lease_of_the_first_runs_out(
    registered: str, redis_url: str, bus: Bus, stream: str
) -> None:
    assert await bus.lease(SHARD, secrets.token_hex(4), ttl_ms=500)
    await queue(bus, [make_batch(0, stream)])
    async with running_writer(settings(registered, redis_url)):
        await drained(bus)
    assert await counts(registered) == (20, 20)


async def test_two_writers_at_once_store_everything_once(
    registered: str, redis_url: str, bus: Bus, stream: str
) -> None:
    async with running_writer(settings(registered, redis_url)):
        async with running_writer(settings(registered, redis_url)), Redis.from_url(redis_url) as redis:
            for start in range(0, 60, 10):
                await redis.delete(*[f"lease:{{{shard:02d}}}" for shard in range(16)])
                await queue(bus, [make_batch(seq, stream) for seq in range(start, start + 10)])
        await drained(bus)
    assert await counts(registered) == (1200, 1200)


async def test_transaction_of_a_stopped_writer_does_not_hold_up_the_next(registered: str, stream: str) -> None:
    arrival = Arrival("truck-1", stream, 0, facts_of(make_batch(0, stream)))
    stopped = await asyncpg.connect(registered, server_settings={"application_name": "fleetwire-writer"})
    foreign = await asyncpg.connect(registered, server_settings={"application_name": "psql"})
    for connection, table in ((stopped, "ledger"), (foreign, "samples")):
        await connection.execute(f"BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE")
    async with make_pool(registered, size=2, name="writer") as pool, asyncio.timeout(30):
        undeterred = Undeterred(Store(pool), pool, WriterMetrics(CollectorRegistry()))
        storing = asyncio.create_task(undeterred.commit([arrival]))
        await eventually(lambda: _has_ended(stopped))
        assert not storing.done()
        await foreign.execute("COMMIT")
        assert (await storing).batches == 1
    await foreign.close()


async def _has_ended(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    return connection.is_closed()


async def test_stopped_writer_has_committed_what_it_read(
    registered: str, redis_url: str, bus: Bus, stream: str
) -> None:
    async with running_writer(settings(registered, redis_url, group_age_ms=60_000)):
        await queue(bus, [make_batch(0, stream)])
        await eventually(lambda: bus.read_pending(SHARD, count=1))
    assert await counts(registered) == (20, 20)
    assert await bus.backlog(SHARD) == 0


async def test_writer_outlives_postgresql_being_killed(
    private_services: PrivateServices, redis_url: str, bus: Bus, stream: str
) -> None:
    database_url = await _migrated(private_services)
    await add_vehicle(database_url)
    async with running_writer(settings(database_url, redis_url)):
        await queue(bus, [make_batch(0, stream)])
        await drained(bus)
        await private_services.kill("postgres")
        await queue(bus, [make_batch(seq, stream) for seq in range(1, 40)])
        await eventually(lambda: bus.read_pending(SHARD, count=1))
        await private_services.start("postgres")
        await drained(bus)
    assert await counts(database_url) == (800, 800)


async def test_signals_are_asked_for_anew_after_a_backup_was_restored(
    private_services: PrivateServices, redis_url: str, bus: Bus, stream: str
) -> None:
    database_url = await _migrated(private_services)
    await add_vehicle(database_url)
    data, backup = private_services.home / "services" / "postgres", private_services.home / "backup"
    await private_services.stop("postgres")
    shutil.copytree(data, backup)
    await private_services.start("postgres")
    async with running_writer(settings(database_url, redis_url)):
        await queue(bus, [make_batch(0, stream)])
        await drained(bus)
        await private_services.stop("postgres")  # while the writer has nothing to do, so that no call of its fails
        shutil.rmtree(data)
        backup.rename(data)
        await private_services.start("postgres")
        await queue(bus, [make_batch(0, stream)])
        await drained(bus)
    named = await fetch(
        database_url, "SELECT name, count(*) FROM samples s JOIN signals g ON g.id = signal_id GROUP BY 1"
    )
    assert {tuple(row) for row in named} == {("Engine.Load", 10), ("Engine.Speed", 10)}


async def test_writer_starts_before_the_database_and_stops_without_it(
    private_services: PrivateServices, redis_url: str
) -> None:
    database_url = await _migrated(private_services)
    await private_services.kill("postgres")
    stop = asyncio.Event()
    said: asyncio.Queue[str] = asyncio.Queue()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(process.run(settings(database_url, redis_url), stop, said.put_nowait))
        await private_services.start("postgres")
        assert "ready" in await said.get()
        await private_services.kill("postgres")
        stop.set()


async def test_writer_outlives_redis_being_killed_and_wiped(
    registered: str, private_redis: PrivateRedis, stream: str
) -> None:
    batches = [make_batch(seq, stream) for seq in range(60)]
    async with running_writer(settings(registered, private_redis.url)), Bus(private_redis.url) as bus:
        await queue(bus, batches[:20])
        await private_redis.kill()
        await private_redis.restart()
        await queue(bus, batches[:40])
        async with Redis.from_url(private_redis.url) as redis:
            await redis.flushall()
        await queue(bus, batches)
        await drained(bus)
    assert await counts(registered) == (1200, 1200)


async def test_server_that_acknowledges_what_it_can_lose_is_refused(registered: str, redis_url: str) -> None:
    name = registered.rpartition("/")[2]
    await fetch(registered, f"ALTER DATABASE {name} SET synchronous_commit = off")
    with pytest.raises(ExceptionGroup) as raised:
        async with running_writer(settings(registered, redis_url)):
            pytest.fail("it should not start")
    assert raised.group_contains(DatabaseError, match="synchronous_commit")


async def _migrated(services: PrivateServices) -> str:
    database_url = (await services.start("postgres")).running["postgres"].url
    await migrate(database_url)
    return database_url


async def test_facts_of_an_untrusted_clock_are_flagged(registered: str, redis_url: str, bus: Bus, stream: str) -> None:
    columns = {"a": Column(dt=[0, 1], v=[1, 2], q={1: 5})}
    batch = make_batch(0, stream, clock="untrusted", signals=columns, fixes=Fixes(dt=[0], lat=[1], lon=[2]))
    async with running_writer(settings(registered, redis_url)):
        await queue(bus, [batch])
        await drained(bus)
    rows = await fetch(registered, "SELECT q FROM samples UNION ALL SELECT q FROM fixes ORDER BY q")
    assert [row["q"] for row in rows] == [-(2**15), -(2**15), -(2**15) + 5]
