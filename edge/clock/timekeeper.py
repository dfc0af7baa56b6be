"""What the time is, what is recorded is called, and when waiting for the truth ends. Pure: readings are passed in.

Until the time is known, what is recorded waits in the spool. It ends when NTP or GPS tells the time, which is then the
time of everything recorded in this boot, or when the vehicle has been online for `deadline_s` and nothing did: what
waits then, and what follows, is sent as it is, and flagged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from edge.clock.clock_label import ClockLabel, rounded_ms
from edge.clock.clock_trust import ClockTrust, KnownTime, Reading, Source
from edge.clock.gps_time import GpsTime
from edge.clock.steady_clock import SteadyClock
from edge.fix import Fix
from edge.frame import Frame

_LONGEST_LOOK_NS: Final = 5_000_000_000
"""A longer time between two looks was spent asleep."""

_NS_PER_MS: Final = 1_000_000
_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ClockEvent:
    """What happened to the clock; `t_ms` is steady time."""

    t_ms: int
    kind: str
    data: Mapping[str, JsonValue]


class Timekeeper:
    """The clock of one run of the agent, in the boot `boot_id`."""

    def __init__(self, boot_id: str, reading: Reading, trust: ClockTrust, *, deadline_s: float) -> None:
        self.boot_id = boot_id
        self._trust = trust
        self._clock = SteadyClock(reading)
        self._gps = GpsTime()
        self._reading = reading
        self._left_ns: int = round(deadline_s * _NS_PER_S)
        self._gps_offset_ns: int | None = None
        trust.look(reading)

    @property
    def label(self) -> ClockLabel:
        """For what is recorded now."""
        known = self._trust.known
        if known is not None:
            return ClockLabel(self.boot_id, self._clock.base_ns, known.offset_ns, is_trusted=True)
        offset_ns = self._clock.offset_ns
        return ClockLabel(self.boot_id, self._clock.base_ns, offset_ns, is_trusted=False, waits=self._left_ns > 0)

    @property
    def known(self) -> KnownTime | None:
        """None while the time is not known."""
        return self._trust.known

    @property
    def source(self) -> Source | None:
        """From whom the time is known."""
        return None if self._trust.known is None else self._trust.known.source

    @property
    def steps(self) -> int:
        """How often the system clock was stepped since the start."""
        return self._clock.steps

    @property
    def refused_dates(self) -> int:
        """Fixes whose date cannot be."""
        return self._gps.refused

    @property
    def waits_s(self) -> float | None:
        """How much longer, online, it is waited for the truth; None if it is not."""
        return self._left_ns / _NS_PER_S if self.label.waits else None

    @property
    def gps_differs_ms(self) -> int | None:
        """How far ahead GPS is of the time that is believed; None while GPS does not tell or nothing is believed."""
        known = self._trust.known
        if known is None or self._gps_offset_ns is None:
            return None
        return rounded_ms(self._gps_offset_ns - known.offset_ns)

    @property
    def off_ms(self) -> int | None:
        """How far the system clock is ahead of the time that is known."""
        known = self._trust.known
        return None if known is None else rounded_ms(self._clock.offset_ns - known.offset_ns)

    def look(self, reading: Reading, *, is_online: bool = False) -> Sequence[ClockEvent]:
        """To be called often, and before stamps are converted; what happened since the last look."""
        was_known, did_wait = self._trust.known, self._left_ns > 0
        passed_ns = reading.boot_ns - self._reading.boot_ns
        self._reading = reading
        step = self._clock.look(reading)
        self._trust.look(reading)
        if is_online and self._trust.known is None:
            self._left_ns -= min(passed_ns, _LONGEST_LOOK_NS)
        t_ms = self.now_ns(reading) // _NS_PER_MS
        events = []
        if step is not None:
            data: dict[str, JsonValue] = {"from": step.from_ms, "to": step.to_ms, "delta_ms": step.to_ms - step.from_ms}
            events.append(ClockEvent(t_ms, "clock_step", data))
        if was_known is None and self._trust.known is not None:
            events.append(self._became_known(t_ms, self._trust.known))
        elif self._trust.known is None and did_wait and self._left_ns <= 0:
            events.append(ClockEvent(t_ms, "clock_untrusted", {"reason": "neither NTP nor GPS told the time"}))
        return events

    def hear(self, fix: Fix) -> Sequence[ClockEvent]:
        """What the receiver says the time is, with the stamp of its reception still the system clock's."""
        if fix.t_ms is None:
            return []
        offset_ns = self._gps.hear(fix.utc_ms, self._clock.boot_ns(fix.t_ms * _NS_PER_MS))
        if offset_ns is None:
            return []
        was_known = self._trust.known
        self._gps_offset_ns = offset_ns
        self._trust.hear_gps(offset_ns, self._reading)
        if was_known is None and self._trust.known is not None:
            return [self._became_known(self.now_ns(self._reading) // _NS_PER_MS, self._trust.known)]
        return []

    def now_ns(self, reading: Reading) -> int:
        """Steady time."""
        return self._clock.now_ns(reading.boot_ns)

    def steady_ms(self, stamp_ms: int) -> int:
        """The steady time of a stamp."""
        return self._clock.steady_ms(stamp_ms)

    def steady(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """The frames with steady times."""
        return self._clock.steady(frames)

    def _became_known(self, t_ms: int, known: KnownTime) -> ClockEvent:
        """`shift_ms` is what was added to the times of what waited: to what the clock said at the start."""
        shift_ms = rounded_ms(known.offset_ns - self._clock.base_ns)
        return ClockEvent(t_ms, "clock_trusted", {"source": known.source, "shift_ms": shift_ms})
