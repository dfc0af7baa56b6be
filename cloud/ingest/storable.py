"""What a batch may say and the database cannot hold."""

import math
from collections.abc import Callable
from typing import Any, Final

from cloud.telemetry.facts import MAX_TIME_MS, MIN_TIME_MS
from wire.model import Batch

MOST_DAYS: Final = 1_000
"""In one batch: each day is a chunk of the tables, made and locked in the transaction of all that is stored with it."""

_DAY_MS: Final = 86_400_000
_NUL_IN_JSON: Final = b"\\u0000"
_INFINITY_IN_JSON: Final = b"Infinity"


def problem_of(batch: Batch, body: bytes) -> str | None:
    """Why it cannot be stored, or None. `body` is the batch as JSON."""
    times = [batch.t0 + dt[end] for dt in _times(batch) if dt for end in (0, -1)] + [event.t for event in batch.events]
    if times and not MIN_TIME_MS <= min(times) <= max(times) <= MAX_TIME_MS:
        return f"times must lie in the years 1 to 9999, {MIN_TIME_MS} to {MAX_TIME_MS} ms"
    if times and max(times) - min(times) >= MOST_DAYS * _DAY_MS and _days(batch) > MOST_DAYS:
        return f"its times lie on more than {MOST_DAYS:,} days: cut it in smaller ones"
    if _NUL_IN_JSON in body and _has(batch.model_dump(), lambda value: isinstance(value, str) and "\x00" in value):
        return "a text has the character U+0000, which cannot be stored"
    if _INFINITY_IN_JSON in body and _has([event.data for event in batch.events], _is_infinite):
        return "a number is too large to be stored"
    return None


def _times(batch: Batch) -> list[list[int]]:
    columns = [column.dt for column in batch.signals.values()] + [block.dt for block in batch.frames]
    return [*columns, batch.fixes.dt] if batch.fixes else columns


def _days(batch: Batch) -> int:
    days = {(batch.t0 + dt) // _DAY_MS for column in _times(batch) for dt in column}
    return len(days | {event.t // _DAY_MS for event in batch.events})


def _has(value: Any, what: Callable[[Any], bool]) -> bool:
    if isinstance(value, dict):
        return any(_has(part, what) for item in value.items() for part in item)
    return any(_has(part, what) for part in value) if isinstance(value, list | tuple) else what(value)


def _is_infinite(value: Any) -> bool:
    return isinstance(value, float) and math.isinf(value)
