"""Position reports over HTTP as OsmAnd, Traccar's client and many trackers send them, read into events.

A report is a URL's query, a form, or JSON as Traccar's client sends it since 2025:
https://www.traccar.org/osmand/. Speeds are knots in the first two and m/s in the third. Values that are no numbers and
have no meaning here are left out; what has no time is taken to be of now.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import JsonValue, ValidationError

from cloud.ingest.flat_events import NO_STREAM, KeyedBatch
from cloud.ingest.storable import problem_of
from cloud.problem import Problem
from cloud.telemetry.unix_time import to_ms
from wire.catalog import canonical_json
from wire.codec import describe
from wire.model import Batch, Column, Event, Fixes

KMH_PER_KNOT: Final = 1.852
KMH_PER_M_S: Final = 3.6
MOST_PARAMETERS: Final = 64
MESSAGE: Final = "OsmAnd"

_SECONDS_BELOW: Final = 100_000_000_000
"""A time that is smaller is in seconds: as ms it would be before 1973."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_OURS: Final = frozenset(
    {"id", "deviceid", "device_id", "lat", "lon", "location", "timestamp", "speed", "bearing", "heading", "course"}
    | {"altitude", "alt", "hdop", "sat", "sats", "valid", "alarm", "event"}
)
_TRUTHS: Final = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class Report:
    """`parameters` as a query's, whatever form it had; speeds in km/h from `kmh` times as much."""

    device: str
    parameters: Mapping[str, str]
    kmh: float = KMH_PER_KNOT


def of_parameters(parameters: Mapping[str, str]) -> Report:
    """A query or a form. Raises Problem 400."""
    if len(parameters) > MOST_PARAMETERS:
        raise Problem(400, f"{len(parameters)} parameters; at most {MOST_PARAMETERS}")
    device = parameters.get("id") or parameters.get("deviceid") or parameters.get("device_id")
    if not device:
        raise Problem(400, "id is missing: the identifier that 'fleetwire admin vehicle osmand ID' shows")
    return Report(device, parameters)


def of_json(value: Any) -> Report:
    """`{"device_id", "location": {"timestamp", "coords": {…}, …}}`. Raises Problem 400."""
    location = value.get("location") if isinstance(value, dict) else None
    coords = location.get("coords") if isinstance(location, dict) else None
    if not isinstance(value, dict) or not isinstance(location, dict) or not isinstance(coords, dict):
        raise Problem(400, 'JSON is {"device_id": …, "location": {"timestamp": …, "coords": {"latitude": …, …}}}')
    battery = location.get("battery")
    if not isinstance(battery, dict):
        battery = {}
    named = {
        "id": value.get("device_id"),
        "timestamp": location.get("timestamp"),
        "lat": coords.get("latitude"),
        "lon": coords.get("longitude"),
        "speed": coords.get("speed"),
        "bearing": coords.get("heading"),
        "altitude": coords.get("altitude"),
        "accuracy": coords.get("accuracy"),
        "batt": _percent(battery.get("level")),
        "charge": battery.get("is_charging"),
        "motion": location.get("is_moving"),
        "odometer": location.get("odometer"),
        "event": location.get("event"),
    }
    report = of_parameters({name: _text(one) for name, one in named.items() if isinstance(one, str | int | float)})
    return Report(report.device, report.parameters, KMH_PER_M_S)


def read_report(report: Report, vehicle: str, now_ms: int) -> KeyedBatch:
    """Raises Problem 400 for what cannot be a report."""
    given = report.parameters
    lat, lon = _place(given)
    t_ms = _time_ms(given["timestamp"]) if given.get("timestamp") else now_ms
    numbers = {name: _number(text) for name, text in given.items() if name not in _OURS and _NAME.fullmatch(name)}
    try:
        batch = Batch(
            vehicle=vehicle,
            stream=NO_STREAM,
            seq=0,
            t0=t_ms,
            signals={f"{MESSAGE}.{name}": Column(dt=[0], v=[v]) for name, v in numbers.items() if v is not None},
            fixes=_fixes(given, lat, lon, report.kmh) if lat is not None and lon is not None else None,
            events=[
                Event(t=t_ms, kind=kind, data={"value": given[kind][:256]})
                for kind in ("alarm", "event")
                if given.get(kind)
            ],
        )
    except ValidationError as error:
        raise Problem(400, describe(error)) from error
    if not (batch.signals or batch.fixes or batch.events):
        raise Problem(400, "the report says nothing: it needs lat and lon")
    if problem := problem_of(batch, batch.model_dump_json().encode()):
        raise Problem(400, problem)
    # What names no time is another report each time it comes.
    said: dict[str, JsonValue] = {**given, "timestamp": given.get("timestamp") or str(t_ms)}
    return KeyedBatch(hashlib.blake2b(b"osmand:" + canonical_json(said), digest_size=16).digest(), batch)


def _place(given: Mapping[str, str]) -> tuple[float | None, float | None]:
    """Nowhere when the device itself says that it does not know. Raises Problem 400."""
    texts = given.get("lat"), given.get("lon")
    if texts == (None, None) and given.get("location"):
        first, _, second = given["location"].partition(",")
        texts = first, second
    if texts == (None, None) or given.get("valid", "").strip().lower() in ("0", "false"):
        return None, None
    lat, lon = (_number(text or "") for text in texts)
    if lat is None or lon is None or abs(lat) > 90 or abs(lon) > 180:
        raise Problem(400, f"lat={texts[0]} and lon={texts[1]} are no position: degrees, as lat=47.5&lon=8.25")
    return lat, lon


def _fixes(given: Mapping[str, str], lat: float, lon: float, kmh: float) -> Fixes:
    speed = _unless_negative(_number(given.get("speed", "")))
    course = _number(given.get("bearing") or given.get("heading") or given.get("course") or "")
    sats = _unless_negative(_number(given.get("sat") or given.get("sats") or ""))
    return Fixes(
        dt=[0],
        lat=[lat],
        lon=[lon],
        alt=[_number(given.get("altitude") or given.get("alt") or "")],
        speed=[None if speed is None else speed * kmh],
        course=[None if course is None or course < 0 else course % 360],
        hdop=[_unless_negative(_number(given.get("hdop", "")))],
        sats=[None if sats is None or sats > 255 else int(sats)],
    )


def _time_ms(text: str) -> int:
    """Unix time in s or ms, or ISO 8601; without an offset it is UTC. Raises Problem 400."""
    number = _number(text)
    try:
        if number is not None:
            return round(number) if abs(number) >= _SECONDS_BELOW else round(number * 1000)
        time = datetime.fromisoformat(text.strip().replace(" ", "T", 1) if "T" not in text else text.strip())
    except (ValueError, OverflowError):
        raise Problem(400, f"timestamp={text[:64]} is no time: Unix seconds or ms, or 2026-01-31T12:00:00Z") from None
    return to_ms(time if time.tzinfo else time.replace(tzinfo=UTC))


def _number(text: str) -> float | None:
    """None for what is no finite number."""
    text = text.strip().lower()
    if text in _TRUTHS:
        return _TRUTHS[text]
    try:
        number = float(text) if len(text) <= 64 and "_" not in text else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _unless_negative(number: float | None) -> float | None:
    """Phones say -1 for what they do not know."""
    return None if number is None or number < 0 else number


def _percent(level: Any) -> float | None:
    return level * 100 if isinstance(level, int | float) and 0 <= level <= 1 else None


def _text(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
