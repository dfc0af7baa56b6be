"""drain.cloud: how fast the writer stores a deep queue, against the same batches as they come.

An hour without PostgreSQL leaves its batches in Redis. Ours is the time from the writer's start until a queue of many
batches is stored; the baseline is the same writer over the same batches while few of them wait at a time.

python -m bench.drain --batches 1000000     the long one
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

import click

from bench.figure import Figure, Medians, Unavailable, faster_is_better
from bench.load import Sender
from bench.series import Series
from bench.stack import WRITER, running
from bench.stored import stored_samples, until_stored
from bench.synthetic import START_MS, Second
from cloud.access.accounts import add_vehicles
from cloud.bus import Bus
from cloud.database import Pool, make_pool
from cloud.streams.entries import Item
from wire.names import shard_of

BATCHES: Final = 40_000
FRESH: Final = 20_000
VEHICLES: Final = 500
SECOND: Final = Second(signals=10, samples=3)
WAITING: Final = 2_000
"""Batches at most that wait while fresh ones come: more than a group, so that the writer never has to."""
AT_ONCE: Final = 200


def drain_cloud(*, batches: int = BATCHES, fresh: int = FRESH) -> Figure:
    """The database and the queue are the same for both."""
    return asyncio.run(_drain(batches, fresh))


async def _drain(batches: int, fresh: int) -> Figure:
    async with (
        running() as stack,
        make_pool(stack.config.database_url, size=2, name="bench") as pool,
        Bus(stack.config.redis_url) as bus,
    ):
        senders = Sender.of(await add_vehicles(pool, [f"drain-{number}" for number in range(VEHICLES)]))
        queue = _Queue(bus, senders, shards=stack.config.shards)
        async with stack.with_more(WRITER):
            await _fresh_rate(pool, queue, fresh // 4)
            before = await _fresh_rate(pool, queue, fresh)
        await queue.add(batches)
        async with stack.with_more(WRITER):
            began, left = time.perf_counter(), queue.added - await _stored(pool)
            await _until_stored(pool, queue.added)
            deep = left / (time.perf_counter() - began)
            after = await _fresh_rate(pool, queue, fresh)
        await _check(pool, queue)
    note = (
        f"{batches:,} batches of {SECOND.count} samples of {VEHICLES} vehicles queued while no writer ran, stored once "
        f"each; the baseline is the mean of before and after, with at most {WAITING:,} waiting"
    )
    return faster_is_better("drain.cloud", Medians(deep, (before + after) / 2, 1), unit="batches/s", note=note)


class _Queue:
    """Batches of vehicles in turns, into Redis as ingest puts them."""

    def __init__(self, bus: Bus, senders: Sequence[Sender], *, shards: int) -> None:
        self.added = 0
        self._bus = bus
        self._batches = self._endless(senders, shards)

    async def add(self, batches: int) -> None:
        """Returns when Redis has them."""
        for begin in range(0, batches, AT_ONCE):
            some = list(islice(self._batches, min(AT_ONCE, batches - begin)))
            await asyncio.gather(*(self._bus.admit(shard, [item]) for shard, item in some))
            self.added += len(some)

    def _endless(self, senders: Sequence[Sender], shards: int) -> Iterator[tuple[int, Item]]:
        series = [Series(sender, SECOND.draft(number), t0_ms=START_MS) for number, sender in enumerate(senders)]
        places = [shard_of(sender.vehicle, shards) for sender in senders]
        seq = 0
        while True:
            for shard, one in zip(places, series, strict=True):
                yield shard, one.item(seq)
            seq += 1


async def _fresh_rate(pool: Pool, queue: _Queue, batches: int) -> float:
    """Batches a second that the writer stores while they are being queued, its queue never empty and never deep."""
    first = queue.added
    began = time.perf_counter()
    while (left := first + batches - queue.added) > 0:
        await _until_stored(pool, queue.added - WAITING)
        await queue.add(min(AT_ONCE * 2, left))
    await _until_stored(pool, queue.added)
    return batches / (time.perf_counter() - began)


async def _until_stored(pool: Pool, batches: int) -> None:
    await until_stored(pool, batches * SECOND.count)


async def _stored(pool: Pool) -> int:
    return await stored_samples(pool) // SECOND.count


async def _check(pool: Pool, queue: _Queue) -> None:
    rows = await pool.fetchval("SELECT count(*) FROM samples")
    if rows != queue.added * SECOND.count:
        raise Unavailable(f"{queue.added * SECOND.count:,} samples were queued, and {rows:,} are stored")


@click.command()
@click.option("--batches", type=click.IntRange(min=1), default=BATCHES, show_default=True)
def main(batches: int) -> None:
    """Queue batches while no writer runs, let it drain them, and print the figure as one JSON line.

    A million batches take some 700 MB of Redis's memory.
    """
    print(drain_cloud(batches=batches).line())


FIGURES: Final[Mapping[str, Callable[[], Figure]]] = {"drain.cloud": drain_cloud}

if __name__ == "__main__":
    main(prog_name="python -m bench.drain")
