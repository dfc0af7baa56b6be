"""The ledger's rules, pure: what is settled of a stream, which batches are new, what a declaration changes.

The writer applies them under the row's lock; ingest answers vehicles with them, and so does whatever stands in for a
cloud.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from wire.envelope import Settled, StreamClaim
from wire.ranges import EMPTY, RangeSet


@dataclass(frozen=True, slots=True)
class StreamLedger:
    """What the database knows of one stream.

    `received` is committed, `dead` lies in the dead letters, `lost` was declared by the vehicle. They are disjoint:
    received beats dead, and both beat lost. `next` is the highest next sequence number that the vehicle ever named.
    """

    received: RangeSet = EMPTY
    dead: RangeSet = EMPTY
    lost: RangeSet = EMPTY
    next: int = 0

    @property
    def settled(self) -> RangeSet:
        """What the vehicle needs not send any more."""
        return self.received | self.dead | self.lost

    def view(self, stream: str) -> Settled:
        """The settled state as the reply carries it."""
        return Settled.describe(stream, self.settled)

    def has(self, seq: int) -> bool:
        """Whether the content of `seq` is stored, as a dead letter or as what it is."""
        return seq in self.received or seq in self.dead

    def fresh(self, seqs: Iterable[int]) -> RangeSet:
        """Those of `seqs` whose content is not stored yet: neither received nor a dead letter."""
        return RangeSet.of(seqs) - self.received - self.dead

    def store(self, seqs: RangeSet) -> StreamLedger:
        """After the content of `seqs` was written; a replayed dead letter and a declared loss become received."""
        return replace(
            self,
            received=self.received | seqs,
            dead=self.dead - seqs,
            lost=self.lost - seqs,
            next=max(self.next, seqs.head + 1),
        )

    def bury(self, seqs: RangeSet) -> StreamLedger:
        """After `seqs` were put to the dead letters."""
        dead = seqs - self.received
        return replace(self, dead=self.dead | dead, lost=self.lost - dead, next=max(self.next, seqs.head + 1))

    def declare(self, claim: StreamClaim) -> StreamLedger:
        """After the vehicle's own word on the stream. What is stored stays stored, whatever it says."""
        return replace(self, lost=self.lost | self.newly_lost(claim), next=max(self.next, claim.next))

    def newly_lost(self, claim: StreamClaim) -> RangeSet:
        """What `claim` declares lost that was not settled before."""
        return RangeSet((low, high) for low, high, _ in claim.lost) - self.settled

    def is_news(self, claim: StreamClaim) -> bool:
        """Whether `claim` would change anything, so that repeating it costs nothing."""
        if not claim.lost:
            return claim.next > self.next
        return self.declare(claim) != self


EMPTY_LEDGER: Final = StreamLedger()
"""Of a stream that the database does not know."""
