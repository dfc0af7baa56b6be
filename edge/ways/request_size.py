"""How much the uplink sends at once and how long it waits for the answer, learned from what passed. Pure.

A link that fails is tried with ever less: what is small gets through between two cuts, and costs little where nobody
answers. A link that is merely slow is waited for ever longer, as far as the request's length explains it.
"""

from dataclasses import dataclass
from typing import Final

from edge.ways.transport import REQUEST_TIMEOUT_S

MOST_BATCHES: Final = 64
QUICK_S: Final = 4.0
"""An answer within it lets the next request be twice as large."""

SLOWEST_BYTES_PER_S: Final = 5.0
_OVERHEAD_S: Final = 120.0
"""For the headers and the reply on the slowest link."""


@dataclass(slots=True)
class RequestSize:
    """The size of the next request, in batches."""

    most_batches: int = MOST_BATCHES
    _taken: int = MOST_BATCHES
    """The most that the cloud takes, as far as is known: it refused more (413)."""
    _patience_s: float = REQUEST_TIMEOUT_S

    def timeout_s(self, body_bytes: int) -> float:
        """How long to wait for the answer to a request of that length."""
        return min(self._patience_s, _OVERHEAD_S + body_bytes / SLOWEST_BYTES_PER_S)

    def answered(self, took_s: float) -> None:
        """The cloud took a request. One that took long is not followed by a larger one."""
        self._taken = min(self._taken + 1, MOST_BATCHES)
        self._patience_s = max(REQUEST_TIMEOUT_S, min(self._patience_s, 4 * took_s))
        if took_s <= QUICK_S:
            self.most_batches = min(self.most_batches * 2, self._taken)
        elif took_s > REQUEST_TIMEOUT_S / 2:
            self.most_batches = max(self.most_batches // 2, 1)

    def unanswered(self, took_s: float, body_bytes: int) -> None:
        """Nothing came back. If nothing smaller can be sent and the time was up, it is to have more time."""
        timed_out = took_s >= 0.9 * self.timeout_s(body_bytes)
        if timed_out and self.most_batches == 1:
            self._patience_s = min(self._patience_s * 2, _OVERHEAD_S + body_bytes / SLOWEST_BYTES_PER_S)
        self.most_batches = max(self.most_batches // 2, 1)

    def too_large(self, batches: int) -> None:
        """The cloud does not take as many at once."""
        self.most_batches = self._taken = max(batches // 2, 1)
