"""Shards are shared fairly among the writers that live, handed over when nothing of them is in work, and run out."""

import secrets
from collections.abc import Callable

import pytest

from cloud.streams.memory_bus import MemoryBus
from cloud.writer.leases import TTL_MS, Leases, fair_share

SHARDS = frozenset(range(16))


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def new_writer(clock: Clock) -> Callable[[], Leases]:
    bus = MemoryBus()
    return lambda: Leases(bus, range(16), owner=secrets.token_hex(4), clock=clock)


async def rounds(*writers: Leases, count: int = 3) -> None:
    """Each renews and gives back what it should."""
    for _ in range(count):
        for writer in writers:
            await writer.renew()
            await writer.give_back(writer.leaving)


@pytest.mark.parametrize(("writers", "share"), [(0, 16), (1, 16), (2, 8), (3, 6), (5, 4), (16, 1), (40, 1)])
def test_shares_have_room_for_all_shards(writers: int, share: int) -> None:
    assert fair_share(16, writers) == share
    assert writers * share >= 16 or writers == 0


async def test_first_has_all_and_gives_half_to_the_second(new_writer: Callable[[], Leases]) -> None:
    first, second = new_writer(), new_writer()
    await first.renew()
    assert first.held == SHARDS
    await rounds(second, first)
    assert (len(first.held), len(second.held)) == (8, 8)
    assert first.held | second.held == SHARDS


async def test_five_have_all_and_none_has_more_than_its_share(new_writer: Callable[[], Leases]) -> None:
    writers = [new_writer() for _ in range(5)]
    await rounds(*writers)
    assert max(len(writer.held) for writer in writers) <= 4
    assert sum(len(writer.held) for writer in writers) == 16
    assert frozenset().union(*(writer.held for writer in writers)) == SHARDS


async def test_shard_that_leaves_is_not_read_and_not_anothers_until_it_is_given_back(
    new_writer: Callable[[], Leases],
) -> None:
    first, second = new_writer(), new_writer()
    await first.renew()
    await second.renew()
    await first.renew()
    assert len(first.leaving) == 8
    assert not first.held & first.leaving
    await second.renew()
    assert second.held == frozenset()
    some = frozenset(sorted(first.leaving)[:3])
    await first.give_back(some)
    await second.renew()
    assert second.held == some


async def test_those_who_stay_take_the_shards_of_one_who_leaves(new_writer: Callable[[], Leases]) -> None:
    first, second = new_writer(), new_writer()
    await rounds(first, second)
    await second.release()
    assert second.held == frozenset()
    await first.renew()
    assert first.held == SHARDS


async def test_leases_that_ran_out_are_not_held(new_writer: Callable[[], Leases], clock: Clock) -> None:
    writer = new_writer()
    await writer.renew()
    clock.now_s += TTL_MS / 1000
    assert writer.held == frozenset()
    await writer.renew()
    assert writer.held == SHARDS
