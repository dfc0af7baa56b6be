"""Time that never jumps: what the system clock said when the agent started, run on by boot time. Pure.

Everything inside the agent is stamped with it, so that no interval, timeout or order depends on whoever sets the clock.
Sources stamp with the system clock, the kernel too; a stamp may be older than a step that was noticed since.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge.clock.clock_trust import STEP_NS, Reading
from edge.frame import Frame

MOST_STEPS: Final = 8
_SETTLED_NS: Final = 120 * 1_000_000_000
"""So long after a step nothing that was stamped before it is on its way any more."""

_SLACK_NS: Final = 5_000_000
_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """The system clock was set, while the agent ran, from one time to another."""

    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class _Span:
    """While the system clock was `offset_ns` ahead of boot time: from some moment after `since_ns` until `until_ns`."""

    offset_ns: int
    since_ns: int
    until_ns: int | None = None


class SteadyClock:
    """Follows the system clock's steps. Times are ns unless named otherwise."""

    def __init__(self, reading: Reading) -> None:
        self.base_ns = reading.offset_ns
        """Steady time minus boot time."""
        self.steps = 0
        self._looked_ns = reading.boot_ns
        self._spans = [_Span(reading.offset_ns, -(2**63))]

    def look(self, reading: Reading) -> Step | None:
        """Whether the clock was stepped since the last look. To be asked before stamps are converted."""
        newest = self._spans[-1]
        step = None
        if abs(reading.offset_ns - newest.offset_ns) >= STEP_NS:
            self.steps += 1
            self._spans[-1] = _Span(newest.offset_ns, newest.since_ns, reading.boot_ns)
            self._spans = [*self._spans[1 - MOST_STEPS :], _Span(reading.offset_ns, self._looked_ns)]
            before_ns = reading.boot_ns + newest.offset_ns
            step = Step(before_ns // _NS_PER_MS, reading.wall_ns // _NS_PER_MS)
        elif len(self._spans) > 1 and reading.boot_ns - newest.since_ns > _SETTLED_NS:
            self._spans = [newest]
        self._looked_ns = reading.boot_ns
        return step

    @property
    def offset_ns(self) -> int:
        """The system clock's time minus boot time."""
        return self._spans[-1].offset_ns

    def now_ns(self, boot_ns: int) -> int:
        """Steady time at `boot_ns`."""
        return boot_ns + self.base_ns

    def boot_ns(self, stamp_ns: int) -> int:
        """The boot time that the system clock's `stamp_ns` was."""
        for span in reversed(self._spans):
            boot_ns = stamp_ns - span.offset_ns
            end_ns = self._looked_ns if span.until_ns is None else span.until_ns
            if span.since_ns - _SLACK_NS <= boot_ns <= end_ns + _SLACK_NS:
                return boot_ns
        return stamp_ns - self._spans[-1].offset_ns  # an adapter with a clock of its own

    def steady_ms(self, stamp_ms: int) -> int:
        """The steady time of a stamp."""
        if self._shift_ns == 0:
            return stamp_ms
        return (self.boot_ns(stamp_ms * _NS_PER_MS) + self.base_ns) // _NS_PER_MS

    def steady(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """The frames with steady times; the very same ones as long as the clock was not stepped."""
        shift_ns = self._shift_ns
        if shift_ns == 0:
            return frames
        base_ns, new = self.base_ns, tuple.__new__
        return [
            new(
                Frame,  # twice as fast as Frame(…)
                (
                    None if t_ns is None else t_ns + shift_ns if shift_ns is not None else self.boot_ns(t_ns) + base_ns,
                    channel,
                    arbitration_id,
                    is_extended,
                    data,
                ),
            )
            for t_ns, channel, arbitration_id, is_extended, data in frames
        ]

    @property
    def _shift_ns(self) -> int | None:
        """What turns a stamp into steady time; None where that depends on the stamp."""
        return self.base_ns - self._spans[0].offset_ns if len(self._spans) == 1 else None
