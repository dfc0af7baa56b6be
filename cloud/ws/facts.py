"""What a batch says of now: the newest of each of its signals, where the vehicle is, and that it lives."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, Literal, NamedTuple

import msgspec

from cloud.telemetry.latest import Position, newer
from cloud.telemetry.plausible import EARLIEST_MS, MOST_AHEAD_MS
from cloud.vehicle_state import DRIVING_KMH
from wire.codec import MAX_SCALE
from wire.model import Batch, Fixes


class Facts(NamedTuple):
    """Something heard of a vehicle, from a batch or from the database. `signals` maps names to (t_ms, value)."""

    signals: Mapping[str, tuple[int, float]]
    position: Position | None = None
    seen_ms: int | None = None
    driven_ms: int | None = None


def facts_of(batch: Batch, received_ms: int) -> Facts:
    """What a batch says of now. Rows whose time cannot be are set aside by the writer: they only show that it lives."""
    signals = {}
    newest: list[int] = []
    earliest, latest = EARLIEST_MS - batch.t0, received_ms + MOST_AHEAD_MS - batch.t0
    for name, column in batch.signals.items():
        if not column.dt:
            continue
        newest.append(column.dt[-1])
        if earliest <= column.dt[-1] <= latest:
            # Of samples in the same ms the greatest, which does not depend on the order in which they come.
            signals[name] = (batch.t0 + column.dt[-1], max(column.v[_first_of_last(column.dt) :]))
    position: Position | None = None
    driven_ms: int | None = None
    fixes = batch.fixes
    if fixes is not None and fixes.dt:
        newest.append(fixes.dt[-1])
    if fixes is not None and fixes.dt and earliest <= fixes.dt[-1] <= latest:
        for index in range(_first_of_last(fixes.dt), len(fixes.dt)):
            position = newer(position, _position(batch.t0, fixes, index))
        speeds = zip(fixes.dt, fixes.speed or (), strict=False)
        driven = (dt for dt, speed in speeds if speed is not None and speed > DRIVING_KMH)
        driven_ms = max((batch.t0 + dt for dt in driven), default=None)
    newest += [event.t - batch.t0 for event in batch.events]
    newest += [block.dt[-1] for block in batch.frames if block.dt]
    possible = [dt for dt in newest if earliest <= dt <= latest]
    return Facts(signals, position, _seen_ms(batch.t0, newest, possible, received_ms), driven_ms)


def _first_of_last(dt: list[int]) -> int:
    """The index at which the last ms begins."""
    first = len(dt) - 1
    while first > 0 and dt[first - 1] == dt[-1]:
        first -= 1
    return first


def _position(t0: int, fixes: Fixes, index: int) -> Position:
    alt, speed, course = (column[index] if column else None for column in (fixes.alt, fixes.speed, fixes.course))
    return Position(t0 + fixes.dt[index], fixes.lat[index], fixes.lon[index], alt, speed, course)


def _seen_ms(t0: int, newest: Sequence[int], possible: Sequence[int], received_ms: int) -> int | None:
    heard_ms = received_ms if newest else None
    return min(t0 + max(possible), received_ms) if possible else heard_ms


class _Dense(msgspec.Struct):
    """A batch in the dense form; see `wire.codec`. Values are `Any` because ingest has judged them."""

    dense: Literal[1]
    vehicle: str
    t0: int
    times: Sequence[list[int]] = ()
    signals: dict[str, list[Any]] = {}
    fixes: dict[str, Any] | None = None
    events: list[Any] | None = None
    frames: list[Any] | None = None


_PLACE: Final = ("lat", "lon", "alt", "speed", "course")
_POWERS: Final = tuple(10**scale for scale in range(MAX_SCALE + 1))
_decode: Final = msgspec.json.Decoder(_Dense).decode


def quick_facts(payload: bytes, received_ms: int) -> tuple[str, Facts] | None:
    """The vehicle and what `facts_of` finds in its batch, at a tenth of the cost; None where that is to be asked.

    For batches as our agents send them and ingest has judged them; not for events, frames, and samples that share their
    column's last millisecond.
    """
    try:
        batch = _decode(payload)
        if batch.events or batch.frames or any(len(dt) > 1 and dt[-1] == 0 for dt in batch.times):
            return None
        return batch.vehicle, _facts(batch, received_ms)
    except (msgspec.MsgspecError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
        return None


def _facts(batch: _Dense, received_ms: int) -> Facts:
    t0 = batch.t0
    earliest, latest = EARLIEST_MS - t0, received_ms + MOST_AHEAD_MS - t0
    times = batch.times
    lasts = [sum(dt) if dt else None for dt in times]
    newest = []
    signals = {}
    for name, column in batch.signals.items():
        index, scale = column[0], column[1]
        if (last := lasts[index]) is None:
            continue
        newest.append(last)
        if earliest <= last <= latest:
            value = column[-1] if scale is None else _whole(sum(column[3:])) * column[2] / _POWERS[scale]
            signals[name] = (t0 + last, float(value))
    position: Position | None = None
    driven_ms: int | None = None
    if batch.fixes is not None and (last := lasts[batch.fixes["dt"]]) is not None:
        newest.append(last)
        if earliest <= last <= latest:
            columns = {name: _values(batch.fixes[name]) for name in _PLACE if name in batch.fixes}
            alt, speed, course = (columns[name][-1] if name in columns else None for name in _PLACE[2:])
            position = Position(t0 + last, columns["lat"][-1], columns["lon"][-1], alt, speed, course)
            moments = zip(accumulate(times[batch.fixes["dt"]]), columns.get("speed", ()), strict=False)
            driven = [t0 + dt for dt, speed in moments if speed is not None and speed > DRIVING_KMH]
            driven_ms = max(driven, default=None)
    possible = [dt for dt in newest if earliest <= dt <= latest]
    return Facts(signals, position, _seen_ms(t0, newest, possible, received_ms), driven_ms)


def _values(column: list[Any]) -> list[Any]:
    """Of `[scale, step, k0, d1, …]` or `[null, v0, …]`."""
    if column[0] is None:
        return [None if value is None else float(value) for value in column[1:]]
    _whole(sum(column[2:]))
    return [integer * column[1] / _POWERS[column[0]] for integer in accumulate(column[2:])]


def _whole(number: Any) -> Any:
    """Raises TypeError: from Python 3.12 on fractions are added up differently by `sum` and `accumulate`."""
    if type(number) is not int:
        raise TypeError
    return number
