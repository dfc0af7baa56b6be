"""A batch as JSON: the plain form that anybody can write, and the dense form that our agent sends.

The dense form, marked by `"dense": 1`, says the same in fewer bytes:

- `times` lists every distinct `dt` column once, as first value and differences; columns name theirs by its index;
- a column of numbers is `[scale, step, k0, d1, d2, …]`: integers as first value and differences, each times `step` and
  divided by 10^scale, which is how a signal with a resolution of 0.125 or 25 becomes small digits. It is used only
  where that gives back the very same doubles, otherwise the column is `[null, v0, v1, …]`;
- a signal is `[time index, *column]`; flags that are not good stand in `q` by signal name.

Both forms decode to the same `wire.model.Batch`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from itertools import accumulate
from operator import sub
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import from_json

from wire.model import Batch, Event

DENSE_VERSION: Final = 1
MAX_SCALE: Final = 9
MAX_VALUES: Final = 1_000_000
"""In one batch: a few bytes on the wire can stand for many values, each of which takes some hundred bytes here."""
MAX_PROBLEM: Final = 500
MAX_PLACE: Final = 80
_FIX_COLUMNS: Final[tuple[str, ...]] = ("lat", "lon", "alt", "speed", "course", "hdop", "sats")
_HEADER: Final[tuple[str, ...]] = ("v", "vehicle", "stream", "seq", "t0", "clock", "catalog", "events", "frames")


class CodecError(ValueError):
    """A batch that is not one. `problem` says in a line what is wrong and where."""

    def __init__(self, problem: str) -> None:
        self.problem = problem if len(problem) <= MAX_PROBLEM else f"{problem[:MAX_PROBLEM]}…"
        super().__init__(self.problem)


def parse_json(data: bytes | str) -> Any:
    """Parse strict JSON: no NaN, no Infinity, but 1e999 becomes one. CodecError says what is wrong."""
    try:
        return from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise CodecError(f"not JSON: {error}") from None
    except RecursionError:
        raise CodecError("not JSON that can be read: nested too deeply") from None


def decode_batch(source: bytes | str | dict[str, Any]) -> Batch:
    """Read a batch in either form, from JSON or from what JSON was parsed to. CodecError says what is wrong."""
    value = parse_json(source) if isinstance(source, bytes | str) else source
    if not isinstance(value, dict):
        raise CodecError("a batch is a JSON object")
    if (count := _count(value)) > MAX_VALUES:
        raise CodecError(f"{count:,} values in one batch; {MAX_VALUES:,} are the most: cut it in smaller ones")
    if "dense" in value:
        value = _expand(value)
    try:
        return Batch.model_validate(value)
    except ValidationError as error:
        raise CodecError(describe(error)) from None


def encode_batch(batch: Batch, *, dense: bool = True) -> bytes:
    """Write a batch as JSON, in the dense form unless told otherwise."""
    if not dense:
        return batch.model_dump_json(exclude_none=True).encode()
    return _dump(_condense(batch))


def relabel_batch(payload: bytes, *, shift_ms: int) -> bytes:
    """A batch of an untrusted clock, in either form, once it is known by how much its times were wrong."""
    value = json.loads(payload)
    value["t0"] += shift_ms
    value["clock"] = "relabelled"
    if "events" in value:
        moved = (Event.model_validate(event).moved(shift_ms) for event in value["events"])
        value["events"] = [event.model_dump(mode="json") for event in moved]
    return _dump(value)


def describe(error: ValidationError) -> str:
    """The first fault of a validation, with its place, in one line."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part)[:MAX_PLACE] for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}{more}" if place else f"{message}{more}"


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _count(value: dict[str, Any]) -> int:
    """How many values its columns have, in either form, before any of them is looked at."""
    tables = (table for table in (value.get("signals"), value.get("fixes")) if isinstance(table, dict))
    columns = [column for table in tables for column in table.values()]
    columns += [column["v"] for column in columns if isinstance(column, dict) and "v" in column]
    return sum(len(column) for column in columns if isinstance(column, list))


def _condense(batch: Batch) -> dict[str, Any]:
    times: dict[tuple[int, ...], int] = {}

    def time_index(dt: list[int]) -> int:
        return times.setdefault(tuple(dt), len(times))

    signals = {name: [time_index(column.dt), *_pack(column.v)] for name, column in batch.signals.items()}
    flags = {name: column.q for name, column in batch.signals.items() if column.q}
    out: dict[str, Any] = {
        "v": batch.v,
        "dense": DENSE_VERSION,
        "vehicle": batch.vehicle,
        "stream": batch.stream,
        "seq": batch.seq,
        "t0": batch.t0,
        "clock": batch.clock,
    }
    if batch.catalog is not None:
        out["catalog"] = batch.catalog
    if batch.fixes is not None:
        columns = ((name, getattr(batch.fixes, name)) for name in _FIX_COLUMNS)
        packed = {name: _pack(column) for name, column in columns if column is not None}
        out["fixes"] = {"dt": time_index(batch.fixes.dt), **packed}
    if signals:
        out["signals"] = signals
    if flags:
        out["q"] = flags
    if times:
        out["times"] = [_differences(dt) for dt in times]
    if batch.events:
        out["events"] = [event.model_dump(mode="json") for event in batch.events]
    if batch.frames:
        out["frames"] = [block.model_dump(mode="json") for block in batch.frames]
    return out


def _expand(value: dict[str, Any]) -> dict[str, Any]:
    """The plain form of a dense batch."""
    known = {*_HEADER, "dense", "times", "signals", "q", "fixes"}
    if unknown := value.keys() - known:
        raise CodecError(f"a dense batch has no {min(unknown)!r}")
    if value["dense"] != DENSE_VERSION or isinstance(value["dense"], bool):
        raise CodecError(f"dense form {value['dense']!r} is not known here; this end reads {DENSE_VERSION}")
    plain: dict[str, Any] = {name: value[name] for name in _HEADER if name in value}
    try:
        times = [list(_sums(dt)) for dt in value.get("times", ())]
        flags = value.get("q", {})
        plain["signals"] = {
            name: {"dt": _at(times, column[0]), "v": _unpack(column[1:]), "q": flags.get(name)}
            for name, column in value.get("signals", {}).items()
        }
        if unknown := flags.keys() - plain["signals"].keys():
            raise CodecError(f"q flags a signal that is not there: {min(unknown)!r}")
        if (fixes := value.get("fixes")) is not None:
            plain["fixes"] = {
                name: _at(times, column) if name == "dt" else _unpack(column) for name, column in fixes.items()
            }
            _restore_integers(plain["fixes"])
    except (TypeError, AttributeError, IndexError, KeyError, OverflowError, ZeroDivisionError) as error:
        raise CodecError(f"not a dense batch: {error}") from None
    return plain


def _pack(values: Sequence[float | None]) -> list[Any]:
    """`[scale, step, k0, d1, …]` where that is exact, `[null, v0, …]` elsewhere."""
    scale = 0
    power = 1
    integers: list[int] = []
    for value in values:
        if value is None or (value == 0 and math.copysign(1.0, value) < 0) or abs(value) > 2**53:
            return [None, *values]
        while (integer := round(value * power)) / power != value:
            scale += 1
            if scale > MAX_SCALE:
                return [None, *values]
            power *= 10
            integers = [kept * 10 for kept in integers]
        integers.append(integer)
    step = math.gcd(*integers) or 1
    return [scale, step, *_differences([integer // step for integer in integers])]


def _unpack(column: list[Any]) -> list[Any]:
    scale = column[0]
    if scale is None:
        return column[1:]
    if type(scale) is not int or not 0 <= scale <= MAX_SCALE:
        raise CodecError(f"a column's scale is 0 to {MAX_SCALE}, not {scale!r}")
    step = column[1]
    if type(step) is not int or step < 1:
        raise CodecError(f"a column's step is a whole number above 0, not {step!r}")
    power = 10**scale
    return [integer * step / power for integer in _sums(column[2:])]


def _restore_integers(fixes: dict[str, Any]) -> None:
    if (sats := fixes.get("sats")) is not None:
        fixes["sats"] = [int(count) if isinstance(count, float) and count.is_integer() else count for count in sats]


def _sums(differences: list[int]) -> Iterator[int]:
    sums = accumulate(differences, initial=0)  # the 0 refuses texts and lists, whose sums would grow without bound
    next(sums)
    return sums


def _differences(values: Sequence[int]) -> list[int]:
    return [*values[:1], *map(sub, values[1:], values[:-1])]


def _at(times: list[list[int]], index: Any) -> list[int]:
    if type(index) is not int or not 0 <= index < len(times):
        raise CodecError(f"a column names the time column {index!r}, and there are {len(times)}")
    return times[index]
