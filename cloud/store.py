"""Telemetry into PostgreSQL, each group of batches in one transaction that its ledger rows guard.

The only file that writes telemetry. A crash anywhere leaves all of a group or nothing, and what is sent again is known
by the ledger: (vehicle, stream, seq) is stored once, whoever tries how often.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final

import numpy as np

from cloud import copy_format
from cloud.copy_format import Column, fixed_rows, loose_rows, timestamps
from cloud.database import Connection, Pool
from cloud.facts import Facts
from cloud.latest import Newest, Position, newer
from cloud.ledger import StreamLedger
from cloud.queries import load
from cloud.spans import joined
from wire.envelope import StreamClaim
from wire.ranges import RangeSet

DIRTY_SLACK_MS: Final = 600_000
TRANSACTION: Final[Mapping[str, Any]] = {"isolation": "read_committed"}

_SQL = load("writer")


@dataclass(frozen=True)
class Arrival:
    """What an entry of the bus brings: a batch, or claims, or both."""

    vehicle: str
    stream: str = ""
    seq: int = -1
    facts: Facts | None = None
    catalog: str | None = None
    claims: tuple[StreamClaim, ...] = ()


@dataclass(frozen=True)
class Stored:
    """What a group came to. Repeats were in the database already; strangers are vehicles that it does not know."""

    batches: int = 0
    repeats: int = 0
    samples: int = 0
    strangers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Vehicle:
    id: int
    fleet_id: int


@dataclass(frozen=True)
class _Fresh:
    """Facts that are stored for the first time."""

    vehicle: _Vehicle
    facts: Facts
    stream: str | None = None
    seq: int = -1
    catalog: str | None = None

    @property
    def counts(self) -> tuple[int, int, int]:
        return len(self.facts.t_ms), len(self.facts.fix_t_ms), len(self.facts.events)


_Key = tuple[int, str]


class Store:
    """Remembers the ids of vehicles and signals; `forget` after the database was away, it may be another one now."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._vehicles: dict[str, _Vehicle] = {}
        self._signals: dict[tuple[int, str], int] = {}

    def forget(self) -> None:
        self._vehicles.clear()
        self._signals.clear()

    async def commit(self, arrivals: Sequence[Arrival]) -> Stored:
        """Stores what is new of a group, all or nothing."""
        async with self._pool.acquire() as connection:
            await self._resolve_vehicles(connection, {arrival.vehicle for arrival in arrivals})
            known = [arrival for arrival in arrivals if arrival.vehicle in self._vehicles]
            strangers = frozenset(arrival.vehicle for arrival in arrivals) - self._vehicles.keys()
            await self._resolve_signals(
                connection, ((self._vehicles[a.vehicle].fleet_id, a.facts) for a in known if a.facts)
            )
            async with connection.transaction(**TRANSACTION):
                fresh = await self._settle(connection, known)
                await self._write(connection, fresh)
        return Stored(
            batches=len(fresh),
            repeats=sum(arrival.facts is not None for arrival in known) - len(fresh),
            samples=sum(len(one.facts.t_ms) for one in fresh),
            strangers=strangers,
        )

    async def bury(self, vehicle: str, stream: str, seq: int, *, problem: str, payload: bytes) -> None:
        """Puts a batch to the dead letters, unless it is stored."""
        async with self._pool.acquire() as connection:
            await self._resolve_vehicles(connection, {vehicle})
            if (known := self._vehicles.get(vehicle)) is None:
                return
            async with connection.transaction(**TRANSACTION):
                key = (known.id, stream)
                before = await self._lock_ledger(connection, [key])
                if not before[key].fresh([seq]):
                    return
                after = before[key].bury(RangeSet.of([seq]))
                await self._update_ledger(connection, {key: after}, {})
                await connection.execute(_SQL["add_dead_letter"], known.id, stream, seq, problem, payload)

    async def add_events(self, vehicle_id: int, fleet_id: int, events: Sequence[tuple[bytes, Facts]]) -> int:
        """Facts of a sender without a spool, each with the key that tells a repeat; how many were new."""
        vehicle = _Vehicle(vehicle_id, fleet_id)
        async with self._pool.acquire() as connection:
            await self._resolve_signals(connection, ((fleet_id, facts) for _, facts in events))
            async with connection.transaction(**TRANSACTION):
                fresh = []
                for key, facts in events:
                    span = facts.span_ms
                    assert span is not None
                    if await connection.fetchval(_SQL["add_event_key"], span[0], vehicle_id, key):
                        fresh.append(_Fresh(vehicle, facts))
                await self._write(connection, fresh)
        return len(fresh)

    async def _resolve_vehicles(self, connection: Connection, vehicles: set[str]) -> None:
        if unknown := vehicles - self._vehicles.keys():
            for row in await connection.fetch(_SQL["vehicles_by_ident"], sorted(unknown)):
                self._vehicles[row["ident"]] = _Vehicle(row["id"], row["fleet_id"])

    async def _resolve_signals(self, connection: Connection, named: Iterable[tuple[int, Facts]]) -> None:
        """Before the transaction that writes, so that nobody waits for a name that another one is adding."""
        unknown = sorted({(fleet, name) for fleet, facts in named for name in facts.names} - self._signals.keys())
        if unknown:
            fleets, names = (list(column) for column in zip(*unknown, strict=True))
            await connection.execute(_SQL["add_signals"], fleets, names)
            for row in await connection.fetch(_SQL["signals_by_name"], fleets, names):
                self._signals[row["fleet_id"], row["name"]] = row["id"]

    async def _settle(self, connection: Connection, arrivals: Sequence[Arrival]) -> list[_Fresh]:
        """Ledger rows locked, the group entered into them; returns what is to be written."""
        batches: dict[_Key, dict[int, Arrival]] = {}
        claims: dict[_Key, list[StreamClaim]] = {}
        for arrival in arrivals:
            vehicle = self._vehicles[arrival.vehicle]
            if arrival.facts is not None:
                batches.setdefault((vehicle.id, arrival.stream), {}).setdefault(arrival.seq, arrival)
            for claim in arrival.claims:
                claims.setdefault((vehicle.id, claim.stream), []).append(claim)
        before = await self._lock_ledger(connection, sorted(batches.keys() | claims.keys()))
        after = dict(before)
        fresh: list[_Fresh] = []
        for key, of_stream in batches.items():
            seqs = before[key].fresh(of_stream)
            after[key] = before[key].store(seqs)
            fresh += (
                _Fresh(self._vehicles[a.vehicle], a.facts, a.stream, a.seq, a.catalog)
                for a in of_stream.values()
                if a.facts is not None and a.seq in seqs
            )
        losses: list[tuple[int, str, int, int, str]] = []
        for key, of_row in claims.items():
            for claim in of_row:
                losses += _losses(key, claim, after[key].newly_lost(claim))
                after[key] = after[key].declare(claim)
        changed = {key: row for key, row in after.items() if row != before[key]}
        await self._update_ledger(connection, changed, _counts(fresh))
        if losses:
            await connection.execute(_SQL["add_losses"], *_columns(losses))
        return fresh

    async def _lock_ledger(self, connection: Connection, keys: Sequence[_Key]) -> dict[_Key, StreamLedger]:
        if not keys:
            return {}
        vehicle_ids, streams = _columns(keys)
        await connection.execute(_SQL["add_ledger_rows"], vehicle_ids, streams)
        rows = await connection.fetch(_SQL["lock_ledger_rows"], vehicle_ids, streams)
        return {
            (row["vehicle_id"], row["stream"]): StreamLedger(
                received=RangeSet.from_pg(row["received"]),
                dead=RangeSet.from_pg(row["dead"]),
                lost=RangeSet.from_pg(row["lost"]),
                next=row["next"],
            )
            for row in rows
        }

    async def _update_ledger(
        self, connection: Connection, rows: Mapping[_Key, StreamLedger], counts: Mapping[_Key, tuple[int, int, int]]
    ) -> None:
        if rows:
            records = [
                (*key, row.received.to_pg(), row.dead.to_pg(), row.lost.to_pg(), row.next, *counts.get(key, (0, 0, 0)))
                for key, row in rows.items()
            ]
            await connection.execute(_SQL["update_ledger_rows"], *_columns(records))

    async def _write(self, connection: Connection, fresh: Sequence[_Fresh]) -> None:
        if not fresh:
            return
        newest = await self._copy_samples(connection, fresh)
        await _copy_fixes(connection, fresh)
        await _copy_events_and_frames(connection, fresh)
        await _merge_latest(connection, fresh, newest)
        dirty = [
            (vehicle_id, *span)
            for vehicle_id, of_vehicle in _by_vehicle(fresh).items()
            for span in joined(
                (one.facts.span_ms for one in of_vehicle if one.facts.span_ms is not None), slack_ms=DIRTY_SLACK_MS
            )
        ]
        if dirty:
            await connection.execute(_SQL["add_dirty"], *_columns(dirty))
        await connection.execute(_SQL["add_journal"], *_columns(list(_journal(fresh))))

    async def _copy_samples(self, connection: Connection, fresh: Sequence[_Fresh]) -> Newest:
        lengths = [len(one.facts.t_ms) for one in fresh]
        vehicles = np.repeat([one.vehicle.id for one in fresh], lengths)
        signal_ids = [self._signals[one.vehicle.fleet_id, name] for one in fresh for name in one.facts.names]
        signals = np.repeat(np.array(signal_ids, np.int64), [count for one in fresh for count in one.facts.counts])
        t_ms = np.concatenate([one.facts.t_ms for one in fresh])
        # Sorted as the index is: half the time of interleaved rows.
        order = np.lexsort((t_ms, signals, vehicles))
        vehicles, signals, t_ms = vehicles[order], signals[order], t_ms[order]
        values = np.concatenate([one.facts.values for one in fresh])[order]
        flags = np.concatenate([one.facts.flags for one in fresh])[order]
        if len(t_ms):
            columns = [
                Column(timestamps(t_ms)),
                Column(vehicles.astype(np.int32)),
                Column(signals.astype(np.int32)),
                Column(values),
                Column(flags.astype(np.int16), null=flags == 0),
            ]
            await _copy(connection, "samples", ("ts", "vehicle_id", "signal_id", "value", "q"), fixed_rows(columns))
        return Newest.of_sorted(vehicles, signals, t_ms, values)


async def _copy_fixes(connection: Connection, fresh: Sequence[_Fresh]) -> None:
    vehicles = np.repeat([one.vehicle.id for one in fresh], [len(one.facts.fix_t_ms) for one in fresh])
    if not len(vehicles):
        return
    t_ms = np.concatenate([one.facts.fix_t_ms for one in fresh])
    order = np.lexsort((t_ms, vehicles))
    *measures, sats = np.concatenate([one.facts.fixes for one in fresh], axis=1)[:, order]
    columns = [
        Column(timestamps(t_ms[order])),
        Column(vehicles[order].astype(np.int32)),
        *(Column(values, null=np.isnan(values)) for values in measures),
        Column(np.nan_to_num(sats).astype(np.int16), null=np.isnan(sats)),
    ]
    names = ("ts", "vehicle_id", "lat", "lon", "alt", "speed", "course", "hdop", "sats")
    await _copy(connection, "fixes", names, fixed_rows(columns))


async def _copy_events_and_frames(connection: Connection, fresh: Sequence[_Fresh]) -> None:
    events = [
        (
            copy_format.timestamp(event.t_ms),
            copy_format.int4(one.vehicle.id),
            event.kind.encode(),
            copy_format.jsonb(event.data),
        )
        for one in fresh
        for event in one.facts.events
    ]
    if events:
        await _copy(connection, "device_events", ("ts", "vehicle_id", "kind", "data"), loose_rows(events))
    frames = [
        (
            copy_format.timestamp(frame.t_ms),
            copy_format.int4(one.vehicle.id),
            frame.bus.encode(),
            copy_format.int8(frame.arbitration_id),
            frame.data,
        )
        for one in fresh
        for frame in one.facts.frames
    ]
    if frames:
        await _copy(connection, "frames", ("ts", "vehicle_id", "bus", "arb_id", "data"), loose_rows(frames))


async def _copy(connection: Connection, table: str, columns: Sequence[str], rows: Iterator[bytes]) -> None:
    async def source() -> Any:
        for chunk in rows:
            yield chunk

    await connection.copy_to_table(table, source=source(), columns=columns, format="binary")


async def _merge_latest(connection: Connection, fresh: Sequence[_Fresh], newest: Newest) -> None:
    by_vehicle = _by_vehicle(fresh)
    await connection.execute(_SQL["add_latest_rows"], list(by_vehicle))
    rows = await connection.fetch(_SQL["lock_latest_rows"], list(by_vehicle))
    lengths = [len(row["signal_ids"]) for row in rows]
    known = Newest(
        np.repeat(np.array([row["vehicle_id"] for row in rows], np.int64), lengths),
        np.array([signal for row in rows for signal in row["signal_ids"]], np.int64),
        np.array([t_ms for row in rows for t_ms in row["ts_ms"]], np.int64),
        np.array([value for row in rows for value in row["values"]], np.float64),
    )
    merged = known.merged(newest)
    updates, catalogs = [], []
    for row in rows:
        of_vehicle = by_vehicle[row["vehicle_id"]]
        spans = [one.facts.span_ms[1] for one in of_vehicle if one.facts.span_ms is not None]
        last_ms = max([*spans, *([row["last_ms"]] if row["last_ms"] is not None else [])], default=None)
        position = _newest_position(of_vehicle, _known_position(row))
        place = astuple(position) if position else (None,) * 6
        updates.append((row["vehicle_id"], last_ms, *merged.of_vehicle(row["vehicle_id"]), *place))
        catalogs += [(row["vehicle_id"], catalog) for catalog in _newest_catalog(of_vehicle, row["last_ms"])]
    await connection.executemany(_SQL["update_latest_row"], updates)
    if catalogs:
        await connection.execute(_SQL["set_vehicle_catalogs"], *_columns(catalogs))


def _newest_catalog(of_vehicle: Iterable[_Fresh], known_ms: int | None) -> list[str]:
    """What the newest batch was decoded with, unless a newer one was stored before."""
    named = [(one.facts.span_ms[1], one.catalog) for one in of_vehicle if one.catalog and one.facts.span_ms]
    return [catalog for t_ms, catalog in [max(named)] if known_ms is None or t_ms >= known_ms] if named else []


def _known_position(row: Any) -> Position | None:
    if row["fix_ms"] is None:
        return None
    return Position(row["fix_ms"], row["lat"], row["lon"], row["alt"], row["speed"], row["course"])


def _newest_position(of_vehicle: Iterable[_Fresh], known: Position | None) -> Position | None:
    position = known
    for one in of_vehicle:
        facts = one.facts
        for index in np.flatnonzero(facts.fix_t_ms == facts.fix_t_ms.max(initial=-(2**62))):
            lat, lon, *rest = facts.fixes[:5, index].tolist()
            alt, speed, course = (None if value != value else value for value in rest)
            position = newer(position, Position(int(facts.fix_t_ms[index]), lat, lon, alt, speed, course))
    return position


def _by_vehicle(fresh: Iterable[_Fresh]) -> dict[int, list[_Fresh]]:
    found: dict[int, list[_Fresh]] = {}
    for one in fresh:
        found.setdefault(one.vehicle.id, []).append(one)
    return found


def _by_stream(fresh: Iterable[_Fresh]) -> dict[tuple[int, str | None], list[_Fresh]]:
    found: dict[tuple[int, str | None], list[_Fresh]] = {}
    for one in fresh:
        found.setdefault((one.vehicle.id, one.stream), []).append(one)
    return found


def _counts(fresh: Iterable[_Fresh]) -> dict[_Key, tuple[int, int, int]]:
    return {
        (vehicle_id, stream): _sum(of_stream)
        for (vehicle_id, stream), of_stream in _by_stream(fresh).items()
        if stream is not None
    }


def _sum(fresh: Sequence[_Fresh]) -> tuple[int, int, int]:
    samples, fixes, events = zip(*(one.counts for one in fresh), strict=True)
    return sum(samples), sum(fixes), sum(events)


def _journal(fresh: Iterable[_Fresh]) -> Iterator[tuple[Any, ...]]:
    for (vehicle_id, stream), of_stream in _by_stream(fresh).items():
        spans = [one.facts.span_ms for one in of_stream if one.facts.span_ms is not None]
        low, high = (min(s[0] for s in spans), max(s[1] for s in spans)) if spans else (None, None)
        seqs = RangeSet.of(one.seq for one in of_stream if one.stream is not None)
        yield (vehicle_id, stream, seqs.to_pg(), low, high, *_sum(of_stream))


def _losses(key: _Key, claim: StreamClaim, newly_lost: RangeSet) -> Iterator[tuple[int, str, int, int, str]]:
    for low, high, cause in claim.lost:
        for part in (RangeSet([(low, high)]) & newly_lost).ranges:
            yield (*key, *part, cause)


def _columns(records: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*records, strict=True)]
