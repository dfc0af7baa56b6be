"""Reading a drive: the simulator's own JSON, or an array of flat vehicle events as commonly found.

A drive's signals hold: a value stands until the next one. Times are ms since the drive's start. The format is told in
docs/simulator.md.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from edge.errors import EdgeError
from edge.recordings.drive_events import parse_events
from edge.recordings.drive_fix import DriveFix, Problems

FORMAT = "fleetwire-drive"
VERSION = 1
_OPTIONAL = ("alt", "speed", "course", "hdop", "sats")


class DriveError(EdgeError):
    """A drive that cannot be played; the message names the file and what to do."""


class Series(NamedTuple):
    """One signal over time: from `t_ms[i]` on it is `v[i]`. Times rise."""

    t_ms: tuple[int, ...]
    v: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Drive:
    """What one vehicle did. `problems` counts, and names the first of, what was left out of the file."""

    vehicle: str | None
    start_ms: int | None  # Unix time of the drive's first moment
    dbc: str | None  # the database that names the signals: a file beside the drive, or one of the project's own
    duration_ms: int
    signals: Mapping[str, Series]  # by "Message.Signal"
    fixes: tuple[DriveFix, ...]
    problems: Problems = field(default_factory=Problems)


def is_drive(path: Path) -> bool:
    """Whether `path` is read as a drive; anything else is a recording."""
    return path.suffix.lower() == ".json"


def load_drive(path: Path, *, vehicle: str | None = None) -> Drive:
    """The drive in `path`. Of events of several vehicles it takes `vehicle`, or the first.

    Raises DriveError when nothing in it can be played.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DriveError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DriveError(f"{path}: is not UTF-8 text (byte {error.start}); a recording needs its own suffix") from error
    except json.JSONDecodeError as error:
        raise DriveError(f"{path}:{error.lineno}: is not JSON: {error.msg}") from error
    except RecursionError as error:
        raise DriveError(f"{path}: is nested too deeply for a drive") from error
    return parse_drive(document, name=str(path), vehicle=vehicle)


def parse_drive(document: object, *, name: str, vehicle: str | None = None) -> Drive:
    """The drive in a JSON `document`; errors call it `name`."""
    if isinstance(document, dict) and document.get("format") == FORMAT:
        return _parse_own(document, name)
    events = _events_of(document)
    if events is None:
        raise DriveError(
            f'{name}: is neither a drive ("format":"{FORMAT}") nor an array of events with a position and a time'
        )
    found = parse_events(events, vehicle=vehicle)
    if not found.fixes:
        wanted = f" of vehicle {vehicle!r}" if vehicle else ""
        raise DriveError(f"{name}: no event{wanted} with a position and a time; {found.problems.summary()}")
    start_ms = found.start_ms
    speeds = [(fix.t_ms, fix.speed) for fix in found.fixes if fix.speed is not None]
    signals = {}
    if speeds:
        signals["VehicleMotion.VehicleSpeed"] = Series(tuple(t for t, _ in speeds), tuple(v for _, v in speeds))
    return Drive(
        vehicle=found.vehicle,
        start_ms=start_ms,
        dbc=None,
        duration_ms=found.fixes[-1].t_ms,
        signals=signals,
        fixes=found.fixes,
        problems=found.problems,
    )


def _events_of(document: object) -> list[object] | None:
    """The array of events: the document itself, or the only array in it."""
    if isinstance(document, list):
        return document
    if isinstance(document, dict):
        arrays = [value for value in document.values() if isinstance(value, list)]
        if len(arrays) == 1:
            return arrays[0]
    return None


def _parse_own(document: Mapping[str, Any], name: str) -> Drive:
    if document.get("version") != VERSION:
        raise DriveError(f"{name}: is version {document.get('version')!r} of the drive format; this reads {VERSION}")
    problems = Problems()
    signals = _signals(document.get("signals", {}), problems)
    fixes = _fixes(document.get("fixes", {}), problems)
    if not signals and not fixes:
        raise DriveError(f"{name}: has no usable signal and no usable fix; {problems.summary()}")
    ends = [series.t_ms[-1] for series in signals.values()] + [fix.t_ms for fix in fixes[-1:]]
    duration_s = _number(document.get("duration"))
    vehicle, dbc = document.get("vehicle"), document.get("dbc")
    return Drive(
        vehicle=vehicle if isinstance(vehicle, str) else None,
        start_ms=_start_ms(document.get("start"), problems),
        dbc=dbc if isinstance(dbc, str) else None,
        duration_ms=max(round((duration_s or 0) * 1000), *ends),
        signals=signals,
        fixes=fixes,
        problems=problems,
    )


def _start_ms(text: object, problems: Problems) -> int | None:
    if text is None:
        return None
    try:
        start = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        start = None
    if start is None:
        problems.add(f"start {text!r} is not a time such as 2025-06-02T06:00:00Z")
        return None
    return round((start if start.tzinfo else start.replace(tzinfo=UTC)).timestamp() * 1000)


def _signals(block: object, problems: Problems) -> dict[str, Series]:
    if not isinstance(block, dict):
        problems.add("signals is not an object")
        return {}
    signals = {}
    for name, columns in block.items():
        t, v = _columns(columns, ("t", "v"))
        if t is None or v is None or len(t) != len(v):
            problems.add(f"signal {name!r} has no columns t and v of equal length")
            continue
        series = _series(name, t, v, problems)
        if series.t_ms:
            signals[name] = series
    return signals


def _series(name: str, t: list[object], v: list[object], problems: Problems) -> Series:
    kept: list[tuple[int, float]] = []
    for index, (at, value) in enumerate(zip(t, v, strict=True)):
        at_s, number = _number(at), _number(value)
        if at_s is None or number is None or at_s < 0:
            problems.add(f"signal {name!r}, element {index}: t={at!r}, v={value!r} are not a time and a number")
        elif kept and round(at_s * 1000) < kept[-1][0]:
            problems.add(f"signal {name!r}, element {index}: t={at!r} is before the one before it")
        else:
            kept.append((round(at_s * 1000), number))
    return Series(tuple(at_ms for at_ms, _ in kept), tuple(value for _, value in kept))


def _fixes(block: object, problems: Problems) -> tuple[DriveFix, ...]:
    if block == {}:
        return ()
    t, lat, lon = _columns(block, ("t", "lat", "lon"))
    if t is None or lat is None or lon is None or not len(t) == len(lat) == len(lon):
        problems.add("fixes has no columns t, lat and lon of equal length")
        return ()
    rest: dict[str, list[object]] = {}
    for name, column in zip(_OPTIONAL, _columns(block, _OPTIONAL), strict=True):
        if column is not None and len(column) != len(t):
            problems.add(f"fixes: column {name} is not as long as t")
        elif column is not None:
            rest[name] = column
    fixes: list[DriveFix] = []
    for index, (at, north, east) in enumerate(zip(t, lat, lon, strict=True)):
        fix = _fix(at, north, east, {name: _number(column[index]) for name, column in rest.items()})
        if fix is None:
            problems.add(f"fix {index}: t={at!r}, lat={north!r}, lon={east!r} are not a time and a position")
        elif fixes and fix.t_ms < fixes[-1].t_ms:
            problems.add(f"fix {index}: t={at!r} is before the one before it")
        else:
            fixes.append(fix)
    return tuple(fixes)


def _fix(at: object, north: object, east: object, rest: Mapping[str, float | None]) -> DriveFix | None:
    t_s, lat, lon, sats = _number(at), _number(north), _number(east), rest.get("sats")
    if t_s is None or t_s < 0 or lat is None or lon is None or abs(lat) > 90 or abs(lon) > 180:
        return None
    alt, speed, course, hdop = (rest.get(name) for name in _OPTIONAL[:4])
    return DriveFix(round(t_s * 1000), lat, lon, alt, speed, course, hdop, None if sats is None else round(sats))


def _columns(block: object, names: tuple[str, ...]) -> list[list[object] | None]:
    values = [block.get(name) if isinstance(block, dict) else None for name in names]
    return [value if isinstance(value, list) else None for value in values]


def _number(value: object) -> float | None:
    """`value` if it is a finite number; JSON's true and NaN are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
