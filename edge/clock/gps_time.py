"""What a GPS receiver says the time is, believed when several fixes in a row agree with the passing of time. Pure.

A receiver may say anything before it has heard the satellites for a while, and a recording that is played says what was
true once. So a date that cannot be is no evidence, a rollover of the week's number is undone
(`edge.clock.plausible_time`), and times that stand still, jump, or pass at another pace than the computer's own never
add up to an agreement.
"""

from collections import deque
from typing import Final

from edge.clock.plausible_time import unroll

AGREEING_FIXES: Final = 5
TOLERANCE_MS: Final = 700
"""A receiver tells the time up to half a second after it was, and not always as late."""

_APART_NS: Final = 500_000_000  # more often tells nothing new
_FORGOTTEN_NS: Final = 300 * 1_000_000_000
_NS_PER_MS: Final = 1_000_000


class GpsTime:
    """Takes the times of fixes. `boot_ns` is the computer's boot time at their reception."""

    def __init__(self) -> None:
        self.refused = 0
        """Fixes whose date cannot be."""
        self._heard: deque[tuple[int, int]] = deque(maxlen=AGREEING_FIXES)
        """Boot time, and UTC minus boot time."""

    def hear(self, utc_ms: int | None, boot_ns: int) -> int | None:
        """UTC minus boot time in ns, once enough fixes agree; None for as long as they do not."""
        if utc_ms is None:
            return None
        meant_ms = unroll(utc_ms)
        if meant_ms is None:
            self.refused += 1
            self._heard.clear()
            return None
        if self._heard and 0 <= boot_ns - self._heard[-1][0] < _APART_NS:
            return None
        offset_ns = meant_ms * _NS_PER_MS - boot_ns
        if not all(self._agrees(then, boot_ns, offset_ns) for then in self._heard):
            self._heard.clear()
        self._heard.append((boot_ns, offset_ns))
        if len(self._heard) < AGREEING_FIXES:
            return None
        return max(offset for _, offset in self._heard)  # the one that came with the least delay

    @staticmethod
    def _agrees(then: tuple[int, int], boot_ns: int, offset_ns: int) -> bool:
        passed_ns = boot_ns - then[0]
        return 0 <= passed_ns < _FORGOTTEN_NS and abs(offset_ns - then[1]) <= TOLERANCE_MS * _NS_PER_MS
