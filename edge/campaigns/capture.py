"""Captures: raw frames from before a moment until after it, out of the ring, each frame once.

Pure but for the ring. A capture that is asked for again while it runs, in its rest, or too often a day is not taken,
and counted. What the ring no longer holds cannot be taken; that shows in where the capture begins.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from edge.campaigns.frame_ring import FrameRing
from edge.frame import Frame
from wire.campaign import Capture
from wire.ranges import EMPTY, RangeSet

SLACK_NS: Final = 1_000_000_000
"""Buses are read one after the other: frames may be so much younger than those that come after them."""
_DAY_NS: Final = 86_400_000_000_000


@dataclass(slots=True)
class CaptureCounts:
    """Since the start."""

    taken: Counter[str] = field(default_factory=Counter)  # by name
    not_taken: Counter[str] = field(default_factory=Counter)  # by cause: running, cooldown, most_per_day
    frames: int = 0


@dataclass(slots=True)
class _Job:
    number: int
    from_ns: int
    until_ns: int


class Capturer:
    """The captures of one campaign."""

    def __init__(self, ring: FrameRing, captures: Sequence[Capture], counts: CaptureCounts | None = None) -> None:
        """`counts` go on from another one's."""
        self.counts = counts or CaptureCounts()
        self._ring = ring
        self._captures = captures
        self._jobs: list[_Job] = []
        self._taken = EMPTY
        self._quiet_until_ns: dict[int, int] = {}
        self._running_until_ns: dict[int, int] = {}
        self._starts: dict[int, list[int]] = {}

    @property
    def is_active(self) -> bool:
        """Whether frames are still to be taken."""
        return bool(self._jobs)

    def start(self, number: int, t_ns: int) -> bool:
        """The condition of capture `number` became true at `t_ns`; False if it is not taken."""
        capture = self._captures[number]
        if (cause := self._refuses(number, t_ns)) is not None:
            self.counts.not_taken[cause] += 1
            return False
        until_ns = t_ns + round(capture.after_s * 1e9)
        from_ns = t_ns - round(capture.before_s * 1e9)
        self._running_until_ns[number] = until_ns
        self._quiet_until_ns[number] = until_ns + round(capture.cooldown_s * 1e9)
        self._starts[number].append(t_ns)
        self._jobs.append(_Job(self._ring.number_at(from_ns - SLACK_NS), from_ns, until_ns))
        self.counts.taken[capture.name] += 1
        return True

    def collect(self, now_ns: int) -> list[Frame]:
        """What has come for the captures that run: of each at most a portion of the ring. Call it again and again."""
        collected: list[Frame] = []
        for job in list(self._jobs):
            number, frames = self._ring.take(job.number)
            first = number - len(frames)
            wanted = [
                (place, frame)
                for place, frame in enumerate(frames, start=first)
                if job.from_ns <= (frame.t_ns or 0) <= job.until_ns and place not in self._taken
            ]
            collected += [frame for _, frame in wanted]
            self._taken |= RangeSet.of(place for place, _ in wanted)
            job.number = number
            is_past = bool(frames) and (frames[-1].t_ns or 0) > job.until_ns + SLACK_NS
            if is_past or (number >= self._ring.next and now_ns > job.until_ns + SLACK_NS):
                self._jobs.remove(job)
        self._taken = self._taken - RangeSet([(0, self._ring.first - 1)]) if self._ring.first else self._taken
        self.counts.frames += len(collected)
        return collected

    def finish(self, now_ns: int) -> list[Frame]:
        """What is there for the captures that run, which end here."""
        collected: list[Frame] = []
        while any(job.number < self._ring.next for job in self._jobs):
            collected += self.collect(now_ns)
        self._jobs.clear()
        return collected

    def _refuses(self, number: int, t_ns: int) -> str | None:
        starts = self._starts.setdefault(number, [])
        starts[:] = [start for start in starts if start <= t_ns < start + _DAY_NS]  # none after a clock that went back
        if not starts:
            return None
        if t_ns <= self._running_until_ns[number]:
            return "running"
        if t_ns < self._quiet_until_ns[number]:
            return "cooldown"
        return "most_per_day" if len(starts) >= self._captures[number].most_per_day else None
