"""Delivery, pure: what the vehicle still owes the cloud, and what each reply changes.

This is the vehicle's half of the protocol. It holds no payload, no clock and no socket: the spool tells it what is on
disk, the uplink asks it what to send and hands it the replies, and it answers with what the spool must write down.

The rules:

- A batch is done when the cloud says it is settled, never before. `accepted` only postpones the next attempt.
- What the cloud reports missing is sent again after a short wait; what lies beyond the settled head is sent again when
  the cloud's queue lost its content (`bus` changed) or after a long wait that doubles each time.
- What is urgent goes first, then a little of what is newest, then the backlog from its beginning.
- The stream of the run before is named once after each opening. Where the cloud has more of a stream than was ever
  drawn here, this disk is older than it was, or has a twin: that is told once, and changes nothing.
- What is missing there and no longer here is declared lost, and the declaration is repeated until it is settled.
- When the database fell back to an earlier state (`epoch` changed), every stream of which anything is still held is
  named, and what is no longer settled is sent again.

What a request or a reply costs does not grow with the backlog: that is kept as ranges, and what waits for its next
attempt in a heap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import chain, islice
from typing import Final

from wire.envelope import LostRange, Reply, StreamClaim
from wire.ranges import EMPTY, RangeSet

MISSING_RESEND_S: Final = 5.0
"""How long an accepted batch may be missing below the head before it is sent again: the writer commits in groups."""

BEYOND_RESEND_S: Final = 60.0
"""How long an accepted batch may lie beyond the head before it is sent again; doubles with each attempt."""

RESEND_LIMIT_S: Final = 3600.0
"""No wait grows beyond this."""

CAUSE_EVICTED: Final = "evicted"
CAUSE_REJECTED: Final = "rejected"
CAUSE_DAMAGED: Final = "damaged"

Key = tuple[str, int]
"""A batch: its stream and its sequence number."""


@dataclass(frozen=True, slots=True)
class StreamOnDisk:
    """What the spool holds of a stream when it is opened.

    `next` is the sequence number to be drawn next; `held` is on disk, `done` the part of it that was settled;
    `evicted` left the disk to make room; `lost` was declared, by cause; `urgent` are the batches that go first, and
    `withheld` are those that are not frozen yet: not to be sent before they are `released`.
    """

    stream: str
    next: int
    held: RangeSet = EMPTY
    done: RangeSet = EMPTY
    evicted: RangeSet = EMPTY
    lost: Mapping[str, RangeSet] = field(default_factory=dict)
    urgent: RangeSet = EMPTY
    withheld: RangeSet = EMPTY
    is_overtaken: bool = False
    """It was told by now that the cloud has more of it than was ever drawn here."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send now: batches in this order, and a claim for every stream that is not settled."""

    batches: tuple[Key, ...]
    claims: tuple[StreamClaim, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a reply changed, for the spool to write down."""

    done: Mapping[str, RangeSet]
    """Batches on disk that became settled: they may be evicted."""
    reopened: Mapping[str, RangeSet]
    """Batches on disk that were done and are no longer settled: the database fell back."""
    lost: tuple[tuple[str, RangeSet, str], ...]
    """New declarations: stream, ranges and cause."""
    rejected: tuple[tuple[str, int, str], ...]
    """Batches for the quarantine: stream, seq and the cloud's problem."""
    overtaken: tuple[tuple[str, int, int], ...]
    """Streams that went on elsewhere: the next seq here, and the head there. Told once."""
    forgotten: tuple[str, ...]
    """Streams that are settled to the end and of which nothing is held."""


@dataclass(slots=True)
class _Sent:
    at_s: float
    attempts: int


@dataclass(slots=True)
class _Stream:
    next: int
    held: RangeSet
    done: RangeSet
    settled: RangeSet
    """What the cloud said, in the present epoch. Covers batches that are no longer held."""
    evicted: RangeSet
    lost: dict[str, RangeSet]
    urgent: RangeSet
    withheld: RangeSet = EMPTY
    """Not frozen yet."""
    doubted: RangeSet = EMPTY
    """Was done in an earlier epoch, and the cloud was not yet asked again: not to be sent before it was."""
    sent: dict[int, _Sent] = field(default_factory=dict)
    waiting: RangeSet = EMPTY
    """What of `sent` is not to be sent again yet."""
    attempts: list[tuple[float, int]] = field(default_factory=list)
    """A heap: when `waiting` ends for a batch, or earlier."""
    overtaken: bool = False
    known: bool = False
    """Whether the cloud has answered for this stream since the spool was opened or the epoch changed."""
    _derived_from: tuple[object, ...] = ()
    _pending: RangeSet = EMPTY
    _owed: bool = False

    @property
    def all_lost(self) -> RangeSet:
        lost = EMPTY
        for ranges in self.lost.values():
            lost = lost | ranges
        return lost

    @property
    def pending(self) -> RangeSet:
        self._derive()
        return self._pending

    @property
    def is_owed(self) -> bool:
        """Whether the stream must be named: something of it is not settled, or may not be."""
        self._derive()
        return self._owed

    @property
    def gone(self) -> RangeSet:
        """What was drawn once, is not on disk and was neither settled nor declared as far as is known here."""
        drawn = RangeSet([(0, self.next - 1)]) if self.next else EMPTY
        return drawn - self.settled - self.held - self.all_lost

    @property
    def is_settled(self) -> bool:
        return self.settled.upto >= self.next - 1

    def wait_s(self, seq: int) -> float:
        """How long `seq` is to wait after its last attempt."""
        base = MISSING_RESEND_S if seq < self.settled.head else BEYOND_RESEND_S
        return float(min(base * 2 ** min(self.sent[seq].attempts - 1, 20), RESEND_LIMIT_S))

    def ready(self, now_s: float) -> RangeSet:
        """What is pending and does not wait."""
        over = []
        while self.attempts and self.attempts[0][0] <= now_s:
            _, seq = heappop(self.attempts)
            if seq not in self.sent or seq not in self.waiting:
                continue
            due_s = self.sent[seq].at_s + self.wait_s(seq)
            if due_s <= now_s:
                over.append(seq)
            else:
                heappush(self.attempts, (due_s, seq))
        if over:
            self.waiting = self.waiting - RangeSet.of(over)
        return self.pending - self.waiting

    def next_attempt_s(self) -> float | None:
        """When the next `waiting` may end."""
        while self.attempts and self.attempts[0][1] not in self.waiting:
            heappop(self.attempts)
        return self.attempts[0][0] if self.attempts else None

    def _derive(self) -> None:
        """Once for each change: ranges never change in place, so the same ones give the same."""
        state = (self.next, self.known, self.held, self.done, self.settled, self.evicted, self.doubted, self.withheld)
        parts = (*state, *self.lost.values())
        if parts == self._derived_from:
            return
        self._derived_from = parts
        lost = self.all_lost
        self._pending = self.held - self.settled - self.done - self.doubted - self.withheld - lost
        if self.known:
            self._owed = not self.is_settled
        else:
            self._owed = bool(self.held - self.done or lost or self.gone - self.evicted)


class Delivery:
    """What one vehicle owes the cloud. `now_s` is any clock that never goes back."""

    def __init__(self, streams: Iterable[StreamOnDisk] = (), *, epoch: str | None = None) -> None:
        """Begin from what is on disk, in the order in which the streams were begun.

        `epoch` is the database's state when `done` was last written down.
        """
        self._epoch = self._verified_epoch = epoch
        self._bus: str | None = None
        self._current: str | None = None
        self._before: str | None = None
        """The stream of the run before."""
        self._streams: dict[str, _Stream] = {
            on_disk.stream: _Stream(
                next=on_disk.next,
                held=on_disk.held,
                done=on_disk.done & on_disk.held,
                settled=EMPTY,
                evicted=on_disk.evicted,
                lost=dict(on_disk.lost),
                urgent=on_disk.urgent,
                withheld=on_disk.withheld,
                overtaken=on_disk.is_overtaken,
            )
            for on_disk in streams
        }

    @property
    def epoch(self) -> str | None:
        """The database's state that `done` on disk belongs to, to be written down with each outcome.

        It follows a change only when the last stream was asked for again: killed before that, all is asked anew.
        """
        return self._verified_epoch

    @property
    def unsettled(self) -> int:
        """How many batches on disk are not settled yet."""
        return sum(len(stream.pending) for stream in self._streams.values()) + self.withheld

    @property
    def withheld(self) -> int:
        """How many of them are not to be sent yet."""
        return sum(len(stream.withheld & stream.held) for stream in self._streams.values())

    @property
    def owes_nothing(self) -> bool:
        """Whether all that was ever stored here is settled, as far as this side knows."""
        return not any(stream.is_owed for stream in self._streams.values())

    @property
    def overtaken(self) -> int:
        """How many streams went on elsewhere: this disk is an old image, or has a twin."""
        return sum(stream.overtaken for stream in self._streams.values())

    def opened(self, stream: str, *, before: str | None = None) -> None:
        """A new stream was begun; what is older keeps its own. `before` is that of the run before, where it is known.

        If nothing is left of it, or it is not known, the newest of which something is left stands in.
        """
        others = [name for name in self._streams if name != stream]
        self._before = before if before in others else next(reversed(others), None)
        self._current = stream
        self._streams.setdefault(stream, _Stream(0, EMPTY, EMPTY, EMPTY, EMPTY, {}, EMPTY))

    def stored(self, stream: str, seq: int, *, urgent: bool = False, withheld: bool = False) -> None:
        """Batch `seq` is durable on disk. Sequence numbers come without gaps."""
        state = self._streams[stream]
        if withheld:
            state.withheld = state.withheld | RangeSet([(seq, seq)])
        if urgent:
            state.urgent = state.urgent | RangeSet([(seq, seq)])
        state.held = state.held | RangeSet([(seq, seq)])
        state.next = max(state.next, seq + 1)

    def released(self, stream: str, seqs: RangeSet) -> None:
        """`seqs` were withheld, are frozen now, and may be sent."""
        if (state := self._streams.get(stream)) is not None:
            state.withheld = state.withheld - seqs

    def evicted(self, stream: str, seqs: RangeSet) -> RangeSet:
        """`seqs` left the disk to make room. What of it was not settled is lost now, and is returned."""
        if (state := self._streams.get(stream)) is None:  # it was settled to the end, and forgotten
            return EMPTY
        state.held = state.held - seqs
        state.urgent = state.urgent - seqs
        state.evicted = state.evicted | seqs
        lost = seqs - state.settled - state.done - state.doubted - state.all_lost
        self._declare(state, lost, CAUSE_EVICTED)
        state.done = state.done - seqs
        state.doubted = state.doubted - seqs
        return lost

    def damaged(self, stream: str, seqs: RangeSet) -> None:
        """`seqs` cannot be read from the disk any more. What of it was not settled is lost now."""
        state = self._streams[stream]
        lost = (seqs & state.held) - state.settled - state.done - state.doubted - state.all_lost
        state.held = state.held - seqs
        state.done = state.done - seqs
        state.doubted = state.doubted - seqs
        self._declare(state, lost, CAUSE_DAMAGED)

    def plan(self, now_s: float, *, limit: int, fresh: int = 4, urgent_only: bool = False) -> Plan:
        """Choose up to `limit` batches: the urgent ones first, then the others unless they are held back.

        Of either, where not all can go, up to `fresh` of the newest go before the oldest.
        """
        ready = {name: state.ready(now_s) for name, state in self._streams.items() if state.pending}
        urgent = {name: seqs & self._streams[name].urgent for name, seqs in ready.items()}
        others = {name: seqs - urgent[name] for name, seqs in ready.items()}
        chosen = _pick(urgent, limit, fresh)
        if not urgent_only:
            chosen += _pick(others, limit - len(chosen), fresh)
        claims = tuple(
            self._claim(name, state)
            for name, state in self._streams.items()
            if state.is_owed or (name == self._before and not state.known)
        )
        return Plan(batches=tuple(chosen), claims=claims)

    @property
    def awaits_settlement(self) -> bool:
        """Whether the cloud has accepted something that it has not said to be settled."""
        return any(state.waiting & state.pending for state in self._streams.values())

    def seconds_until_due(self, now_s: float, *, urgent_only: bool = False) -> float | None:
        """How long until a batch is to be sent (again), or may be; 0 if one is due, None if none waits for that."""
        waits: list[float] = []
        for state in self._streams.values():
            if not state.pending:
                continue
            ready = state.ready(now_s)
            if ready & state.urgent if urgent_only else ready:
                return 0.0
            if urgent_only:
                waits += (
                    max(state.sent[seq].at_s + state.wait_s(seq) - now_s, 0.0)
                    for seq in (state.waiting & state.pending & state.urgent).numbers()
                )
            elif (at_s := state.next_attempt_s()) is not None:
                waits.append(at_s - now_s)
        return min(waits, default=None)

    def replied(self, plan: Plan, reply: Reply, now_s: float) -> Outcome:
        """Take the reply to the request that carried `plan`."""
        self._take_epoch(reply)
        self._take_bus(reply)
        self._accept(reply, now_s)
        rejected = tuple(self._reject(plan, reply))
        done: dict[str, RangeSet] = {}
        reopened: dict[str, RangeSet] = {}
        overtaken = []
        lost = [(stream, RangeSet.of([seq]), CAUSE_REJECTED) for stream, seq, _ in rejected]
        for view in reply.settled:
            if (state := self._streams.get(view.stream)) is not None:
                done[view.stream], reopened[view.stream] = self._settle(state, view.settled())
                lost += ((view.stream, ranges, cause) for ranges, cause in self._declare_gone(state))
                if state.settled.head >= state.next and not state.overtaken:
                    state.overtaken = True
                    overtaken.append((view.stream, state.next, state.settled.head))
        if not any(state.doubted for state in self._streams.values()):
            self._verified_epoch = self._epoch
        return Outcome(
            done={name: seqs for name, seqs in done.items() if seqs},
            reopened={name: seqs for name, seqs in reopened.items() if seqs},
            lost=tuple(lost),
            rejected=rejected,
            overtaken=tuple(overtaken),
            forgotten=tuple(self._forget()),
        )

    def _claim(self, name: str, state: _Stream) -> StreamClaim:
        lost: list[LostRange] = sorted(
            (low, high, cause) for cause, ranges in state.lost.items() for low, high in (ranges - state.settled).ranges
        )
        return StreamClaim(stream=name, next=state.next, lost=tuple(lost))

    def _take_epoch(self, reply: Reply) -> None:
        """On a new epoch nothing is known to be settled any more, until the cloud says so again."""
        if reply.epoch is None or reply.epoch == self._epoch:
            return
        self._epoch = reply.epoch
        for state in self._streams.values():
            state.doubted = state.doubted | (state.settled & state.held) | state.done
            state.done = state.settled = EMPTY
            state.known = False

    def _take_bus(self, reply: Reply) -> None:
        """A new bus never heard of what was accepted before: nothing waits any longer."""
        if reply.bus is None or reply.bus == self._bus:
            return
        self._bus = reply.bus
        for state in self._streams.values():
            state.waiting = EMPTY
            state.attempts.clear()

    def _accept(self, reply: Reply, now_s: float) -> None:
        accepted: dict[str, list[int]] = {}
        for reference in reply.accepted:
            if reference.stream in self._streams:
                accepted.setdefault(reference.stream, []).append(reference.seq)
        for name, seqs in accepted.items():
            state = self._streams[name]
            for seq in seqs:
                attempts = state.sent[seq].attempts if seq in state.sent else 0
                state.sent[seq] = _Sent(now_s, attempts + 1)
                heappush(state.attempts, (now_s + state.wait_s(seq), seq))
            state.waiting = state.waiting | RangeSet.of(seqs)

    def _reject(self, plan: Plan, reply: Reply) -> Iterator[tuple[str, int, str]]:
        for refused in reply.rejected:
            if not 0 <= refused.index < len(plan.batches):
                continue
            name, seq = plan.batches[refused.index]
            state = self._streams.get(name)
            if state is None or seq not in state.pending:
                continue
            state.held = state.held - RangeSet.of([seq])
            self._declare(state, RangeSet.of([seq]), CAUSE_REJECTED)
            yield (name, seq, refused.problem)

    def _settle(self, state: _Stream, settled: RangeSet) -> tuple[RangeSet, RangeSet]:
        """Take the cloud's view of a stream; returns what became done, and what no longer is."""
        state.known = True
        head, news = state.settled.head, settled - state.settled
        state.settled = state.settled | settled
        reopened = state.doubted - state.settled
        done = (state.held & state.settled) - state.done - state.doubted
        state.done = state.held & state.settled
        state.doubted = EMPTY
        state.waiting = state.waiting - state.settled
        gone = news.numbers() if len(news) < len(state.sent) else [seq for seq in state.sent if seq in state.settled]
        for seq in gone:
            state.sent.pop(seq, None)
        before = RangeSet([(0, head - 1)]) if head > 0 else EMPTY
        for seq in (state.waiting.below(state.settled.head) - before).numbers():  # they wait shorter from now on
            heappush(state.attempts, (state.sent[seq].at_s + state.wait_s(seq), seq))
        return done, reopened

    def _declare_gone(self, state: _Stream) -> Iterator[tuple[RangeSet, str]]:
        """What is neither settled nor here will never be sent: it was evicted, or the disk lost it."""
        gone = state.gone
        for ranges, cause in ((gone & state.evicted, CAUSE_EVICTED), (gone - state.evicted, CAUSE_DAMAGED)):
            if ranges:
                self._declare(state, ranges, cause)
                yield (ranges, cause)

    def _forget(self) -> list[str]:
        """An earlier stream that is settled to the end and of which nothing is held needs no place any more."""
        gone = [
            name
            for name, state in self._streams.items()
            if name != self._current and state.known and state.is_settled and not state.held
        ]
        for name in gone:
            del self._streams[name]
        return gone

    @staticmethod
    def _declare(state: _Stream, ranges: RangeSet, cause: str) -> None:
        if ranges:
            state.lost[cause] = state.lost.get(cause, EMPTY) | ranges


def _pick(ready: Mapping[str, RangeSet], limit: int, fresh: int) -> list[Key]:
    """Up to `limit`, from the oldest; but where that is not all, up to `fresh` of the newest before them."""
    keys = ((name, seq) for name, seqs in ready.items() for seq in seqs.numbers())
    oldest = list(islice(keys, limit + 1))
    if len(oldest) <= limit:
        return oldest
    down = ((name, seq) for name, seqs in reversed(list(ready.items())) for seq in seqs.numbers_down())
    return list(islice(dict.fromkeys(chain(islice(down, fresh), oldest)), limit))
