"""Facts of a group as rows of the tables: COPY bytes, newest values, stale spans, journal. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final

import numpy as np

from cloud import copy_format
from cloud.copy_format import Column, fixed_rows, loose_rows, timestamps
from cloud.facts import Facts
from cloud.latest import Newest, Position, newer
from cloud.spans import Span, joined
from wire.ranges import RangeSet

DIRTY_SLACK_MS: Final = 600_000
SignalIds = Mapping[tuple[int, str], int]
"""By fleet and name."""


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

    @property
    def counts(self) -> tuple[int, int, int]:
        """Samples, fixes, events."""
        return len(self.facts.t_ms), len(self.facts.fix_t_ms), len(self.facts.events)


@dataclass(frozen=True)
class Copy:
    """A binary COPY into `table`."""

    table: str
    columns: tuple[str, ...]
    chunks: Iterator[bytes]


@dataclass(frozen=True)
class LatestRow:
    """What `latest` holds of a vehicle."""

    vehicle_id: int
    last_ms: int | None
    signal_ids: Sequence[int]
    t_ms: Sequence[int]
    values: Sequence[float]
    position: Position | None


def sample_copy(fresh: Sequence[Fresh], signal_ids: SignalIds) -> tuple[Copy | None, Newest]:
    """Sorted as the index is, which takes half the time of interleaved rows; with the newest of each signal.

    Samples of one signal that share a millisecond are a microsecond apart, so that their order is stored with them.
    """
    vehicles = np.repeat([one.vehicle.id for one in fresh], [len(one.facts.t_ms) for one in fresh])
    ids = [signal_ids[one.vehicle.fleet_id, name] for one in fresh for name in one.facts.names]
    signals = np.repeat(np.array(ids, np.int64), [count for one in fresh for count in one.facts.counts])
    t_ms = np.concatenate([one.facts.t_ms for one in fresh])
    ties = np.concatenate([one.facts.tie for one in fresh])
    order = np.lexsort((t_ms * 1000 + ties, signals, vehicles))
    vehicles, signals, t_ms, ties = vehicles[order], signals[order], t_ms[order], ties[order]
    values = np.concatenate([one.facts.values for one in fresh])[order]
    flags = np.concatenate([one.facts.flags for one in fresh])[order]
    newest = Newest.of_sorted(vehicles, signals, t_ms, values)
    if not len(t_ms):
        return None, newest
    columns = [
        Column(timestamps(t_ms) + ties),
        Column(vehicles.astype(np.int32)),
        Column(signals.astype(np.int32)),
        Column(values),
        Column(flags.astype(np.int16), null=flags == 0),
    ]
    return Copy("samples", ("ts", "vehicle_id", "signal_id", "value", "q"), fixed_rows(columns)), newest


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
                copy_format.timestamp(frame.t_ms),
                copy_format.int4(vehicle_id),
                frame.bus.encode(),
                copy_format.int8(frame.arbitration_id),
                frame.data,
            )
            for vehicle_id, frame in frames
        )
        yield Copy("frames", ("ts", "vehicle_id", "bus", "arb_id", "data"), loose_rows(packed))


def latest_rows(known: Sequence[LatestRow], fresh: Iterable[Fresh], newest: Newest) -> list[LatestRow]:
    """What `latest` holds afterwards, of the vehicles in `known`."""
    of_vehicle = by_vehicle(fresh)
    before = Newest(
        np.repeat(np.array([row.vehicle_id for row in known], np.int64), [len(row.signal_ids) for row in known]),
        np.array([signal for row in known for signal in row.signal_ids], np.int64),
        np.array([t_ms for row in known for t_ms in row.t_ms], np.int64),
        np.array([value for row in known for value in row.values], np.float64),
    )
    after = before.merged(newest)
    return [
        LatestRow(
            row.vehicle_id,
            _last_ms(row.last_ms, of_vehicle[row.vehicle_id]),
            *after.of_vehicle(row.vehicle_id),
            _newest_position(of_vehicle[row.vehicle_id], row.position),
        )
        for row in known
    ]


def latest_record(row: LatestRow) -> tuple[Any, ...]:
    """In the order of the query's parameters."""
    place = astuple(row.position) if row.position else (None,) * 6
    return (row.vehicle_id, row.last_ms, row.signal_ids, row.t_ms, row.values, *place)


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
        records.append((vehicle_id, stream, seqs.to_pg(), low, high, *_sum(of_stream)))
    return records


def stream_counts(fresh: Iterable[Fresh]) -> dict[tuple[int, str], tuple[int, int, int]]:
    """Samples, fixes, events of each (vehicle, stream)."""
    return {(vehicle, stream): _sum(of) for (vehicle, stream), of in _by_stream(fresh).items() if stream is not None}


def by_vehicle(fresh: Iterable[Fresh]) -> dict[int, list[Fresh]]:
    found: dict[int, list[Fresh]] = {}
    for one in fresh:
        found.setdefault(one.vehicle.id, []).append(one)
    return found


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


def _sum(fresh: Sequence[Fresh]) -> tuple[int, int, int]:
    samples, fixes, events = zip(*(one.counts for one in fresh), strict=True)
    return sum(samples), sum(fixes), sum(events)
