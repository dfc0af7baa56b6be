"""Whether the time is known, and from whom. Pure.

Time is kept as boot time, which never jumps, plus an offset. The offset is the system clock's while NTP keeps that
right, or a GPS receiver's, and once known it holds for the rest of the boot: whoever steps the system clock afterwards,
to 1970 or by an hour, moves nothing until NTP says that this is the time.

A computer with a battery for its clock, or a host that sets it, is believed too where `trust` is "auto", as is a kernel
that cannot say. That is believing the system clock itself, so its steps are followed as far as they lead to a time that
can be. "strict" believes NTP and GPS alone, "system" the system clock always.
"""

from dataclasses import dataclass
from typing import Final, Literal

from edge.clock.plausible_time import is_plausible

Trust = Literal["auto", "strict", "system"]
Source = Literal["ntp", "gps", "battery", "system"]

SAME_NS: Final = 2_000_000_000
"""Where GPS is no further from the system clock, that one is right: what a serial port tells is late and jitters."""

STEP_NS: Final = 10_000_000
"""Less is no step, but the time between two looks at two clocks."""

_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    """The clocks at one moment. `synchronised` is what the kernel says, None where it does not."""

    boot_ns: int
    wall_ns: int
    synchronised: bool | None = None

    @property
    def offset_ns(self) -> int:
        """The system clock's time minus boot time: changes when the clock is stepped, and only then."""
        return self.wall_ns - self.boot_ns


@dataclass(frozen=True, slots=True)
class KnownTime:
    """UTC is boot time plus `offset_ns`."""

    offset_ns: int
    source: Source


class ClockTrust:
    """Takes evidence. `keeps_time` is whether the computer's clock runs on without power, or a host sets it."""

    def __init__(self, trust: Trust, *, keeps_time: bool, known: KnownTime | None = None) -> None:
        """`known` is what was known earlier in this boot."""
        self._trust = trust
        self._keeps_time = keeps_time
        self._known = known

    @property
    def known(self) -> KnownTime | None:
        """None while the time is not known."""
        return self._known

    def look(self, reading: Reading) -> None:
        """Take what the system clock and the kernel say."""
        if not is_plausible(reading.wall_ns // _NS_PER_MS):
            return
        if reading.synchronised:
            self._take(reading.offset_ns, "ntp")
        elif self._known is None or self._known.source in ("battery", "system"):
            if self._trust == "system" or (self._trust == "auto" and reading.synchronised is None):
                self._take(reading.offset_ns, "system")
            elif self._trust == "auto" and self._keeps_time:
                self._take(reading.offset_ns, "battery")

    def hear_gps(self, offset_ns: int, system: Reading) -> None:
        """Take what several fixes agree on. It gives way to a clock that is believed already."""
        known = self._known
        if known is not None and (known.source != "gps" or abs(known.offset_ns - offset_ns) <= SAME_NS):
            return
        is_same = abs(system.offset_ns - offset_ns) <= SAME_NS
        self._take(system.offset_ns if is_same else offset_ns, "gps")

    def _take(self, offset_ns: int, source: Source) -> None:
        known = self._known
        if known is None or known.source != source or abs(known.offset_ns - offset_ns) >= STEP_NS:
            self._known = KnownTime(offset_ns, source)
