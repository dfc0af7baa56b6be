"""A vehicle's signals over time: thinned to a number of points, or every sample in pages."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field, TypeAdapter

from cloud.api.call import SQL, Call, vehicle_id
from cloud.api.cursor import read_cursor, write_cursor
from cloud.api.query import SeriesQuery
from cloud.api.replies import Buckets, RawSeries, Samples, Series
from cloud.api.times import BEGINNING, END, from_us, to_ms, to_us
from cloud.api.vehicles import KnownSignal, known_signals
from cloud.problem import Problem

_DEFAULT_PAGE = 1000
_MILLISECOND = timedelta(milliseconds=1)
_AFTER = TypeAdapter(
    tuple[Annotated[int, Field(ge=to_us(BEGINNING), le=to_us(END))], list[Annotated[int, Field(ge=0, lt=2**31)]]]
)


async def get_series(call: Call[SeriesQuery, None]) -> Series | RawSeries:
    vehicle = await vehicle_id(call)
    signals = await known_signals(call, call.query.signal)
    return await (_raw if call.query.raw else _thinned)(call, vehicle, signals)


def bucket_width(start: datetime, end: datetime, points: int) -> timedelta:
    """The least whole number of ms of which `points` buckets from `start` reach `end`."""
    span_us = to_us(end) - to_us(start)
    return max(_MILLISECOND, -(-span_us // (points * 1000)) * _MILLISECOND)


async def _thinned(call: Call[SeriesQuery, None], vehicle: int, signals: list[KnownSignal]) -> Series:
    columns = {signal.id: Buckets(unit=signal.unit, t=[], min=[], max=[], mean=[], n=[]) for signal in signals}
    start, end = call.query.from_ or BEGINNING, call.query.to or END
    if call.query.from_ is None or call.query.to is None:
        extent = await call.db.fetchrow(SQL["samples_extent"], vehicle, list(columns), start, end)
        if extent is not None and extent["first"] is not None:
            start = call.query.from_ or extent["first"]
            end = call.query.to or min(extent["last"], END - _MILLISECOND) + _MILLISECOND
    width = bucket_width(start, end, call.query.points)
    for signal_id, t, low, high, mean, n in await call.db.fetch(
        SQL["buckets"], vehicle, list(columns), start, end, width
    ):
        column = columns[signal_id]
        column.t.append(t)
        column.min.append(low)
        column.max.append(high)
        column.mean.append(mean)
        column.n.append(n)
    return Series(series={signal.name: columns[signal.id] for signal in signals})


async def _raw(call: Call[SeriesQuery, None], vehicle: int, signals: list[KnownSignal]) -> RawSeries:
    """The cursor is a time and how many samples of that time each signal has had: nothing added since shifts it."""
    limit = call.query.limit or _DEFAULT_PAGE
    start, seen = call.query.from_ or BEGINNING, [0] * len(signals)
    if call.query.after:
        start_us, seen = read_cursor(call.query.after, _AFTER)
        if len(seen) != len(signals):
            raise Problem(400, "this cursor belongs to another query: page on with the same signals")
        start = from_us(start_us)
    ids = [signal.id for signal in signals]
    rows = await call.db.fetch(SQL["samples"], vehicle, ids, start, seen, call.query.to or END, limit + 1)
    page = rows[:limit]
    columns = {signal.id: Samples(unit=signal.unit, t=[], v=[]) for signal in signals}
    for signal_id, ts, value in page:
        columns[signal_id].t.append(to_ms(ts))
        columns[signal_id].v.append(value)
    following = None
    if len(rows) > limit:
        last = page[-1]["ts"]
        had = Counter(row["signal_id"] for row in page if row["ts"] == last)
        before = seen if last == start else [0] * len(signals)
        following = write_cursor((to_us(last), [had[i] + count for i, count in zip(ids, before, strict=True)]))
    return RawSeries(series={signal.name: columns[signal.id] for signal in signals}, next=following)
