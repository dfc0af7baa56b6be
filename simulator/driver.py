"""The driver: how fast the vehicle goes, where it stops, when it parks. Time comes in with every step."""

import math
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final

from simulator.routes import CITY_LIMIT_KMH, Road, Spot

KMH_PER_MS: Final = 3.6
COMFORT_BRAKE: Final = 1.3  # m/s², what a driver plans with
HARDEST_BRAKE: Final = 3.0
LATERAL_COMFORT: Final = 2.2  # m/s² in a bend
LOOK_AHEAD_S: Final = 10.0
AT_AN_END_M: Final = 20.0
FIRST_PARK_S: Final = 3.0
PARKED_S: Final = (90.0, 600.0)
REST_AFTER_S: Final = (6000.0, 9000.0)


class Phase(Enum):
    """What the vehicle is doing."""

    PARKED = "parked"  # engine off
    BOARDING = "boarding"  # ignition on, belts, doors
    CRANKING = "cranking"
    DRIVING = "driving"
    STANDING = "standing"  # engine running: a light, a jam, before leaving and after arriving


@dataclass(slots=True)
class _Stop:
    """A planned stop: a red light, or a rest where the vehicle parks."""

    in_m: float
    park: bool


@dataclass(slots=True)
class Place:
    """Where on its road the vehicle is."""

    at_m: float = 0.0
    backwards: bool = False


class Driver:
    """Drives a road there and back, or round and round, from a seeded source of chance."""

    def __init__(self, road: Road, rng: Random, *, place: Place, parked: bool) -> None:
        self.road = road
        self.place = place
        self.phase = Phase.PARKED if parked else Phase.DRIVING
        self.speed_ms = 0.0
        self.acceleration = 0.0
        self.arrivals = 0  # times that it parked, for refuelling
        self.spot = road.spot(place.at_m, backwards=place.backwards)
        self._rng = rng
        self._left_s = FIRST_PARK_S  # of a phase that ends by itself
        self._haste = rng.uniform(0.9, 1.03)
        self._traffic = 1.0
        self._jam_s = 0.0
        self._until_rest_s = rng.uniform(*REST_AFTER_S)
        self._stop: _Stop | None = None
        self._park_next = False

    @property
    def engine_running(self) -> bool:
        """Whether the engine turns by itself."""
        return self.phase in (Phase.DRIVING, Phase.STANDING)

    @property
    def is_home_again(self) -> bool:
        """Whether it has driven, and is parked where its road begins."""
        is_at_begin = self.place.at_m < AT_AN_END_M and not self.place.backwards
        return self.phase is Phase.PARKED and self.arrivals > 0 and is_at_begin

    def step(self, dt_s: float) -> None:
        """Go on for `dt_s` seconds."""
        if self.phase is Phase.DRIVING:
            self._drive(dt_s)
        else:
            self.acceleration = 0.0
            self._left_s -= dt_s
            if self._left_s <= 0:
                self._next_phase()
        self.spot = self.road.spot(self.place.at_m, backwards=self.place.backwards)

    def _drive(self, dt_s: float) -> None:
        self._mind_traffic(dt_s)
        self._plan_stop(dt_s)
        to_end_m = self._to_end()
        stop_m = min(to_end_m, self._stop.in_m if self._stop else math.inf)
        wanted_ms = min(self._allowed_ms(), math.sqrt(2 * COMFORT_BRAKE * max(stop_m - 1.0, 0.0)))
        strongest = max(0.35, 2.4 - 0.058 * self.speed_ms)
        self.acceleration = min(max((wanted_ms - self.speed_ms) / 1.6, -HARDEST_BRAKE), strongest)
        before_ms = self.speed_ms
        self.speed_ms = max(0.0, before_ms + self.acceleration * dt_s)
        moved_m = (before_ms + self.speed_ms) / 2 * dt_s
        self.place.at_m += -moved_m if self.place.backwards else moved_m
        if self._stop:
            self._stop.in_m -= moved_m
        if stop_m < 3.0 or (stop_m < 15.0 and self.speed_ms < 0.5):
            self._arrive(at_end=to_end_m <= stop_m)

    def _arrive(self, *, at_end: bool) -> None:
        park = at_end or (self._stop is not None and self._stop.park)
        self.speed_ms = self.acceleration = 0.0
        self._stop = None
        if at_end and self.road.is_loop:
            self.place.at_m = 0.0
            park = self._rng.random() < 0.3
        elif at_end:
            self.place.backwards = not self.place.backwards
        self._stand(self._rng.uniform(4, 9) if park else self._rng.uniform(5, 40), then_park=park)

    def _stand(self, seconds: float, *, then_park: bool) -> None:
        self.phase, self._left_s, self._park_next = Phase.STANDING, seconds, then_park

    def _next_phase(self) -> None:
        rng = self._rng
        match self.phase:
            case Phase.PARKED:
                self.phase, self._left_s = Phase.BOARDING, rng.uniform(4, 9)
            case Phase.BOARDING:
                self.phase, self._left_s = Phase.CRANKING, rng.uniform(0.6, 1.2)
            case Phase.CRANKING:
                self._stand(rng.uniform(3, 10), then_park=False)
            case _ if self._park_next:
                self.arrivals += 1
                self._until_rest_s = rng.uniform(*REST_AFTER_S)
                self.phase, self._left_s = Phase.PARKED, rng.uniform(*PARKED_S)
            case _:
                self.phase = Phase.DRIVING

    def _to_end(self) -> float:
        return self.place.at_m if self.place.backwards else self.road.length_m - self.place.at_m

    def _plan_stop(self, dt_s: float) -> None:
        in_town = self.spot.limit_kmh <= CITY_LIMIT_KMH
        self._until_rest_s -= dt_s
        if self._stop is None and in_town:
            self._stop = _Stop(self._rng.uniform(150, 900), park=False)
        elif self._stop is None and self._until_rest_s <= 0 and self._to_end() > 2000:
            self._stop = _Stop(in_m=900.0, park=True)
        elif self._stop is not None and not in_town and not self._stop.park and self._stop.in_m > 100:
            self._stop = None  # out of town, no light

    def _mind_traffic(self, dt_s: float) -> None:
        """How much slower than allowed the others are: a slow wander, and now and then a jam on the motorway."""
        rng = self._rng
        self._jam_s = max(0.0, self._jam_s - dt_s)
        if self._jam_s == 0 and self.spot.limit_kmh > CITY_LIMIT_KMH and rng.random() < dt_s / 2400:
            self._jam_s = rng.uniform(40, 180)
        self._traffic += (1.0 - self._traffic) * dt_s / 30 + rng.gauss(0, 0.015) * math.sqrt(dt_s)
        self._traffic = min(max(self._traffic, 0.75), 1.06)

    def _allowed_ms(self) -> float:
        ahead_m = self.speed_ms * LOOK_AHEAD_S
        spots = [self.spot, *(self._ahead(ahead_m * part) for part in (0.4, 1.0) if ahead_m > 15)]
        jam = 0.3 if self._jam_s > 0 else 1.0
        return min(self._comfortable_ms(spot) for spot in spots) * self._haste * self._traffic * jam

    def _ahead(self, distance_m: float) -> Spot:
        at_m = self.place.at_m + (-distance_m if self.place.backwards else distance_m)
        return self.road.spot(at_m, backwards=self.place.backwards)

    @staticmethod
    def _comfortable_ms(spot: Spot) -> float:
        return min(spot.limit_kmh / KMH_PER_MS, math.sqrt(LATERAL_COMFORT / max(abs(spot.curvature), 1e-6)))
