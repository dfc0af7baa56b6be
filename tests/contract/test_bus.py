"""What the writer and ingest rely on, held by Redis, by a Redis Cluster and by the bus in memory alike."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

import pytest
from redis.asyncio import Redis

from cloud.bus import Bus
from cloud.errors import BusDown
from cloud.streams.entries import Delivery, Gap, LiveMessage, batch_item, claims_item, read_claims, unpack
from cloud.streams.memory_bus import MemoryBus
from tests.redis_cluster import RedisCluster
from tests.running import eventually
from wire.envelope import StreamClaim

STREAM = str(uuid.UUID(int=7))
BLOCK_MS = 2000


@dataclass
class Subject:
    bus: Bus | MemoryBus
    wipe: Callable[[], Awaitable[None]]


@pytest.fixture(params=["memory", *(pytest.param(name, marks=pytest.mark.services) for name in ("redis", "cluster"))])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "memory":
        memory = MemoryBus()

        async def wipe_memory() -> None:
            memory.wipe()

        yield Subject(memory, wipe_memory)
        return
    if request.param == "cluster":
        cluster: RedisCluster = request.getfixturevalue("redis_cluster_servers")
        url, wipe = cluster.url, cluster.flush
    else:
        url = request.getfixturevalue("redis_server")
        wipe = partial(_flush, url)
    await wipe()
    async with Bus(url) as bus:
        yield Subject(bus, wipe)
    await wipe()


async def _flush(url: str) -> None:
    async with Redis.from_url(url) as redis:
        await redis.flushall()


def item(seq: int, body: bytes = b"{}"):
    return batch_item("truck-1", STREAM, seq, body)


async def read(subject: Subject, *shards: int) -> list[Delivery]:
    return await subject.bus.read(shards, count=100, block_ms=BLOCK_MS)


async def test_admitted_batches_are_read_once_and_in_order(subject: Subject) -> None:
    admitted = await subject.bus.admit(3, [item(0, b'{"a":1}'), item(1)])
    assert admitted.queued == (True, True)
    found = await read(subject, 3)
    assert [(d.shard, d.vehicle, d.name, d.claims) for d in found] == [
        (3, "truck-1", f"truck-1/{STREAM}/0", None),
        (3, "truck-1", f"truck-1/{STREAM}/1", None),
    ]
    assert found[0].batch == b'{"a":1}'
    assert await subject.bus.read([3], count=100, block_ms=1) == []


async def test_batch_in_flight_is_not_queued_twice_until_it_is_done(subject: Subject) -> None:
    assert (await subject.bus.admit(0, [item(0)])).queued == (True,)
    assert (await subject.bus.admit(0, [item(0), item(1)])).queued == (False, True)
    await subject.bus.done(await read(subject, 0))
    assert (await subject.bus.admit(0, [item(0)])).queued == (True,)
    assert await subject.bus.in_flight(0, [item(0).name, item(1).name]) == (True, False)


async def test_reading_of_no_shards_ends_at_once(subject: Subject) -> None:
    await subject.bus.admit(0, [item(0)])
    async with asyncio.timeout(30):
        assert await subject.bus.read([], count=1, block_ms=600_000) == []


async def test_large_body_arrives_as_it_was(subject: Subject) -> None:
    body = b'{"x":"' + b"y" * 100_000 + b'"}'
    await subject.bus.admit(0, [item(0, body)])
    (found,) = await read(subject, 0)
    assert found.batch is not None
    assert unpack(found.batch) == body


async def test_entries_read_but_not_done_are_pending_for_the_next_writer(subject: Subject) -> None:
    await subject.bus.admit(0, [item(0), item(1)])
    first, second = await read(subject, 0)
    await subject.bus.done([first])
    assert await subject.bus.read_pending(0, count=100) == [second]
    assert await subject.bus.read_pending(0, after=second.id, count=100) == []
    await subject.bus.done([second])
    assert await subject.bus.read_pending(0, count=100) == []
    assert await subject.bus.backlog(0) == 0


async def test_done_twice_is_no_error(subject: Subject) -> None:
    await subject.bus.admit(0, [item(0)])
    found = await read(subject, 0)
    await subject.bus.done(found)
    await subject.bus.done(found)


async def test_claims_ride_on_the_first_batch_that_is_queued(subject: Subject) -> None:
    claims = claims_item("truck-1", [StreamClaim(stream=STREAM, next=3, lost=((1, 1, "evicted"),))])
    await subject.bus.admit(0, [item(0)])
    await subject.bus.admit(0, [item(0), item(2)], claims)
    first, second = await read(subject, 0)
    assert first.claims is None
    assert second.claims is not None
    assert read_claims(second.claims)[0].lost == ((1, 1, "evicted"),)


async def test_same_claims_alone_are_queued_once(subject: Subject) -> None:
    claims = claims_item("truck-1", [StreamClaim(stream=STREAM, next=3)])
    await subject.bus.admit(0, [], claims)
    await subject.bus.admit(0, [], claims)
    found = await read(subject, 0)
    assert [(d.vehicle, d.batch) for d in found] == [("truck-1", None)]
    await subject.bus.done(found)
    await subject.bus.admit(0, [], claims)
    assert len(await read(subject, 0)) == 1


async def test_bus_id_lasts_until_a_wipe(subject: Subject) -> None:
    before = await subject.bus.bus_id(0)
    assert (await subject.bus.admit(0, [item(0)])).bus_id == before
    await subject.wipe()
    after = (await subject.bus.admit(0, [item(0)])).bus_id
    assert after != before
    assert await subject.bus.bus_id(0) == after


async def test_reading_goes_on_after_a_wipe(subject: Subject) -> None:
    await subject.bus.admit(0, [item(0)])
    stale = await read(subject, 0, 1)
    await subject.wipe()
    assert (await subject.bus.admit(0, [item(0)])).queued == (True,)
    assert [d.name for d in await read(subject, 0, 1)] == [item(0).name]
    await subject.bus.done(stale)


async def test_blocked_reader_outlives_a_wipe(subject: Subject) -> None:
    await read_nothing(subject)
    reading = asyncio.create_task(read(subject, 0))
    await asyncio.sleep(0)
    await subject.wipe()
    await subject.bus.admit(0, [item(5)])
    assert [d.name for d in await reading] == [item(5).name]


async def read_nothing(subject: Subject) -> None:
    assert await subject.bus.read([0], count=1, block_ms=1) == []


async def test_lease_has_one_owner_who_may_renew_and_give_it_back(subject: Subject) -> None:
    assert await subject.bus.lease(0, "a", ttl_ms=60_000)
    assert await subject.bus.lease(0, "a", ttl_ms=60_000)
    assert not await subject.bus.lease(0, "b", ttl_ms=60_000)
    await subject.bus.release(0, "b")
    assert not await subject.bus.lease(0, "b", ttl_ms=60_000)
    await subject.bus.release(0, "a")
    assert await subject.bus.lease(0, "b", ttl_ms=60_000)


async def test_lease_runs_out(subject: Subject) -> None:
    assert await subject.bus.lease(0, "a", ttl_ms=1)
    async with asyncio.timeout(5):
        while not await subject.bus.lease(0, "b", ttl_ms=60_000):
            pass


async def test_writers_are_counted_until_they_leave_or_fall_silent(subject: Subject) -> None:
    assert await subject.bus.attend(range(4), "a", ttl_ms=60_000) == 1
    assert await subject.bus.attend(range(4), "b", ttl_ms=60_000) == 2
    assert await subject.bus.attend(range(4), "a", ttl_ms=60_000) == 2
    await subject.bus.leave(range(4), "b")
    assert await subject.bus.attend(range(4), "c", ttl_ms=1) == 2
    async with asyncio.timeout(5):
        while await subject.bus.attend(range(4), "a", ttl_ms=60_000) != 1:
            pass
    await subject.wipe()
    assert await subject.bus.attend(range(4), "b", ttl_ms=60_000) == 1


async def test_live_subscription_begins_with_a_gap_and_then_hears_its_shards(subject: Subject) -> None:
    async with asyncio.timeout(10), aclosing(subject.bus.subscribe_live([1, 2])) as live:
        assert await anext(live) == Gap()
        await subject.bus.publish_live(0, [LiveMessage("a", 1, b'{"seq":0}')])
        await subject.bus.publish_live(2, [LiveMessage("b", 2, b'{"seq":1,"batch":{}}')])
        assert await anext(live) == LiveMessage("b", 2, b'{"seq":1,"batch":{}}')


async def test_batch_is_heard_live_when_it_is_queued_and_only_then(subject: Subject) -> None:
    large = b'{"x":"%s"}' % (b"y" * 1000)
    async with asyncio.timeout(10), aclosing(subject.bus.subscribe_live([1])) as live:
        assert await anext(live) == Gap()
        await subject.bus.admit(1, [item(0, large)])
        await subject.bus.admit(1, [item(0, large), item(1)])
        heard = [await anext(live), await anext(live)]
    assert [(one.vehicle, one.batch) for one in heard if isinstance(one, LiveMessage)] == [
        ("truck-1", large),
        ("truck-1", b"{}"),
    ]


async def test_calls_at_once_are_answered_each_for_itself(subject: Subject) -> None:
    answers = await asyncio.gather(*(subject.bus.admit(seq % 2, [item(seq), item(seq // 2)]) for seq in range(300)))
    assert sum(sum(answer.queued) for answer in answers) == 300 + 150
    assert await subject.bus.backlog(0) + await subject.bus.backlog(1) == 450


async def test_redis_that_is_not_there_is_said_to_be_down() -> None:
    async with Bus("redis://127.0.0.1:1/0") as bus:
        with pytest.raises(BusDown):
            await bus.ping()


@pytest.mark.services
async def test_live_subscription_says_a_gap_after_its_connection_was_cut(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis, Bus(redis_url) as bus, aclosing(bus.subscribe_live([0])) as live:
        assert await anext(live) == Gap()
        await redis.client_kill_filter(_type="pubsub")
        async with asyncio.timeout(10):
            assert await anext(live) == Gap()


@pytest.mark.services
async def test_reader_whose_connection_was_cut_says_so_and_does_not_read_on(redis_url: str) -> None:
    """What its answer held is pending now: whoever reads must look there."""
    async with Redis.from_url(redis_url) as redis, Bus(redis_url) as bus:
        reading = asyncio.create_task(bus.read([0], count=1, block_ms=BLOCK_MS))

        async def readers() -> list[str]:
            return [one["id"] for one in await redis.client_list() if "b" in one["flags"]]  # blocked

        await redis.client_kill_filter(_id=(await eventually(readers))[0])
        with pytest.raises(BusDown):
            await reading
        assert await bus.read([0], count=1, block_ms=1) == []
