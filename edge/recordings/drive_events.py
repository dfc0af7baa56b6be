"""Flat vehicle events, as trackers and fleet APIs commonly export them: an array of objects with a position and a time.

Keys in any case: `id|vehicle`, `lat|latitude`, `lng|lon|longitude`, `timestamp|time`, and, where they are there,
`speed` (km/h), `course|heading|bearing` (degrees true), `alt|altitude` (m). A time is ISO 8601 (UTC unless it says
otherwise), or Unix seconds or milliseconds.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from edge.recordings.drive_fix import DriveFix, Problems

_ALIASES: Mapping[str, tuple[str, ...]] = {
    "vehicle": ("vehicle", "id"),
    "lat": ("lat", "latitude"),
    "lon": ("lng", "lon", "longitude"),
    "time": ("timestamp", "time"),
    "speed": ("speed",),
    "course": ("course", "heading", "bearing"),
    "alt": ("alt", "altitude"),
}
_FIRST_MS = 10**11  # as seconds this would be the year 5138
_LATEST_MS = 253_402_300_799_000  # the end of year 9999


@dataclass(frozen=True, slots=True)
class FoundEvents:
    """The fixes of one vehicle, in the order of their times, the first at 0 ms."""

    vehicle: str | None = None
    start_ms: int = 0
    fixes: tuple[DriveFix, ...] = ()
    problems: Problems = field(default_factory=Problems)


def parse_events(events: Sequence[object], *, vehicle: str | None = None) -> FoundEvents:
    """The fixes of `vehicle`, or of the first vehicle in `events`; what is no event is counted and named."""
    problems = Problems()
    others: Counter[str] = Counter()
    kept: list[tuple[int, DriveFix]] = []
    for index, event in enumerate(events):
        values = _known_values(event)
        fix = _fix(values)
        if fix is None:
            problems.add(f"element {index} has no usable {_missing(values)}")
            continue
        ident = _text(values.get("vehicle"))
        if vehicle is None:
            vehicle = ident
        if ident is not None and ident != vehicle:
            others[ident] += 1
            continue
        kept.append(fix)
    for ident, count in others.items():
        problems.add(f"{count} events of another vehicle, {ident!r}")
    if not kept:
        return FoundEvents(vehicle, problems=problems)
    kept.sort(key=lambda pair: pair[0])
    start_ms = kept[0][0]
    by_time = {at_ms - start_ms: fix._replace(t_ms=at_ms - start_ms) for at_ms, fix in kept}
    if len(by_time) < len(kept):
        problems.add(f"{len(kept) - len(by_time)} events with the time of another one")
    return FoundEvents(vehicle, start_ms, tuple(by_time.values()), problems)


def _known_values(event: object) -> dict[str, object]:
    if not isinstance(event, dict):
        return {}
    by_key = {str(key).lower(): value for key, value in event.items()}
    return {name: by_key[key] for name, keys in _ALIASES.items() for key in keys if key in by_key}


def _fix(values: Mapping[str, object]) -> tuple[int, DriveFix] | None:
    lat, lon, time_ms = _number(values.get("lat")), _number(values.get("lon")), _time_ms(values.get("time"))
    if lat is None or lon is None or time_ms is None or abs(lat) > 90 or abs(lon) > 180:
        return None
    speed, course, alt = (_number(values.get(name)) for name in ("speed", "course", "alt"))
    return time_ms, DriveFix(0, lat, lon, alt, None if speed is None or speed < 0 else speed, course)


def _missing(values: Mapping[str, object]) -> str:
    lat, lon = _number(values.get("lat")), _number(values.get("lon"))
    if lat is None or lon is None or abs(lat) > 90 or abs(lon) > 180:
        return f"position (lat {values.get('lat')!r}, lon {values.get('lon')!r})"
    return f"time ({values.get('time')!r})"


def _time_ms(value: object) -> int | None:
    number = _number(value)
    if number is not None:
        time_ms = number if abs(number) >= _FIRST_MS else number * 1000
        return round(time_ms) if 0 <= time_ms <= _LATEST_MS else None
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _number(value: object) -> float | None:
    """A finite number, also one that was written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _text(value: object) -> str | None:
    return None if value is None or isinstance(value, dict | list) else str(value)
