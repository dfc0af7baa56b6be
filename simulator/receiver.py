"""The GPS receiver: true positions with a metre or two of wander, and now and then a tunnel."""

import math
from random import Random
from typing import Final

from edge.recordings.drive_fix import DriveFix
from simulator.routes import Spot

METRES_PER_DEGREE: Final = 111_195.0
WANDER_M: Final = 1.5
WANDER_S: Final = 40.0
MEAN_S_BETWEEN_TUNNELS: Final = 2700.0
COLD_START_S: Final = 4.0


class Receiver:
    """Gives fixes for where the vehicle really is."""

    def __init__(self, rng: Random, *, cold: bool) -> None:
        self._rng = rng
        self._north_m = self._east_m = 0.0
        self._blind_s = COLD_START_S if cold else 0.0
        self._course = 0.0
        self._hdop = 0.8

    def step(self, dt_s: float, *, speed_ms: float) -> None:
        """Go on for `dt_s`."""
        pull, push = dt_s / WANDER_S, WANDER_M * math.sqrt(2 * dt_s / WANDER_S)
        self._north_m += -self._north_m * pull + self._rng.gauss(0, push)
        self._east_m += -self._east_m * pull + self._rng.gauss(0, push)
        self._hdop = min(max(self._hdop + self._rng.gauss(0, 0.02), 0.6), 1.6)
        self._blind_s = max(0.0, self._blind_s - dt_s)
        if self._blind_s == 0 and speed_ms > 5 and self._rng.random() < dt_s / MEAN_S_BETWEEN_TUNNELS:
            self._blind_s = self._rng.uniform(6, 25)

    def fix(self, t_ms: int, spot: Spot, *, speed_ms: float) -> DriveFix | None:
        """What the receiver says at `t_ms`; None in a tunnel. The course stands while the vehicle does."""
        if self._blind_s > 0:
            return None
        if speed_ms > 0.5:
            self._course = spot.course
        lat = spot.lat + self._north_m / METRES_PER_DEGREE
        lon = spot.lon + self._east_m / (METRES_PER_DEGREE * math.cos(math.radians(spot.lat)))
        return DriveFix(
            t_ms,
            lat=round(lat, 7),
            lon=round(lon, 7),
            alt=round(altitude_m(spot) + self._north_m, 1),
            speed=round(max(0.0, speed_ms * 3.6 + self._rng.gauss(0, 0.1)) if speed_ms > 0 else 0.0, 2),
            course=round(self._course, 2) % 360,
            hdop=round(self._hdop, 1),
            sats=max(6, 16 - round(6 * self._hdop)),
        )


def altitude_m(spot: Spot) -> float:
    """Gentle hills; a made-up landscape."""
    return 48 + 22 * math.sin(spot.lat * 61) + 18 * math.sin(spot.lon * 47)
