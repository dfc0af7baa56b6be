"""Facts of a group as rows of the tables: COPY bytes, newest values, stale spans, journal. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final

import numpy as np

from cloud.telemetry import copy_format
from cloud.telemetry.copy_format import Column, fixed_rows, loose_rows, timestamps
from cloud.telemetry.fact_parts import batch_of, counts_of
from cloud.telemetry.facts import Facts
from cloud.telemetry.latest import Floats, Ints, Newest, Position, newer
from cloud.telemetry.plausible import Aside
from cloud.telemetry.spans import Span, joined
from wire.codec import encode_batch
from wire.ranges import RangeSet

DIRTY_SLACK_MS: Final = 600_000
SignalIds = Mapping[tuple[int, str], int]
"""By fleet and name."""
Tally = tuple[int, int, int, int, int]
"""Samples, fixes, events and frames that were stored, and rows that were dropped as erased."""

_NO_STREAM: Final = "00000000-0000-0000-0000-000000000000"


SAMPLE_COLUMNS: Final = ("ts", "vehicle_id", "signal_id", "value", "q")
ROWS_OF_A_COLUMN: Final = 20
"""Packed at once 3 of a signal take the room and time that rows do, 10 a third of the room, 25 an eighth."""


@dataclass(frozen=True)
class Vehicle:
    id: int
    fleet_id: int


@dataclass(frozen=True)
class Fresh:
    """Facts that are stored for the first time; without a stream where the sender has none."""

    vehicle: Vehicle
    facts: Facts
    stream: str | None = None
    seq: int = -1
    catalog: str | None = None
    aside: tuple[Aside, ...] = ()
    """What came with them and is kept aside."""
    erased: int = 0
    """How many rows came with them that fell into an erased span."""

    @property
    def counts(self) -> Tally:
        return (*counts_of(self.facts), self.erased)


@dataclass(frozen=True)
class Copy:
    """A binary COPY into `table`."""

    table: str
    columns: tuple[str, ...]
    chunks: Iterator[bytes]
    worth_packing: bool = False
    """As columns, where the server can do that while it copies."""


@dataclass(frozen=True)
class LatestRow:
    """What `latest` holds of a vehicle."""

    vehicle_id: int
    last_ms: int | None
    signal_ids: Sequence[int]
    t_ms: Sequence[int]
    values: Sequence[float]
    position: Position | None


@dataclass(frozen=True)
class Samples:
    """Sorted as the index is, which takes half the time of interleaved rows: by vehicle, signal, time."""

    vehicles: Ints
    signals: Ints
    t_ms: Ints
    ties: Ints
    values: Floats
    flags: Ints

    def newest(self) -> Newest:
        return Newest.of_sorted(self.vehicles, self.signals, self.t_ms, self.values)

    def copies(self) -> Iterator[Copy]:
        """None where there is nothing to copy.

        Samples of one signal that share a millisecond are a microsecond apart, so that their order is stored with them.
        """
        if len(self.t_ms):
            columns = [
                Column(timestamps(self.t_ms) + self.ties),
                Column(self.vehicles.astype(np.int32)),
                Column(self.signals.astype(np.int32)),
                Column(self.values),
                Column(self.flags.astype(np.int16), null=self.flags == 0),
            ]
            yield Copy("samples", SAMPLE_COLUMNS, fixed_rows(columns), worth_packing=self.worth_packing)

    @property
    def worth_packing(self) -> bool:
        """Whether there are so many of a vehicle's signal on average that they make a column."""
        signals = 1 + np.count_nonzero((np.diff(self.vehicles) != 0) | (np.diff(self.signals) != 0))
        return len(self.t_ms) >= ROWS_OF_A_COLUMN * int(signals)


def sorted_samples(fresh: Sequence[Fresh], signal_ids: SignalIds) -> Samples:
    """Those of one signal in one batch lie in order already, so that what is sorted is the batches' signals."""
    counts = np.array([count for one in fresh for count in one.facts.counts], np.int64)
    vehicles = np.repeat([one.vehicle.id for one in fresh], [len(one.facts.counts) for one in fresh]).astype(np.int64)
    signals = np.array([signal_ids[one.vehicle.fleet_id, name] for one in fresh for name in one.facts.names], np.int64)
    t_ms = np.concatenate([one.facts.t_ms for one in fresh])
    ties = np.concatenate([one.facts.tie for one in fresh])
    order, of_column = _order(vehicles, signals, counts, t_ms * 1000 + ties)
    return Samples(
        vehicles=vehicles[of_column],
        signals=signals[of_column],
        t_ms=t_ms[order],
        ties=ties[order],
        values=np.concatenate([one.facts.values for one in fresh])[order],
        flags=np.concatenate([one.facts.flags for one in fresh])[order],
    )


def other_copies(fresh: Sequence[Fresh]) -> Iterator[Copy]:
    """Fixes, events and frames, where there are any."""
    vehicles = np.repeat([one.vehicle.id for one in fresh], [len(one.facts.fix_t_ms) for one in fresh])
    if len(vehicles):
        yield _fix_copy(fresh, vehicles)
    events = [(one.vehicle.id, event) for one in fresh for event in one.facts.events]
    if events:
        rows = (
            (
                copy_format.timestamp(event.t_ms),
                copy_format.int4(vehicle_id),
                event.kind.encode(),
                copy_format.jsonb(event.data),
            )
            for vehicle_id, event in events
        )
        yield Copy("device_events", ("ts", "vehicle_id", "kind", "data"), loose_rows(rows))
    frames = [(one.vehicle.id, frame) for one in fresh for frame in one.facts.frames]
    if frames:
        packed = (
            (
                copy_format.timestamp(frame.t_ms, more_us=frame.tie),
                copy_format.int4(vehicle_id),
                frame.bus.encode(),
                copy_format.int8(frame.arbitration_id),
                frame.data,
            )
            for vehicle_id, frame in frames
        )
        yield Copy("frames", ("ts", "vehicle_id", "bus", "arb_id", "data"), loose_rows(packed))


def latest_columns(known: Sequence[LatestRow], fresh: Iterable[Fresh], newest: Newest) -> list[list[Any]]:
    """What `latest` holds afterwards of the vehicles in `known`, in the order of the query's parameters.

    Of all vehicles behind one another: signal ids, times, values. Then by vehicle: its id, where its part of these
    begins and ends (from 1), its last time, its position.
    """
    of_vehicle = by_vehicle(fresh)
    before = Newest(
        np.repeat(np.array([row.vehicle_id for row in known], np.int64), [len(row.signal_ids) for row in known]),
        np.array([signal for row in known for signal in row.signal_ids], np.int64),
        np.array([t_ms for row in known for t_ms in row.t_ms], np.int64),
        np.array([value for row in known for value in row.values], np.float64),
    )
    after = before.merged(newest)
    vehicle_ids = [row.vehicle_id for row in known]
    rows = zip(
        vehicle_ids,
        (np.searchsorted(after.vehicles, vehicle_ids, "left") + 1).tolist(),
        np.searchsorted(after.vehicles, vehicle_ids, "right").tolist(),
        (_last_ms(row.last_ms, of_vehicle[row.vehicle_id]) for row in known),
        *zip(*(_place(_newest_position(of_vehicle[row.vehicle_id], row.position)) for row in known), strict=True),
        strict=True,
    )
    by_row = [list(column) for column in zip(*rows, strict=True)]
    return [after.signals.tolist(), after.t_ms.tolist(), after.values.tolist(), *by_row]


def catalog_records(known: Iterable[LatestRow], fresh: Iterable[Fresh]) -> list[tuple[int, str]]:
    """Vehicle and the catalog of its newest batch, unless a newer one was stored before."""
    of_vehicle, found = by_vehicle(fresh), []
    for row in known:
        batches = [one for one in of_vehicle[row.vehicle_id] if one.facts.span_ms and one.catalog]
        if batches:
            t_ms, catalog = max((*_spans([one])[0][1:], one.catalog or "") for one in batches)
            if row.last_ms is None or t_ms >= row.last_ms:
                found.append((row.vehicle_id, catalog))
    return found


def dirty_records(fresh: Iterable[Fresh]) -> list[tuple[int, int, int]]:
    """Vehicle, from, to."""
    return [
        (vehicle_id, *span)
        for vehicle_id, of_vehicle in by_vehicle(fresh).items()
        for span in joined(_spans(of_vehicle), slack_ms=DIRTY_SLACK_MS)
    ]


def journal_records(fresh: Iterable[Fresh]) -> list[tuple[Any, ...]]:
    """Vehicle, stream, seqs, from, to, samples, fixes, events."""
    records = []
    for (vehicle_id, stream), of_stream in _by_stream(fresh).items():
        spans = _spans(of_stream)
        low, high = (min(s[0] for s in spans), max(s[1] for s in spans)) if spans else (None, None)
        seqs = RangeSet.of(one.seq for one in of_stream if one.stream is not None)
        records.append((vehicle_id, stream, seqs.to_pg(), low, high, *_sum(of_stream)[:3]))
    return records


def stream_counts(fresh: Iterable[Fresh]) -> dict[tuple[int, str], Tally]:
    """Of each (vehicle, stream)."""
    return {(vehicle, stream): _sum(of) for (vehicle, stream), of in _by_stream(fresh).items() if stream is not None}


def unnumbered_records(fresh: Iterable[Fresh]) -> list[tuple[int, int, int, int, int, int]]:
    """Vehicle and tally of what came without a stream."""
    return [(vehicle, *_sum(of)) for (vehicle, stream), of in sorted(_by_stream(fresh).items()) if stream is None]


def aside_records(fresh: Iterable[Fresh], idents: Mapping[int, str]) -> list[tuple[Any, ...]]:
    """Vehicle, stream, seq, cause, from, to, samples, fixes, events, frames, payload: a batch of these rows alone."""
    return [
        (
            one.vehicle.id,
            one.stream,
            one.seq if one.stream else None,
            aside.cause,
            *(aside.facts.span_ms or (0, 0)),
            *counts_of(aside.facts),
            encode_batch(
                batch_of(
                    aside.facts,
                    vehicle=idents[one.vehicle.id],
                    stream=one.stream or _NO_STREAM,
                    seq=max(one.seq, 0),
                    catalog=one.catalog,
                )
            ),
        )
        for one in fresh
        for aside in one.aside
    ]


def by_vehicle(fresh: Iterable[Fresh]) -> dict[int, list[Fresh]]:
    found: dict[int, list[Fresh]] = {}
    for one in fresh:
        found.setdefault(one.vehicle.id, []).append(one)
    return found


def _order(vehicles: Ints, signals: Ints, counts: Ints, keys: Ints) -> tuple[Ints, Ints]:
    """Of rows that lie in columns of `counts`: which row comes where, and of which column it is."""
    starts = np.cumsum(counts) - counts
    first = np.zeros(len(counts), np.int64)
    first[counts > 0] = keys[starts[counts > 0]]
    columns = np.lexsort((first, signals, vehicles))
    counts = counts[columns]
    of_column = np.repeat(columns, counts)
    order = np.arange(len(keys)) + np.repeat(starts[columns] - (np.cumsum(counts) - counts), counts)
    falls = np.flatnonzero(np.diff(keys[order]) < 0)
    one, other = of_column[falls], of_column[falls + 1]
    if np.any((vehicles[one] == vehicles[other]) & (signals[one] == signals[other])):
        again = np.lexsort((keys[order], signals[of_column], vehicles[of_column]))
        return order[again], of_column[again]
    return order, of_column


def _fix_copy(fresh: Sequence[Fresh], vehicles: Any) -> Copy:
    t_ms = np.concatenate([one.facts.fix_t_ms for one in fresh])
    ties = np.concatenate([one.facts.fix_tie for one in fresh])
    order = np.lexsort((t_ms * 1000 + ties, vehicles))
    *measures, sats = np.concatenate([one.facts.fixes for one in fresh], axis=1)[:, order]
    flags = np.repeat([one.facts.fix_flag for one in fresh], [len(one.facts.fix_t_ms) for one in fresh])[order]
    columns = [
        Column(timestamps(t_ms[order]) + ties[order]),
        Column(vehicles[order].astype(np.int32)),
        *(Column(values, null=np.isnan(values)) for values in measures),
        Column(np.nan_to_num(sats).astype(np.int16), null=np.isnan(sats)),
        Column(flags.astype(np.int16), null=flags == 0),
    ]
    names = ("ts", "vehicle_id", "lat", "lon", "alt", "speed", "course", "hdop", "sats", "q")
    return Copy("fixes", names, fixed_rows(columns))


def _newest_position(of_vehicle: Iterable[Fresh], known: Position | None) -> Position | None:
    position = known
    for one in of_vehicle:
        facts = one.facts
        for index in np.flatnonzero(facts.fix_t_ms == facts.fix_t_ms.max(initial=-(2**62))):
            lat, lon, *rest = facts.fixes[:5, index].tolist()
            alt, speed, course = (None if value != value else value for value in rest)
            position = newer(position, Position(int(facts.fix_t_ms[index]), lat, lon, alt, speed, course))
    return position


def _place(position: Position | None) -> tuple[Any, ...]:
    return astuple(position) if position else (None,) * 6


def _last_ms(known_ms: int | None, of_vehicle: Iterable[Fresh]) -> int | None:
    ends = [end for _, end in _spans(of_vehicle)]
    return max(ends if known_ms is None else [known_ms, *ends], default=None)


def _spans(fresh: Iterable[Fresh]) -> list[Span]:
    return [span for one in fresh if (span := one.facts.span_ms)]


def _by_stream(fresh: Iterable[Fresh]) -> dict[tuple[int, str | None], list[Fresh]]:
    found: dict[tuple[int, str | None], list[Fresh]] = {}
    for one in fresh:
        found.setdefault((one.vehicle.id, one.stream), []).append(one)
    return found


def _sum(fresh: Sequence[Fresh]) -> Tally:
    samples, fixes, events, frames, erased = zip(*(one.counts for one in fresh), strict=True)
    return sum(samples), sum(fixes), sum(events), sum(frames), sum(erased)
