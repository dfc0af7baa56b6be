"""What a batch may say and the database cannot hold."""

from typing import Any

from cloud.facts import MAX_TIME_MS, MIN_TIME_MS
from wire.model import Batch

_NUL_IN_JSON = b"\\u0000"


def problem_of(batch: Batch, body: bytes) -> str | None:
    """Why it cannot be stored, or None. `body` is the batch as JSON."""
    columns = [column.dt for column in batch.signals.values()] + [block.dt for block in batch.frames]
    if batch.fixes:
        columns.append(batch.fixes.dt)
    times = [batch.t0 + dt[end] for dt in columns if dt for end in (0, -1)] + [event.t for event in batch.events]
    if times and not MIN_TIME_MS <= min(times) <= max(times) <= MAX_TIME_MS:
        return f"times must lie in the years 1 to 9999, {MIN_TIME_MS} to {MAX_TIME_MS} ms"
    if _NUL_IN_JSON in body and _has_nul(batch.model_dump()):
        return "a text has the character U+0000, which cannot be stored"
    return None


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_has_nul(part) for item in value.items() for part in item)
    return isinstance(value, list | tuple) and any(map(_has_nul, value))
