"""The writer: shards read into groups, groups committed one after the other, what is committed removed.

While one group is being committed the next one is read and decoded; a third waits at most. So memory is bounded, and
under load groups grow to their full size by themselves.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import structlog

from cloud.errors import BusDown
from cloud.streams.entries import Delivery
from cloud.writer.committer import Committer, Stopped
from cloud.writer.leases import Leases
from cloud.writer.metrics import WriterMetrics
from cloud.writer.work import Work, open_delivery

IDLE_MS: Final = 500
PAGE: Final = 200
ENTRIES_AT_MOST: Final = 1_000
GATHER_S: Final = 0.02
LOOK_BACK_IDLE_S: Final = 10.0
LOOK_BACK_S: Final = 60.0

log = structlog.get_logger()


class Source(Protocol):
    async def read(self, shards: Sequence[int], *, count: int, block_ms: int) -> list[Delivery]: ...
    async def read_pending(self, shard: int, *, after: str = "0", count: int) -> list[Delivery]: ...
    async def done(self, deliveries: Iterable[Delivery]) -> None: ...


class Writer:
    def __init__(
        self,
        bus: Source,
        leases: Leases,
        committer: Committer,
        metrics: WriterMetrics,
        *,
        group_samples: int,
        group_age_ms: int,
    ) -> None:
        self._bus = bus
        self._leases = leases
        self._committer = committer
        self._metrics = metrics
        self._group_samples = group_samples
        self._group_age_s = group_age_ms / 1000
        self._groups: asyncio.Queue[list[Work]] = asyncio.Queue(maxsize=1)
        self._group: list[Work] = []
        self._size = 0
        self._began_s = 0.0
        self._samples_per_entry = 100.0
        self._in_hand: Counter[int] = Counter()
        self._recovered: set[int] = set()
        self._looked_back_s = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then commits what it has read."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._commit_all(), name="commit")
            while not stop.is_set():
                try:
                    await self._read_once()
                except BusDown as error:
                    # What was read when the answer got lost is pending now, and nobody has it.
                    self._recovered.clear()
                    self._metrics.bus_errors.inc()
                    log.warning("not read, trying again", problem=str(error))
                    await asyncio.sleep(random.uniform(0.05, 0.5))
            await self._take(await self._read_rest())
            await self._hand_over()
            await self._groups.put([])

    async def _read_once(self) -> None:
        await self._leases.give_back(frozenset(shard for shard in self._leases.leaving if not self._in_hand[shard]))
        held = self._leases.held
        self._metrics.shards.set(len(held))
        if held:
            await self._look_back(held)
            await self._read(held & self._recovered)
        else:
            await self._wait_for_leases()
        if self._group and time.monotonic() - self._began_s >= self._group_age_s:
            await self._hand_over()

    async def _read(self, held: frozenset[int]) -> None:
        left_s = self._began_s + self._group_age_s - time.monotonic() if self._group else IDLE_MS / 1000
        block_ms = min(max(1, round(left_s * 1000)), IDLE_MS)
        count = self._entries(len(held))
        found = await self._bus.read(sorted(held), count=count, block_ms=block_ms)
        await self._take(found)
        if self._group and len(found) < count:
            # Nothing is left behind, and a reading costs more than what one entry brings.
            await asyncio.sleep(min(GATHER_S, max(0.0, self._began_s + self._group_age_s - time.monotonic())))
        if time.monotonic() - self._looked_back_s > (LOOK_BACK_S if found else LOOK_BACK_IDLE_S):
            self._recovered.clear()

    async def _read_rest(self) -> list[Delivery]:
        """What was asked for before the end; nobody else would look for it soon."""
        try:
            return await self._bus.read([], count=1, block_ms=IDLE_MS)
        except BusDown:
            return []

    async def _look_back(self, held: frozenset[int]) -> None:
        """What was read and not done: by the writer before, or by one that woke up late. The ledger knows repeats.

        Raises BusDown where no shard can be read.
        """
        self._recovered &= held
        problem: BusDown | None = None
        for shard in sorted(held - self._recovered):
            after = "0"
            try:
                while page := await self._bus.read_pending(shard, after=after, count=PAGE):
                    await self._take(page)
                    after = page[-1].id
            except BusDown as error:
                problem = error
                continue
            self._recovered.add(shard)
            self._looked_back_s = time.monotonic()
        if problem is not None and not self._recovered:
            raise problem

    async def _take(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            work = open_delivery(delivery)
            if not self._group:
                self._began_s = time.monotonic()
            self._group.append(work)
            self._in_hand[delivery.shard] += 1
            self._size += work.samples
            self._samples_per_entry += 0.05 * (work.samples - self._samples_per_entry)
            if self._size >= self._group_samples or len(self._group) >= ENTRIES_AT_MOST:
                await self._hand_over()

    async def _hand_over(self) -> None:
        """Waits while a group waits already: then Redis holds what comes."""
        if self._group:
            await self._groups.put(self._group)
            self._group, self._size = [], 0

    async def _commit_all(self) -> None:
        while group := await self._groups.get():
            await self._finish(group)
            self._in_hand.subtract(work.delivery.shard for work in group)

    async def _finish(self, group: Sequence[Work]) -> None:
        try:
            await self._committer.commit(group)
        except Stopped:
            log.warning("stopped with batches not stored; they stay in Redis", batches=len(group))
            return
        oldest_ms = min(work.delivery.received_ms for work in group)
        self._metrics.age_seconds.observe(max(0.0, time.time() - oldest_ms / 1000))
        try:
            await self._bus.done(work.delivery for work in group)
        except BusDown as error:
            self._recovered.clear()
            self._metrics.bus_errors.inc()
            log.warning("stored, not yet removed from Redis", problem=str(error))

    async def _wait_for_leases(self) -> None:
        self._leases.changed.clear()
        try:
            await asyncio.wait_for(self._leases.changed.wait(), IDLE_MS / 1000)
        except TimeoutError:
            return

    def _entries(self, shards: int) -> int:
        """How many of each shard to read, so that a group is not overshot by much."""
        left = max(0, self._group_samples - self._size) / max(1.0, self._samples_per_entry)
        return max(1, min(ENTRIES_AT_MOST, round(left / shards)))
