"""The spool and what it owes, kept in step: the part of the agent that the sources fill and the uplink empties.

The disk is worked in a thread, one call after the other; `edge.delivery` lives on the event loop. The disk is always at
least as new as what the delivery believes, so a process that dies between the two loses nothing.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, ParamSpec, TypeVar

import zstandard

from edge.batcher import Draft
from edge.clock.clock_trust import KnownTime
from edge.delivery import CAUSE_DAMAGED, CAUSE_EVICTED, Delivery, Plan
from edge.disk.spool_file import SpoolDamagedError
from edge.disk.spool_repair import Repair
from edge.spool import Loaded, Spool, Stored
from wire.envelope import Reply, StreamClaim
from wire.ranges import RangeSet

REQUEST_LEVEL: Final = 6
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class OutboxCounts:
    """What went through since the start; batches unless the name says otherwise."""

    stored: int = 0
    samples: int = 0
    fixes: int = 0
    settled: int = 0
    newest_settled: int = 0  # counted among `stored`: 5 if of those the fifth is settled, and none behind it
    evicted: int = 0
    lost: int = 0
    lost_by_cause: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    reopened: int = 0


@dataclass(frozen=True, slots=True)
class Shipment:
    """A request that is ready to be sent, and the plan that it carries."""

    plan: Plan
    body: bytes  # zstd


class Outbox:
    """One vehicle's spool with its delivery. Only one `put` and one exchange at a time."""

    def __init__(self, spool: Spool) -> None:
        self.counts = OutboxCounts()
        self.arrived = asyncio.Event()
        """Set when something was stored; the uplink clears it."""
        self.settled = asyncio.Event()
        """Set while everything that was ever stored is settled."""
        self._spool = spool
        self._delivery = _delivery_of(spool)
        self._repair = spool.repair
        self._overtaken: list[tuple[str, int, int]] = []
        self._disk = asyncio.Lock()
        self._stored_before = 0
        """How many were stored since the start before the present stream was begun."""
        self._note_settled()

    @property
    def unsettled(self) -> int:
        """How many batches on the disk are not settled yet."""
        return self._delivery.unsettled

    @property
    def withheld(self) -> int:
        """How many of them wait for the truth about the clock."""
        return self._delivery.withheld

    @property
    def owes_nothing(self) -> bool:
        """Whether everything that was ever stored is settled, as far as is known here."""
        return self._delivery.owes_nothing

    def take_repair(self) -> Repair | None:
        """What was done about a damaged spool, when it was opened or since; given once."""
        repair, self._repair = self._repair, None
        return repair

    @property
    def overtaken(self) -> int:
        """How many streams went on elsewhere: this spool is an old image, or has a twin."""
        return self._delivery.overtaken

    def take_overtaken(self) -> list[tuple[str, int, int]]:
        """Streams that turned out to have gone on elsewhere: the next seq here and the head there; each given once."""
        overtaken, self._overtaken = self._overtaken, []
        return overtaken

    async def ask(self, question: Callable[[Spool], T]) -> T:
        """Look into the spool while nobody writes to it."""
        return await self._on_disk(_nothing, question, self._spool)

    @property
    def awaits_settlement(self) -> bool:
        """Whether the cloud has accepted something that it has not said to be settled."""
        return self._delivery.awaits_settlement

    def seconds_until_due(self, now_s: float, *, urgent_only: bool = False) -> float | None:
        """See `Delivery.seconds_until_due`."""
        return self._delivery.seconds_until_due(now_s, urgent_only=urgent_only)

    def keep_usage(self, text: str) -> None:
        """To be written with what is written next; see `Spool.usage`."""
        self._spool.keep_usage(text)

    async def put(self, drafts: Sequence[Draft]) -> None:
        """Store the drafts in their order; they are durable on return."""
        if not drafts:
            return
        await self._on_disk(self._stored, self._spool.put, drafts)
        self.counts.samples += sum(draft.sample_count for draft in drafts)
        self.counts.fixes += sum(len(draft.fixes) for draft in drafts)

    async def relabel(self, boot_id: str, known: KnownTime) -> int:
        """Give all that waits of that boot its true times; returns how many batches there were."""
        count = 0
        while released := await self._on_disk(self._released, self._spool.relabel, boot_id, known):
            count += _count(released.values())
        return count

    async def stop_waiting(self, *, but_of_boot: str | None = None) -> int:
        """Let what waits go as it is, flagged, but for what was recorded in one boot; returns how many there were."""
        released = await self._on_disk(self._released, self._spool.stop_waiting, but_of_boot=but_of_boot)
        return _count(released.values())

    async def keep_clock(self, boot_id: str, known: KnownTime) -> None:
        """Remember what is known of the time in that boot."""
        await self._on_disk(_nothing, self._spool.keep_clock, boot_id, known)

    async def prepare(self, now_s: float, *, most_batches: int, most_bytes: int, urgent_only: bool = False) -> Shipment:
        """The next request: what is due, as far as it fits, and a claim for every stream that is not settled."""
        plan = self._delivery.plan(now_s, limit=most_batches, urgent_only=urgent_only)

        def load() -> tuple[Loaded, bytes]:
            loaded = self._spool.load(plan.batches, max_bytes=most_bytes)
            return loaded, request_body([payload for _, payload in loaded.batches], plan.claims)

        loaded, body = await self._on_disk(self._loaded, load)
        return Shipment(replace(plan, batches=tuple(key for key, _ in loaded.batches)), body)

    async def replied(self, plan: Plan, reply: Reply, now_s: float) -> bool:
        """Take the cloud's reply to `plan`. Returns whether anything was taken, settled or refused by it."""
        async with self._disk:  # no `put` evicts, and no stop comes, between the decision and its writing down
            before = self._delivery.epoch
            outcome = self._delivery.replied(plan, reply, now_s)
            changes = any(
                (outcome.done, outcome.reopened, outcome.lost, outcome.rejected, outcome.overtaken, outcome.forgotten)
            )
            self._overtaken += outcome.overtaken
            if changes or self._delivery.epoch != before:
                await self._at_work(_nothing, self._spool.write_down, outcome, self._delivery.epoch)
        counts = self.counts
        counts.settled += _count(outcome.done.values())
        if (done := outcome.done.get(self._spool.stream)) is not None:
            counts.newest_settled = max(counts.newest_settled, self._stored_before + done.head + 1)
        counts.reopened += _count(outcome.reopened.values())
        for _, seqs, cause in outcome.lost:
            self._count_loss(cause, len(seqs))
        counts.rejected += len(outcome.rejected)
        self._note_settled()
        return changes or bool(reply.accepted)

    async def keep_catalog(self, name: str, body: bytes) -> None:
        """Keep a catalog, for the cloud may ask for it."""
        await self._on_disk(_nothing, self._spool.keep_catalog, name, body)

    async def catalog(self, name: str) -> bytes | None:
        """The body of a catalog, None if this vehicle never had it."""
        return await self._on_disk(_nothing, self._spool.catalog, name)

    def _stored(self, stored: Stored) -> None:
        self.counts.stored += len(stored.seqs)
        for seq in stored.seqs:
            urgent, withheld = seq in stored.urgent, seq in stored.withheld
            self._delivery.stored(stored.stream, seq, urgent=urgent, withheld=withheld)
        self._evicted(stored.evicted)
        self.arrived.set()
        self._note_settled()

    def _evicted(self, evicted: Mapping[str, RangeSet]) -> None:
        for stream, seqs in evicted.items():
            self.counts.evicted += len(seqs)
            self._count_loss(CAUSE_EVICTED, len(self._delivery.evicted(stream, seqs)))

    def _released(self, released: Mapping[str, RangeSet]) -> None:
        for stream, seqs in released.items():
            self._delivery.released(stream, seqs)
        if released:
            self.arrived.set()

    def _loaded(self, result: tuple[Loaded, bytes]) -> None:
        for stream, seq in result[0].damaged:
            self._delivery.damaged(stream, RangeSet.of([seq]))
            self._count_loss(CAUSE_DAMAGED, 1)

    def _count_loss(self, cause: str, batches: int) -> None:
        self.counts.lost += batches
        self.counts.lost_by_cause[cause] += batches

    def _note_settled(self) -> None:
        if self._delivery.owes_nothing:
            self.settled.set()
        else:
            self.settled.clear()

    async def _on_disk(self, note: Callable[[T], None], work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._disk:
            return await self._at_work(note, work, *args, **kwargs)

    async def _at_work(self, note: Callable[[T], None], work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Work on the disk, which nobody else does now; if it turns out to be damaged, on what can be saved of it."""
        repair = self._spool.repair

        def attempt() -> tuple[T, Mapping[str, RangeSet]]:
            try:
                result = work(*args, **kwargs)
            except SpoolDamagedError:
                self._spool.heal(time.time_ns() // 1_000_000)
                result = work(*args, **kwargs)
            return result, self._spool.take_evicted()

        def take_over(done: tuple[T, Mapping[str, RangeSet]]) -> None:
            result, evicted = done
            if self._spool.repair is not repair:
                self._repair = self._spool.repair
                self._delivery = _delivery_of(self._spool)
                self._stored_before = self.counts.stored
            note(result)
            self._evicted(evicted)

        return (await _to_the_end(take_over, attempt))[0]


def _delivery_of(spool: Spool) -> Delivery:
    delivery = Delivery(spool.on_disk(), epoch=spool.epoch)
    delivery.opened(spool.stream, before=spool.before)
    return delivery


async def _to_the_end(note: Callable[[T], None], work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a thread and `note` its result. A cancelled caller leaves only when both are done."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        await asyncio.shield(task)
    finally:
        await asyncio.wait([task])
        if task.exception() is None:
            note(task.result())
    return task.result()


def request_body(payloads: Sequence[bytes], claims: Sequence[StreamClaim]) -> bytes:
    streams = json.dumps([claim.model_dump(mode="json") for claim in claims], separators=(",", ":")).encode()
    envelope = b'{"batches":[' + b",".join(payloads) + b'],"streams":' + streams + b"}"
    return zstandard.ZstdCompressor(level=REQUEST_LEVEL, write_checksum=True).compress(envelope)


def _nothing(_: object) -> None:
    """There is nothing to note."""


def _count(sets: Iterable[RangeSet]) -> int:
    return sum(len(seqs) for seqs in sets)
