"""Fixes out of decoded CAN signals, for vehicles whose GPS receiver is on the bus.

Pure. A fix is given when a message that carries the latitude arrives, is valid, and has its longitude; what other
messages carry is taken from their last value if that is not older than `NOT_OLDER_THAN_MS`. What the database says in
m/s, knots, mph, feet or radians is converted.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from edge.fix import Fix

NOT_OLDER_THAN_MS: Final = 2_000
_KMH: Final[Mapping[str, float]] = {
    "km/h": 1.0,
    "kmh": 1.0,
    "kph": 1.0,
    "m/s": 3.6,
    "mps": 3.6,
    "mph": 1.609344,
    "kn": 1.852,
    "kt": 1.852,
    "knots": 1.852,
}
_METRES: Final[Mapping[str, float]] = {"m": 1.0, "km": 1000.0, "ft": 0.3048, "feet": 0.3048}
_DEGREES: Final[Mapping[str, float]] = {"rad": 180 / math.pi}
_FACTORS: Final[Mapping[str, Mapping[str, float]]] = {
    "speed": _KMH,
    "alt": _METRES,
    "course": _DEGREES,
    "lat": _DEGREES,
    "lon": _DEGREES,
}


class _Signal(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str | None: ...


@dataclass(slots=True)
class FixSignalCounts:
    """Messages with a latitude. Their number is the sum."""

    fixes: int = 0
    not_valid: int = 0
    incomplete: int = 0  # the longitude or the validity is not known, or too old
    implausible: int = 0  # outside of the earth, or not a number


class FixSignals:
    """Watches decoded frames. `names` gives the signal's full name for each of lat, lon, valid, alt, speed, …"""

    def __init__(self, names: Mapping[str, str], signals: Sequence[_Signal]) -> None:
        """`signals` is the decoder's list, which may grow; indices point into it."""
        self.counts = FixSignalCounts()
        self._key_by_name = {name: key for key, name in names.items()}
        self._has_valid = "valid" in names
        self._signals = signals
        self._looked_at = 0
        self._watched: dict[int, tuple[str, float]] = {}  # index → (key, factor)
        self._plans: dict[int, tuple[Sequence[int], tuple[tuple[int, str, float], ...]]] = {}
        self._latest: dict[str, tuple[int, float]] = {}

    def watches(self, indices: Sequence[int]) -> bool:
        """Whether frames with these signals matter to it."""
        known = self._plans.get(id(indices))
        return bool(self._plan(indices) if known is None else known[1])

    def offer(self, t_ms: int, indices: Sequence[int], values: Sequence[float]) -> Fix | None:
        """The fix that the frame completes. The same message comes with the same `indices` object."""
        known = self._plans.get(id(indices))
        plan = self._plan(indices) if known is None else known[1]
        if not plan:
            return None
        has_lat = False
        for position, key, factor in plan:
            self._latest[key] = (t_ms, values[position] * factor)
            has_lat |= key == "lat"
        return self._fix(t_ms) if has_lat else None

    def _fix(self, t_ms: int) -> Fix | None:
        lat, lon, valid = self._recent("lat", t_ms), self._recent("lon", t_ms), self._recent("valid", t_ms)
        if lat is None or lon is None or (self._has_valid and valid is None):
            self.counts.incomplete += 1
            return None
        if self._has_valid and not valid:
            self.counts.not_valid += 1
            return None
        if not (abs(lat) <= 90 and abs(lon) <= 180):
            self.counts.implausible += 1
            return None
        self.counts.fixes += 1
        course, sats = self._optional("course", t_ms), self._optional("sats", t_ms)
        return Fix(
            t_ms,
            lat,
            lon,
            alt=self._optional("alt", t_ms),
            speed=self._optional("speed", t_ms),
            course=None if course is None else course % 360,
            hdop=self._optional("hdop", t_ms),
            sats=None if sats is None else min(max(int(sats), 0), 255),
        )

    def _recent(self, key: str, t_ms: int) -> float | None:
        at_ms, value = self._latest.get(key, (0, 0.0))
        return value if key in self._latest and abs(t_ms - at_ms) <= NOT_OLDER_THAN_MS else None

    def _optional(self, key: str, t_ms: int) -> float | None:
        value = self._recent(key, t_ms)
        return float(value) if value is not None and math.isfinite(value) else None

    def _plan(self, indices: Sequence[int]) -> tuple[tuple[int, str, float], ...]:
        """Where in the values of such a frame something for a fix stands."""
        for index in range(self._looked_at, len(self._signals)):
            signal = self._signals[index]
            if (key := self._key_by_name.get(signal.name)) is not None:
                unit = (signal.unit or "").strip().lower()
                self._watched[index] = (key, _FACTORS.get(key, {}).get(unit, 1.0))
        self._looked_at = len(self._signals)
        plan = tuple(
            (position, *self._watched[index]) for position, index in enumerate(indices) if index in self._watched
        )
        self._plans[id(indices)] = (indices, plan)  # holding the object keeps its id its own
        return plan
