"""The newest value of every signal and the newest position of a vehicle, merged by time, then value.

The merge is commutative, so that late, shuffled or repeated facts end in the same row.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Newest:
    """The newest sample of each (vehicle, signal): rows side by side, sorted by both."""

    vehicles: Ints
    signals: Ints
    t_ms: Ints
    values: Floats

    @classmethod
    def of_sorted(cls, vehicles: Ints, signals: Ints, t_ms: Ints, values: Floats) -> "Newest":
        """Of samples that are sorted by (vehicle, signal, time); of several at the last time the highest value."""
        if not len(t_ms):
            return cls(vehicles, signals, t_ms, values)
        begins = np.flatnonzero(np.r_[True, (np.diff(vehicles) != 0) | (np.diff(signals) != 0)])
        ends = np.r_[begins[1:], len(t_ms)] - 1
        newest = np.repeat(t_ms[ends], np.diff(np.r_[begins, len(t_ms)])) == t_ms
        highest = np.maximum.reduceat(np.where(newest, values, -np.inf), begins)
        return cls(vehicles[ends], signals[ends], t_ms[ends], highest)

    def merged(self, other: "Newest") -> "Newest":
        vehicles = np.concatenate([self.vehicles, other.vehicles])
        signals = np.concatenate([self.signals, other.signals])
        t_ms = np.concatenate([self.t_ms, other.t_ms])
        values = np.concatenate([self.values, other.values])
        order = np.lexsort((t_ms, signals, vehicles))
        return Newest.of_sorted(vehicles[order], signals[order], t_ms[order], values[order])

    def of_vehicle(self, vehicle_id: int) -> tuple[list[int], list[int], list[float]]:
        """Signal ids, times, values."""
        first, end = np.searchsorted(self.vehicles, [vehicle_id, vehicle_id + 1])
        return self.signals[first:end].tolist(), self.t_ms[first:end].tolist(), self.values[first:end].tolist()


@dataclass(frozen=True)
class Position:
    t_ms: int
    lat: float
    lon: float
    alt: float | None
    speed: float | None
    course: float | None

    @property
    def rank(self) -> tuple[Any, ...]:
        missing = float("-inf")
        rest = (missing if value is None else value for value in (self.alt, self.speed, self.course))
        return (self.t_ms, self.lat, self.lon, *rest)


def newer(one: Position | None, other: Position | None) -> Position | None:
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda position: position.rank)
