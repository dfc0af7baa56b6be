"""What only a Redis Cluster does: slots that move while they are used, and nodes that die while others live."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from cloud.bus import Bus
from cloud.errors import BusDown
from cloud.streams.entries import Gap, LiveMessage, batch_item
from cloud.writer.leases import Leases
from tests.redis_cluster import Node, RedisCluster, running_cluster
from tests.running import eventually

pytestmark = pytest.mark.services

STREAM = str(uuid.UUID(int=9))
SHARDS = range(16)
BLOCK_MS = 2000


@pytest.fixture
async def cluster(redis_cluster: RedisCluster) -> RedisCluster:
    return redis_cluster


@pytest.fixture
async def bus(cluster: RedisCluster) -> AsyncIterator[Bus]:
    async with Bus(cluster.url) as bus:
        yield bus


@pytest.fixture
async def mortal(tmp_path: Path) -> AsyncIterator[RedisCluster]:
    """One of the test's own, to kill nodes of."""
    async with running_cluster(tmp_path) as cluster:
        yield cluster


def item(seq: int):
    return batch_item("truck-1", STREAM, seq, b'{"seq":%d}' % seq)


async def other_than(cluster: RedisCluster, shard: int) -> Node:
    owner = await cluster.owner(shard)
    return next(node for node in cluster.nodes if node is not owner)


async def shard_beside(cluster: RedisCluster, node: Node) -> int:
    """One that another node has."""
    for shard in SHARDS:
        if await cluster.owner(shard) is not node:
            return shard
    raise AssertionError("it has all")


async def read_all(bus: Bus, shard: int, count: int) -> list[str]:
    """Names in the order in which they come, until there are so many; each is done."""
    names: list[str] = []
    async with asyncio.timeout(30):
        while len(names) < count:
            found = await bus.read([shard], count=100, block_ms=BLOCK_MS)
            await bus.done(found)
            names += [delivery.name for delivery in found]
    return names


async def test_shards_lie_on_all_nodes(cluster: RedisCluster, bus: Bus) -> None:
    for shard in SHARDS:
        await bus.admit(shard, [item(0)])
    sizes = [await cluster.command(node, "DBSIZE") for node in cluster.nodes]
    assert min(sizes) > 0
    assert [await bus.backlog(shard) for shard in SHARDS] == [1] * len(SHARDS)


async def test_entries_of_all_shards_are_read_by_one_call_or_the_next(bus: Bus) -> None:
    for shard in SHARDS:
        await bus.admit(shard, [item(0)])
    heard: set[int] = set()
    async with asyncio.timeout(30):
        while heard != set(SHARDS):
            found = await bus.read(SHARDS, count=10, block_ms=BLOCK_MS)
            assert not heard & {delivery.shard for delivery in found}
            heard |= {delivery.shard for delivery in found}


async def test_what_a_reader_waited_for_when_it_stopped_is_not_forgotten(bus: Bus) -> None:
    await bus.admit(0, [item(0)])
    assert [d.shard for d in await bus.read([0, 1, 2], count=10, block_ms=BLOCK_MS)] == [0]
    await bus.admit(1, [item(1)])
    await bus.admit(2, [item(2)])
    assert {d.name for d in await bus.read([], count=10, block_ms=1)} == {item(1).name, item(2).name}
    assert await bus.read([], count=10, block_ms=1) == []


async def test_slot_that_has_moved_is_followed(cluster: RedisCluster, bus: Bus) -> None:
    await bus.admit(3, [item(0)])
    before = await bus.bus_id(3)
    await cluster.move(3, await other_than(cluster, 3))
    assert (await bus.admit(3, [item(0), item(1)])).queued == (False, True)
    assert await read_all(bus, 3, 2) == [item(0).name, item(1).name]
    # The one that has it now may lack what the one before had.
    assert await bus.bus_id(3) != before


async def test_slot_on_its_way_is_served_on_either_side(cluster: RedisCluster, bus: Bus) -> None:
    """Keys that have gone ahead are asked for there, by a connection that says so."""
    await bus.admit(5, [item(0)])
    await bus.read([5], count=1, block_ms=BLOCK_MS)
    target = await other_than(cluster, 5)
    source = await cluster.open_move(5, target)
    assert (await bus.admit(5, [item(0), item(1)])).queued == (False, True)
    while await cluster.move_keys(5, source, target):
        pass
    answers = await asyncio.gather(*(bus.admit(5, [item(seq)]) for seq in range(20)))
    assert [answer.queued for answer in answers] == [(False,), (False,), *[(True,)] * 18]
    found = await bus.read([5], count=100, block_ms=BLOCK_MS)
    assert {delivery.name for delivery in found} == {item(seq).name for seq in range(1, 20)}
    await bus.done([*found, *await bus.read_pending(5, count=100)])
    assert await bus.backlog(5) == 0
    await cluster.close_move(5, target)
    assert (await bus.admit(5, [item(0)])).queued == (True,)


async def test_slot_whose_keys_are_on_both_sides_is_waited_for(cluster: RedisCluster, bus: Bus) -> None:
    await bus.admit(6, [item(0)])
    target = await other_than(cluster, 6)
    source = await cluster.open_move(6, target)
    await cluster.move_keys(6, source, target, count=1)
    admitting = asyncio.create_task(bus.admit(6, [item(0), item(1)]))
    while await cluster.move_keys(6, source, target):
        pass
    await cluster.close_move(6, target)
    assert (await admitting).queued == (False, True)


async def test_slot_that_stays_on_its_way_is_said_to_be_down_and_others_go_on(cluster: RedisCluster, bus: Bus) -> None:
    await bus.admit(7, [item(0)])
    target = await other_than(cluster, 7)
    source = await cluster.open_move(7, target)
    await cluster.move_keys(7, source, target, count=1)
    with pytest.raises(BusDown, match="on its way"):
        await bus.admit(7, [item(1)])
    assert (await bus.admit(8, [item(1)])).queued == (True,)
    while await cluster.move_keys(7, source, target):
        pass
    await cluster.close_move(7, target)
    assert (await bus.admit(7, [item(1)])).queued == (True,)


async def test_reader_that_waits_follows_the_slot(cluster: RedisCluster, bus: Bus) -> None:
    await bus.admit(9, [item(0)])
    await read_all(bus, 9, 1)
    reading = asyncio.create_task(read_all(bus, 9, 3))
    for seq in range(1, 4):
        await cluster.move(9, await other_than(cluster, 9))
        await bus.admit(9, [item(seq)])
    assert await reading == [item(seq).name for seq in range(1, 4)]


async def test_live_goes_on_after_a_gap_where_its_slot_has_moved(cluster: RedisCluster, bus: Bus) -> None:
    async with asyncio.timeout(60), aclosing(bus.subscribe_live(SHARDS)) as live:
        assert await anext(live) == Gap()
        await cluster.move(4, await other_than(cluster, 4))
        assert await anext(live) == Gap()
        for shard in (4, 11):
            await bus.publish_live(shard, [LiveMessage("a", shard, b"{}")])
            while (heard := await anext(live)) == Gap():
                pass
            assert heard == LiveMessage("a", shard, b"{}")


async def test_dead_node_takes_only_its_own_shards_with_it(mortal: RedisCluster) -> None:
    victim = mortal.nodes[1]
    async with Bus(mortal.url) as bus:
        ids = {shard: (await bus.admit(shard, [item(0)])).bus_id for shard in SHARDS}
        of_victim = [shard for shard in SHARDS if await mortal.owner(shard) is victim]
        others = [shard for shard in SHARDS if shard not in of_victim]
        writer = Leases(bus, SHARDS, owner="w")
        await writer.renew()
        assert writer.held == frozenset(SHARDS)
        await mortal.kill(victim)
        for shard in of_victim:
            with pytest.raises(BusDown):
                await bus.admit(shard, [item(1)])
        answers = await asyncio.gather(*(bus.admit(shard, [item(1)]) for shard in others))
        assert {answer.queued for answer in answers} == {(True,)}
        assert [answer.bus_id for answer in answers] == [ids[shard] for shard in others]
        await writer.renew()
        assert writer.held == frozenset(others)
        await bus.ping()
        heard = await read_besides_the_dead(bus, 2 * len(others))
        assert heard == {(shard, item(seq).name) for shard in others for seq in (0, 1)}
        # It comes back empty, and under another id: what it had is to be sent again.
        await mortal.start(victim)
        await mortal.until_ok()
        for shard in of_victim:
            admitted = await eventually(lambda shard=shard: admitted_or_none(bus, shard))
            assert admitted.queued == (True,)
            assert admitted.bus_id != ids[shard]
        await writer.renew()
        assert writer.held == frozenset(SHARDS)


async def read_besides_the_dead(bus: Bus, count: int) -> set[tuple[int, str]]:
    heard: set[tuple[int, str]] = set()
    async with asyncio.timeout(30):
        while len(heard) < count:
            with contextlib.suppress(BusDown):
                heard |= {(d.shard, d.name) for d in await bus.read(SHARDS, count=10, block_ms=500)}
    return heard


async def admitted_or_none(bus: Bus, shard: int):
    try:
        return await bus.admit(shard, [item(0)])
    except BusDown:
        return None


async def test_live_is_heard_from_the_nodes_that_live_and_again_from_one_that_comes_back(mortal: RedisCluster) -> None:
    victim = await mortal.owner(0)
    alive = await shard_beside(mortal, victim)
    async with Bus(mortal.url) as bus, asyncio.timeout(60), aclosing(bus.subscribe_live(SHARDS)) as live:
        assert await anext(live) == Gap()
        await mortal.kill(victim)
        await bus.publish_live(alive, [LiveMessage("a", 1, b"{}")])
        assert await anext(live) == LiveMessage("a", 1, b"{}")
        await mortal.start(victim)
        assert await anext(live) == Gap()
        await bus.publish_live(0, [LiveMessage("b", 2, b"{}")])
        assert await anext(live) == LiveMessage("b", 2, b"{}")


async def test_bus_begins_while_the_first_node_that_its_address_names_is_dead(mortal: RedisCluster) -> None:
    await mortal.kill(mortal.nodes[0])
    shard = await shard_beside(mortal, mortal.nodes[0])
    async with Bus(mortal.url) as bus:
        assert (await bus.admit(shard, [item(0)])).queued == (True,)


async def test_cluster_whose_nodes_are_all_dead_is_down(mortal: RedisCluster) -> None:
    async with Bus(mortal.url) as bus:
        await bus.ping()
        for node in mortal.nodes:
            await mortal.kill(node)
        with pytest.raises(BusDown):
            await bus.ping()
        with pytest.raises(BusDown):
            await eventually(lambda: bus.read(SHARDS, count=1, block_ms=1))
