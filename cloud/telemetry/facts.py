"""A batch as arrays, ready to be written: what it says, without what the transport needed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic_core import to_json

from wire.model import Batch, Fixes, FrameBlock

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_Number = TypeVar("_Number", np.int64, np.float64)

MIN_TIME_MS: Final = -62_135_596_800_000  # 0001-01-01
MAX_TIME_MS: Final = 253_402_300_799_999  # 9999-12-31
UNTRUSTED_CLOCK: Final = -(2**15)
"""Set in `q` of what was recorded by a clock that was never trusted: the bit that a sender's own flags cannot have."""
MOST_TIES: Final = 999
FIX_COLUMNS: Final = ("lat", "lon", "alt", "speed", "course", "hdop", "sats")


@dataclass(frozen=True)
class EventRow:
    t_ms: int
    kind: str
    data: bytes
    """JSON."""


@dataclass(frozen=True)
class FrameRow:
    t_ms: int
    tie: int
    """Its place among the frames of its bus that share its millisecond, at most MOST_TIES."""
    bus: str
    arbitration_id: int
    data: bytes


@dataclass(frozen=True)
class Facts:
    """`names[i]` has `counts[i]` of the samples, which lie signal by signal. NaN in `fixes` is null."""

    names: tuple[str, ...]
    counts: tuple[int, ...]
    t_ms: Ints
    tie: Ints
    """The place of a sample among those of its signal that share its millisecond, at most MOST_TIES."""
    values: Floats
    flags: Ints
    fix_flag: int
    fix_t_ms: Ints
    fix_tie: Ints
    fixes: Floats
    """One row per column of FIX_COLUMNS."""
    events: tuple[EventRow, ...]
    frames: tuple[FrameRow, ...]

    @cached_property
    def span_ms(self) -> tuple[int, int] | None:
        """From the first to the last fact, or None where there is none."""
        bounds = [array for array in (self.t_ms, self.fix_t_ms) if len(array)]
        times = [int(array.min()) for array in bounds] + [int(array.max()) for array in bounds]
        times += [event.t_ms for event in self.events] + [frame.t_ms for frame in self.frames]
        return (min(times), max(times)) if times else None


def facts_of(batch: Batch) -> Facts:
    columns = tuple(batch.signals.values())
    counts = tuple(len(column.dt) for column in columns)
    starts = tuple(accumulate(counts, initial=0))
    clock_flag = UNTRUSTED_CLOCK if batch.clock == "untrusted" else 0
    flags = np.full(starts[-1], clock_flag, np.int64)
    for start, column in zip(starts, columns, strict=False):
        for index, value in (column.q or {}).items():
            flags[start + index] |= value
    t_ms = _joined((column.dt for column in columns), np.int64)
    t_ms += batch.t0
    fix_t_ms = np.array(batch.fixes.dt if batch.fixes else (), np.int64)
    fix_t_ms += batch.t0
    return Facts(
        names=tuple(batch.signals),
        counts=counts,
        t_ms=t_ms,
        tie=_ties(t_ms, starts),
        values=_joined((column.v for column in columns), np.float64),
        flags=flags,
        fix_flag=clock_flag,
        fix_t_ms=fix_t_ms,
        fix_tie=_ties(fix_t_ms, (0,)),
        fixes=_fix_rows(batch.fixes),
        events=tuple(EventRow(event.t, event.kind, to_json(event.data)) for event in batch.events),
        frames=tuple(row for block in batch.frames for row in _frame_rows(block, batch.t0)),
    )


def _frame_rows(block: FrameBlock, t0: int) -> Iterable[FrameRow]:
    tie, before = 0, None
    for dt, arbitration_id, data in zip(block.dt, block.id, block.data, strict=True):
        tie = min(tie + 1, MOST_TIES) if dt == before else 0
        before = dt
        yield FrameRow(t0 + dt, tie, block.bus, arbitration_id, bytes.fromhex(data))


def _ties(t_ms: Ints, starts: Sequence[int]) -> Ints:
    """How many of the same column and millisecond came before each; columns lie one behind the other from `starts`."""
    begins = np.ones(len(t_ms) + 1, np.bool_)
    np.not_equal(t_ms[1:], t_ms[:-1], out=begins[1:-1])
    begins[list(starts)] = True
    if begins.all():
        return np.zeros(len(t_ms), np.int64)
    places = np.arange(len(t_ms))
    return np.minimum(places - np.maximum.accumulate(np.where(begins[:-1], places, 0)), MOST_TIES)


def _fix_rows(fixes: Fixes | None) -> Floats:
    count = len(fixes.dt) if fixes else 0
    rows = np.full((len(FIX_COLUMNS), count), np.nan)
    if fixes is not None:
        for index, name in enumerate(FIX_COLUMNS):
            if (column := getattr(fixes, name)) is not None:
                rows[index] = column  # None becomes NaN
    return rows


def _joined(columns: Iterable[Sequence[float]], dtype: type[_Number]) -> npt.NDArray[_Number]:
    # One list first: making an array costs more than all that a batch of a second has in a column.
    return np.array(list(chain.from_iterable(columns)), dtype)
