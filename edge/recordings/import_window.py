"""How much of an import is under way, so that it is as fast as the cloud has room and never in live data's way.

Pure; times are passed in. Everything that is sent waits in the same queue as what vehicles send now. So an import
watches how long its own batches take until they are settled: while that is short, nobody else waits for them either,
and more may be under way; when it grows, less. What it must never be is a queue of its own making.
"""

from dataclasses import dataclass, field
from typing import Final

from wire.envelope import LostRange, Reply, StreamClaim
from wire.ranges import EMPTY, RangeSet

LEAST_SAMPLES: Final = 5_000
MOST_SAMPLES: Final = 200_000
FIRST_SAMPLES: Final = 20_000
TARGET_S: Final = 0.5
"""From sent to settled."""
RESEND_S: Final = 30.0
"""After so long without being settled something was lost on the way, as when Redis was wiped unnoticed."""
BATCHES_AT_ONCE: Final = 16


@dataclass(slots=True)
class _Waiting:
    body: bytes
    samples: int
    sent_s: float | None = None


@dataclass(slots=True)
class ImportWindow:
    """One stream. Batches are offered in order, sent, and forgotten when they are settled."""

    stream: str
    settled: RangeSet = EMPTY
    rejected: dict[int, str] = field(default_factory=dict)
    next: int = 0
    under_way: int = 0
    """Samples."""
    limit: float = FIRST_SAMPLES
    epoch: str | None = None
    _bus: str | None = None
    _waiting: dict[int, _Waiting] = field(default_factory=dict)

    @property
    def has_room(self) -> bool:
        return self.under_way < self.limit

    @property
    def is_empty(self) -> bool:
        """Whether all that was offered is settled."""
        return not self._waiting

    def offer(self, body: bytes, samples: int) -> bool:
        """The next batch; False when it is settled already, from an earlier import."""
        seq, self.next = self.next, self.next + 1
        if seq in self.settled:
            return False
        self._waiting[seq] = _Waiting(body, samples + 1)
        self.under_way += samples + 1
        return True

    def due(self, now_s: float) -> list[tuple[int, bytes]]:
        """What is to be sent now, the oldest first."""
        found = []
        for seq, one in self._waiting.items():
            if one.sent_s is None or now_s - one.sent_s >= RESEND_S:
                found.append((seq, one.body))
                if len(found) == BATCHES_AT_ONCE:
                    break
        return found

    def claim(self) -> StreamClaim:
        lost: tuple[LostRange, ...] = tuple((seq, seq, "rejected") for seq in sorted(self.rejected))
        return StreamClaim(stream=self.stream, next=self.next, lost=lost)

    def replied(self, sent: list[int], reply: Reply, now_s: float) -> None:
        """Take the reply to a request that carried `sent`."""
        if reply.bus is not None and reply.bus != self._bus:
            if self._bus is not None:
                self._send_again()
            self._bus = reply.bus
        if reply.epoch is not None:
            self.epoch = self.epoch or reply.epoch
        for refused in reply.rejected:
            if 0 <= refused.index < len(sent) and (one := self._waiting.pop(sent[refused.index], None)) is not None:
                self.rejected[sent[refused.index]] = refused.problem
                self.under_way -= one.samples
        for seq in sent:
            if (waiting := self._waiting.get(seq)) is not None:
                waiting.sent_s = now_s
        for view in reply.settled:
            if view.stream == self.stream:
                self._settle(view.settled(), now_s)

    def fell_back(self, reply: Reply) -> bool:
        """Whether the database is not the one that settled what was forgotten here: all must be asked anew."""
        return None not in (reply.epoch, self.epoch) and reply.epoch != self.epoch

    def pushed_back(self) -> None:
        """The cloud had no room."""
        self.limit = max(LEAST_SAMPLES, self.limit / 2)

    def _settle(self, settled: RangeSet, now_s: float) -> None:
        self.settled = self.settled | settled
        took_s: list[float] = []
        for seq in [seq for seq in self._waiting if seq in settled]:
            one = self._waiting.pop(seq)
            self.under_way -= one.samples
            if one.sent_s is not None:
                took_s.append(now_s - one.sent_s)
        if took_s:
            fits = max(took_s) <= TARGET_S
            self.limit = min(self.limit * 1.25, MOST_SAMPLES) if fits else max(self.limit * 0.75, LEAST_SAMPLES)

    def _send_again(self) -> None:
        """The queue forgot what lay in it."""
        for one in self._waiting.values():
            one.sent_s = None
