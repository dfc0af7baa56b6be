"""What is remembered of each kind of frame, so that the next one costs only what is new in it.

A frame whose payload is that of the one before brings nothing until something is due; of another, only the signals
whose bits differ are looked at. What is due, and when, is the sampler's to say.
"""

from collections.abc import Iterator
from typing import Final

from edge.codegen import Changes
from edge.decoder import Decoder, Slot

NEVER_NS: Final = -(2**63)
STALE_CYCLES: Final = 5
SOONEST_STALE_NS: Final = 500_000_000
"""A message is stale when it stayed away for so many of its cycles, and for so long."""


class Track:
    """One kind of frame. From `seen_ns` until `until_ns` it is enough to look at what differs from `payload`."""

    __slots__ = ("_patience_ns", "_told_ns", "changes", "length", "payload", "seen_ns", "slot", "until_ns", "width")

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.changes: Changes | None = slot.reader.changes if slot.check is None else None
        self.length = slot.length
        self.payload = b""
        self.width = 0  # how many signals the payload has
        self.seen_ns = 0
        self.until_ns = NEVER_NS
        self._patience_ns = max(STALE_CYCLES * slot.cycle_ms * 1_000_000, SOONEST_STALE_NS) if slot.cycle_ms else 0
        self._told_ns = 0

    def becomes_stale(self, now_ns: int) -> bool:
        """Whether the message has stayed away for too long, which is said once."""
        if not self._patience_ns or self.seen_ns == self._told_ns or now_ns - self.seen_ns <= self._patience_ns:
            return False
        self._told_ns = self.seen_ns
        self.until_ns = NEVER_NS
        return bool(self.payload)

    def is_remembered(self, data: bytes) -> bool:
        """Whether the decoder, which has just read this payload, found no fault with it."""
        return self.slot.payload == data


class Tracks:
    """Those of one bus, by identifier. Identifiers that carry the same signals share one, as they do in the decoder."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.standard: dict[int, Track] = {}
        self.extended: dict[int, Track] = {}
        self._by_slot: dict[Slot, Track] = {}

    def __iter__(self) -> Iterator[Track]:
        return iter(self._by_slot.values())

    def open(self, arbitration_id: int, is_extended: bool) -> Track | None:
        """The track of what the decoder has just read; None for a message that shares signals with another."""
        slot = self.decoder.slot(arbitration_id, is_extended)
        if slot is None or slot.length < 0:
            return None
        track = self._by_slot.get(slot) or self._by_slot.setdefault(slot, Track(slot))
        (self.extended if is_extended else self.standard)[arbitration_id] = track
        return track
