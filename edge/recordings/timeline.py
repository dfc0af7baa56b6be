"""From the times of a recording to the times of its replay: what is odd in them is smoothed, and counted."""

from dataclasses import dataclass
from typing import Final

NS_PER_S: Final = 1_000_000_000
TOLERATED_STEP_BACK_NS: Final = NS_PER_S
UNTIMED_STEP_NS: Final = 1_000_000
AFTER_A_JUMP_NS: Final = NS_PER_S


@dataclass(slots=True)
class TimelineCounts:
    """What was odd. None of it loses a frame."""

    backwards: int = 0  # a little earlier than the frame ahead, as where buses were logged together: sent at once
    restarts: int = 0  # much earlier: the clock was set back, or another file begins; goes on from there
    gaps: int = 0  # pauses longer than the longest that is waited for
    untimed: int = 0  # without a time: sent 1 ms after the one ahead


class Timeline:
    """Gives each frame, in the order of the recording, its due time in ns since the beginning; it never falls."""

    def __init__(self, *, longest_gap_s: float) -> None:
        self.counts = TimelineCounts()
        self.last_ns = 0
        self._longest_gap_ns = round(longest_gap_s * NS_PER_S)
        self._base_ns: int | None = None  # the recorded time that is 0

    def begin(self, begin_ns: int) -> None:
        """The next frame is the first of a round, and due at `begin_ns`."""
        self.last_ns, self._base_ns = begin_ns, None

    def due_ns(self, t_ns: int | None) -> int:
        """When to send the frame that was recorded at `t_ns`."""
        if t_ns is None:
            self.counts.untimed += 1
            self.last_ns += UNTIMED_STEP_NS
            return self.last_ns
        if self._base_ns is None:
            self._base_ns = t_ns - self.last_ns
        due_ns = t_ns - self._base_ns
        if due_ns < self.last_ns - TOLERATED_STEP_BACK_NS:
            self.counts.restarts += 1
            due_ns = self.last_ns
            self._base_ns = t_ns - due_ns
        elif due_ns < self.last_ns:
            self.counts.backwards += 1
        elif due_ns > self.last_ns + self._longest_gap_ns:
            self.counts.gaps += 1
            due_ns = self.last_ns + min(AFTER_A_JUMP_NS, self._longest_gap_ns)
            self._base_ns = t_ns - due_ns
        self.last_ns = max(self.last_ns, due_ns)
        return self.last_ns
