"""Roads to drive on: way-points of real motorways and streets, joined by a spline.

The way-points (routes.csv) are places along the road, good to about a kilometre; the spline between them is a
centripetal Catmull-Rom curve, which neither overshoots nor makes loops (Yuksel et al. 2011).
"""

import csv
import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from simulator.errors import SimulatorError

EARTH_RADIUS_M: Final = 6_371_008.8
CITY_LIMIT_KMH: Final = 60
"""Up to this limit there are traffic lights."""
_TABLE = Path(__file__).with_name("routes.csv")
_STEP_M: Final = 100.0
_CITY_STEP_M: Final = 20.0


class WayPoint(NamedTuple):
    """A place on the road; the limit holds from here to the next one."""

    place: str
    lat: float
    lon: float
    limit_kmh: float


class Spot(NamedTuple):
    """Where on the earth a point of the road is, and what holds there."""

    lat: float
    lon: float
    course: float  # degrees true, 0 to 360
    limit_kmh: float
    curvature: float  # 1/m, positive to the right


class Road:
    """A road from end to end, in metres from its beginning. A loop ends where it begins."""

    def __init__(self, name: str, way_points: Sequence[WayPoint]) -> None:
        self.name = name
        self.is_loop = way_points[0][1:3] == way_points[-1][1:3]
        self.title = (
            f"{way_points[0].place}, round" if self.is_loop else f"{way_points[0].place} to {way_points[-1].place}"
        )
        self._lat, self._lon, self._limit = _trace(way_points, self.is_loop)
        self._at = [0.0]
        self._course: list[float] = []
        for (lat, lon), (next_lat, next_lon) in pairwise(zip(self._lat, self._lon, strict=True)):
            self._at.append(self._at[-1] + distance_m(lat, lon, next_lat, next_lon))
            self._course.append(bearing(lat, lon, next_lat, next_lon))
        self.length_m = self._at[-1]

    def spot(self, at_m: float, *, backwards: bool = False) -> Spot:
        """The spot `at_m` metres along the road, looking along it or back."""
        at_m = min(max(at_m, 0.0), self.length_m)
        index = min(bisect_right(self._at, at_m), len(self._at) - 1) - 1
        part = (at_m - self._at[index]) / max(self._at[index + 1] - self._at[index], 1e-9)
        lat = self._lat[index] + part * (self._lat[index + 1] - self._lat[index])
        lon = self._lon[index] + part * (self._lon[index + 1] - self._lon[index])
        turn = _turn(self._course[max(index - 1, 0)], self._course[min(index + 1, len(self._course) - 1)])
        curvature = math.radians(turn) / (2 * max(self._at[index + 1] - self._at[index], 1.0))
        course = self._course[index]
        if backwards:
            course, curvature = (course + 180) % 360, -curvature
        return Spot(lat, lon, course, self._limit[index], curvature)


@cache
def road(name: str) -> Road:
    """The road called `name`."""
    table = _read_table()
    if name not in table:
        raise SimulatorError(f"there is no route {name!r}; there are {', '.join(table)}")
    return Road(name, table[name])


def road_names() -> list[str]:
    """Every road that there is."""
    return list(_read_table())


def distance_m(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """The great-circle distance (haversine)."""
    a = (
        math.sin(math.radians(other_lat - lat) / 2) ** 2
        + math.cos(math.radians(lat))
        * math.cos(math.radians(other_lat))
        * math.sin(math.radians(other_lon - lon) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(a)))


def bearing(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """The course from one point to another near it, degrees true."""
    east = math.radians(other_lon - lon) * math.cos(math.radians((lat + other_lat) / 2))
    return math.degrees(math.atan2(east, math.radians(other_lat - lat))) % 360


@cache
def _read_table() -> dict[str, list[WayPoint]]:
    table: dict[str, list[WayPoint]] = {}
    with _TABLE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            point = WayPoint(row["place"], float(row["lat"]), float(row["lon"]), float(row["limit_kmh"]))
            table.setdefault(row["route"], []).append(point)
    return table


def _trace(points: Sequence[WayPoint], is_loop: bool) -> tuple[list[float], list[float], list[float]]:
    """The spline through `points`: points about 100 m apart (20 m in town), each with the limit that holds there."""
    before, after = (points[-2], points[1]) if is_loop else (points[0], points[-1])
    control = [before, *points, after]
    lat, lon, limit = [points[0].lat], [points[0].lon], [points[0].limit_kmh]
    for p0, p1, p2, p3 in zip(control, control[1:], control[2:], control[3:], strict=False):
        step_m = _CITY_STEP_M if p1.limit_kmh <= CITY_LIMIT_KMH else _STEP_M
        pieces = max(1, round(distance_m(p1.lat, p1.lon, p2.lat, p2.lon) / step_m))
        squeeze = math.cos(math.radians(p1.lat))  # so that a degree is equally long both ways
        knots = [(p.lat, p.lon * squeeze) for p in (p0, p1, p2, p3)]
        for piece in range(1, pieces + 1):
            y, x = _catmull_rom(knots, piece / pieces)
            lat.append(y)
            lon.append(x / squeeze)
            limit.append(p1.limit_kmh)
    return lat, lon, limit


def _catmull_rom(points: Sequence[tuple[float, float]], part: float) -> tuple[float, float]:
    """The point at `part` (0 to 1) of the way from the second to the third of four points (Barry and Goldman 1988)."""
    t = [0.0]
    for a, b in pairwise(points):
        t.append(t[-1] + max(math.dist(a, b) ** 0.5, 1e-6))
    at = t[1] + part * (t[2] - t[1])
    level = list(points)
    for width in (1, 2):
        level = [_between(level[i], level[i + 1], t[i], t[i + width], at) for i in range(len(level) - 1)]
    return _between(level[0], level[1], t[1], t[2], at)


def _between(a: tuple[float, float], b: tuple[float, float], t_a: float, t_b: float, at: float) -> tuple[float, float]:
    part = (at - t_a) / (t_b - t_a)
    return a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])


def _turn(course: float, other: float) -> float:
    """The angle from one course to another, -180 to 180, positive to the right."""
    return (other - course + 180) % 360 - 180
