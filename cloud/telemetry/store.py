"""Telemetry into PostgreSQL, each group of batches in one transaction that its ledger rows guard.

The only file that writes telemetry. A crash anywhere leaves all of a group or nothing, and what is sent again is known
by the ledger: (vehicle, stream, seq) is stored once, whoever tries how often.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from cloud.database import Connection, Pool
from cloud.errors import DatabaseError
from cloud.queries import load
from cloud.telemetry.fact_parts import counts_of
from cloud.telemetry.facts import Facts
from cloud.telemetry.latest import Position
from cloud.telemetry.letters import Left, left_of
from cloud.telemetry.packed_columns import can_pack, pack_copies
from cloud.telemetry.plausible import EARLIEST_MS, MOST_AHEAD_MS, Aside, part_by_time, without_spans
from cloud.telemetry.rows import (
    Copy,
    Fresh,
    LatestRow,
    Samples,
    Tally,
    Vehicle,
    aside_records,
    by_vehicle,
    catalog_records,
    dirty_records,
    journal_records,
    latest_columns,
    other_copies,
    sorted_samples,
    stream_counts,
    unnumbered_records,
)
from cloud.telemetry.spans import Span
from wire.envelope import StreamClaim
from wire.ledger import StreamLedger
from wire.ranges import RangeSet

TRANSACTION: Final[Mapping[str, Any]] = {"isolation": "read_committed"}

_SQL = load("writer")
_NO_ROWS: Final[Tally] = (0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Arrival:
    """What an entry of the bus brings: a batch, or claims, or both."""

    vehicle: str
    stream: str = ""
    seq: int = -1
    facts: Facts | None = None
    catalog: str | None = None
    claims: tuple[StreamClaim, ...] = ()
    received_ms: int | None = None
    """When it arrived (Unix time), by which is judged whether its times can be; without it they are believed."""


@dataclass(frozen=True)
class Stored:
    """What a group came to. Repeats were in the database already; strangers are vehicles that it does not know.

    `rows` of any kind, samples among them, were stored; `aside` are rows that were set aside, `erased` rows that fell
    into an erased span.
    """

    batches: int = 0
    repeats: int = 0
    samples: int = 0
    rows: int = 0
    aside: int = 0
    erased: int = 0
    strangers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class EventsStored:
    """What became of events; each counts once."""

    stored: int
    repeated: int
    aside: int
    erased: int


_Key = tuple[int, str]


@dataclass
class _Ids:
    """What vehicles and signals are called in one state of the database: a restored one gives the numbers anew."""

    epoch: str
    can_pack: bool
    vehicles: dict[str, Vehicle] = field(default_factory=dict)
    signals: dict[tuple[int, str], int] = field(default_factory=dict)


class Store:
    """Remembers the ids of vehicles and signals for as long as the database is the same."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._ids = _Ids(epoch="", can_pack=False)

    async def commit(self, arrivals: Sequence[Arrival]) -> Stored:
        """Stores what is new of a group, all or nothing."""
        async with self._pool.acquire() as connection:
            ids = await self._ids_of(connection, {arrival.vehicle for arrival in arrivals})
            known = [arrival for arrival in arrivals if arrival.vehicle in ids.vehicles]
            strangers = frozenset(arrival.vehicle for arrival in arrivals) - ids.vehicles.keys()
            await _resolve_signals(
                connection, ids, ((ids.vehicles[a.vehicle].fleet_id, a.facts) for a in known if a.facts)
            )
            async with connection.transaction(**TRANSACTION):
                fresh = await self._settle(connection, ids, known)
                await self._write(connection, ids, fresh)
        repeats = sum(arrival.facts is not None for arrival in known) - len(fresh)
        return _stored(fresh, repeats=repeats, strangers=strangers)

    async def bury(
        self, vehicle: str, stream: str, seq: int, *, problem: str, payload: bytes, received_ms: int | None = None
    ) -> None:
        """Puts a batch to the dead letters, unless it is stored, but for what was erased; without that it is done.

        `received_ms` is when it arrived; now, where that is not known.
        """
        at_ms = time.time_ns() // 1_000_000 if received_ms is None else received_ms
        async with self._pool.acquire() as connection:
            ids = await self._ids_of(connection, {vehicle})
            if (known := ids.vehicles.get(vehicle)) is None:
                return
            async with connection.transaction(**TRANSACTION):
                key = (known.id, stream)
                before = await self._lock_ledger(connection, [key])
                if not before[key].fresh([seq]):
                    return
                left = Left(payload)
                if erased := (await _erased_spans(connection, [known.id])).get(known.id):
                    left = await asyncio.to_thread(left_of, payload, erased, at_ms=at_ms)
                of_seq = RangeSet.of([seq])
                after = before[key].bury(of_seq) if left.payload is not None else before[key].store(of_seq)
                await self._update_ledger(connection, {key: after}, {key: (0, 0, 0, 0, left.erased)})
                if left.payload is not None:
                    await connection.execute(_SQL["add_dead_letter"], known.id, stream, seq, problem, left.payload)

    async def revive(self, letter: int, arrival: Arrival) -> bool:
        """Stores what a dead letter holds and removes the letter; False when it was gone."""
        assert arrival.facts is not None
        async with self._pool.acquire() as connection:
            ids = await self._ids_of(connection, {arrival.vehicle})
            vehicle = ids.vehicles[arrival.vehicle]
            await _resolve_signals(connection, ids, [(vehicle.fleet_id, arrival.facts)])
            async with connection.transaction(**TRANSACTION):
                key = (vehicle.id, arrival.stream)
                before = (await self._lock_ledger(connection, [key]))[key]
                if not await connection.fetchval(_SQL["take_dead_letter"], letter, *key, arrival.seq):
                    return False
                if arrival.seq not in before.received:
                    erased = await _erased_spans(connection, [vehicle.id])
                    fresh = [_fresh(vehicle, arrival, arrival.facts, erased)]
                    after = before.store(RangeSet.of([arrival.seq]))
                    await self._update_ledger(connection, {key: after}, stream_counts(fresh))
                    await self._write(connection, ids, fresh)
        return True

    async def release(self, entries: Sequence[tuple[int, Arrival]]) -> Stored:
        """Stores what set-aside entries hold, at the times that it has in the arrivals, and removes the entries.

        All or nothing; an entry that is gone was released by somebody else and counts as a repeat.
        """
        async with self._pool.acquire() as connection:
            ids = await self._ids_of(connection, {arrival.vehicle for _, arrival in entries})
            named = [(ids.vehicles[a.vehicle].fleet_id, a.facts) for _, a in entries if a.facts is not None]
            await _resolve_signals(connection, ids, named)
            keys = {(ids.vehicles[a.vehicle].id, a.stream) for _, a in entries if a.stream}
            async with connection.transaction(**TRANSACTION):
                ledger = await self._lock_ledger(connection, sorted(keys))
                taken = {row["id"] for row in await connection.fetch(_SQL["take_set_aside"], [id for id, _ in entries])}
                erased = await _erased_spans(connection, {ids.vehicles[a.vehicle].id for _, a in entries})
                fresh = [
                    _fresh(ids.vehicles[a.vehicle], a, a.facts, erased)
                    for id, a in entries
                    if id in taken and a.facts is not None
                ]
                counts = stream_counts(fresh)
                await self._update_ledger(connection, {key: ledger[key] for key in counts}, counts)
                await self._write(connection, ids, fresh)
        return _stored(fresh, repeats=len(entries) - len(fresh))

    async def add_events(self, ident: str, events: Sequence[tuple[bytes, Facts]], *, received_ms: int) -> EventsStored:
        """Facts of a sender without a spool, each with the key that tells a repeat.

        Raises DatabaseError for a vehicle that is not known any more.
        """
        async with self._pool.acquire() as connection:
            ids = await self._ids_of(connection, {ident})
            if (vehicle := ids.vehicles.get(ident)) is None:
                raise DatabaseError(f"the database does not know vehicle '{ident}' any more")
            await _resolve_signals(connection, ids, ((vehicle.fleet_id, facts) for _, facts in events))
            named = {(_key_time(facts, received_ms), key): facts for key, facts in reversed(events)}
            async with connection.transaction(**TRANSACTION):
                # In one order, so that two who come with the same ones never wait for one another.
                times, keys = _columns(sorted(named))
                new = await connection.fetch(_SQL["add_event_keys"], vehicle.id, times, keys, EARLIEST_MS)
                spans = await _erased_spans(connection, [vehicle.id])
                fresh = [
                    _fresh(vehicle, Arrival(ident, received_ms=received_ms), named[row["ms"], row["key"]], spans)
                    for row in new
                ]
                await self._write(connection, ids, fresh)
        erased = sum(one.erased > 0 for one in fresh)
        aside = sum(bool(one.aside) for one in fresh)
        return EventsStored(
            stored=len(fresh) - erased - aside, repeated=len(events) - len(fresh), aside=aside, erased=erased
        )

    async def _ids_of(self, connection: Connection, vehicles: set[str]) -> _Ids:
        """As the database has them now; they hold for as long as the connection does."""
        if (epoch := await connection.fetchval(_SQL["epoch"])) != self._ids.epoch:
            self._ids = _Ids(epoch, can_pack=await can_pack(connection))
        ids = self._ids
        if unknown := vehicles - ids.vehicles.keys():
            for row in await connection.fetch(_SQL["vehicles_by_ident"], sorted(unknown)):
                ids.vehicles[row["ident"]] = Vehicle(row["id"], row["fleet_id"])
        return ids

    async def _settle(self, connection: Connection, ids: _Ids, arrivals: Sequence[Arrival]) -> list[Fresh]:
        """Ledger rows locked, the group entered into them; returns what is to be written."""
        batches: dict[_Key, dict[int, Arrival]] = {}
        claims: dict[_Key, list[StreamClaim]] = {}
        for arrival in arrivals:
            vehicle = ids.vehicles[arrival.vehicle]
            if arrival.facts is not None:
                batches.setdefault((vehicle.id, arrival.stream), {}).setdefault(arrival.seq, arrival)
            for claim in arrival.claims:
                claims.setdefault((vehicle.id, claim.stream), []).append(claim)
        before = await self._lock_ledger(connection, sorted(batches.keys() | claims.keys()))
        after = dict(before)
        # Only now that the transaction has its number: whoever erases waits for those with a lower one.
        erased = await _erased_spans(connection, {vehicle_id for vehicle_id, _ in batches})
        fresh: list[Fresh] = []
        for key, of_stream in batches.items():
            seqs = before[key].fresh(of_stream)
            after[key] = before[key].store(seqs)
            fresh += (
                _fresh(ids.vehicles[a.vehicle], a, a.facts, erased)
                for a in of_stream.values()
                if a.facts is not None and a.seq in seqs
            )
        losses: list[tuple[int, str, int, int, str]] = []
        for key, of_row in claims.items():
            for claim in of_row:
                losses += _losses(key, claim, after[key].newly_lost(claim))
                after[key] = after[key].declare(claim)
        changed = {key: row for key, row in after.items() if row != before[key]}
        await self._update_ledger(connection, changed, stream_counts(fresh))
        if losses:
            await connection.execute(_SQL["add_losses"], *_columns(losses))
        return fresh

    async def _lock_ledger(self, connection: Connection, keys: Sequence[_Key]) -> dict[_Key, StreamLedger]:
        if not keys:
            return {}
        vehicle_ids, streams = _columns(keys)
        rows = await connection.fetch(_SQL["lock_ledger_rows"], vehicle_ids, streams)
        if len(rows) < len(keys):
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
        self, connection: Connection, rows: Mapping[_Key, StreamLedger], counts: Mapping[_Key, Tally]
    ) -> None:
        if rows:
            records = [
                (*key, row.received.to_pg(), row.dead.to_pg(), row.lost.to_pg(), row.next, *counts.get(key, _NO_ROWS))
                for key, row in rows.items()
            ]
            await connection.execute(_SQL["update_ledger_rows"], *_columns(records))

    async def _write(self, connection: Connection, ids: _Ids, fresh: Sequence[Fresh]) -> None:
        if not fresh:
            return
        # What is ours to do goes on while the server does its part, most of all while it takes the rows.
        samples, known = await asyncio.gather(
            asyncio.to_thread(sorted_samples, fresh, ids.signals), _lock_latest(connection, fresh)
        )
        _, after = await asyncio.gather(
            _copy_all(connection, (*samples.copies(), *other_copies(fresh)), can_pack=ids.can_pack),
            asyncio.to_thread(_After.of, known, fresh, samples),
        )
        await connection.execute(_SQL["update_latest_rows"], *after.latest)
        if after.catalogs:
            await connection.execute(_SQL["set_vehicle_catalogs"], *_columns(after.catalogs))
        if after.dirty:
            await connection.execute(_SQL["add_dirty"], *_columns(after.dirty))
        await connection.execute(_SQL["add_journal"], *_columns(after.journal))
        await _write_apart(connection, ids, fresh)


@dataclass(frozen=True)
class _After:
    """What is written behind the rows themselves."""

    latest: list[list[Any]]
    catalogs: list[tuple[int, str]]
    dirty: list[tuple[int, int, int]]
    journal: list[tuple[Any, ...]]

    @classmethod
    def of(cls, known: Sequence[LatestRow], fresh: Sequence[Fresh], samples: Samples) -> Self:
        return cls(
            latest=latest_columns(known, fresh, samples.newest()),
            catalogs=catalog_records(known, fresh),
            dirty=dirty_records(fresh),
            journal=journal_records(fresh),
        )


def _fresh(vehicle: Vehicle, arrival: Arrival, facts: Facts, erased: Mapping[int, Sequence[Span]]) -> Fresh:
    """What of it is to be stored, and what not. An impossible time tells nothing about an erased span."""
    possible: Facts = facts
    aside: tuple[Aside, ...] = ()
    if arrival.received_ms is not None:
        possible, aside = part_by_time(facts, arrival.received_ms)
    kept = without_spans(possible, erased.get(vehicle.id, ()))
    dropped = 0 if kept is possible else sum(counts_of(possible)) - sum(counts_of(kept))
    stream = arrival.stream or None
    return Fresh(vehicle, kept, stream, arrival.seq, arrival.catalog, aside=aside, erased=dropped)


def _stored(fresh: Sequence[Fresh], *, repeats: int, strangers: frozenset[str] = frozenset()) -> Stored:
    return Stored(
        batches=len(fresh),
        repeats=repeats,
        samples=sum(len(one.facts.t_ms) for one in fresh),
        rows=sum(sum(one.counts[:4]) for one in fresh),
        aside=sum(sum(counts_of(aside.facts)) for one in fresh for aside in one.aside),
        erased=sum(one.erased for one in fresh),
        strangers=strangers,
    )


def _key_time(facts: Facts, received_ms: int) -> int:
    """Where the key of an event lies. One whose time cannot be has a place of its own, until it is known better."""
    assert facts.span_ms is not None
    low, high = facts.span_ms
    return low if low >= EARLIEST_MS and high <= received_ms + MOST_AHEAD_MS else EARLIEST_MS


async def _erased_spans(connection: Connection, vehicle_ids: Collection[int]) -> dict[int, list[Span]]:
    """Half open, Unix ms, of those vehicles that have any."""
    found: dict[int, list[Span]] = {}
    if vehicle_ids:
        for row in await connection.fetch(_SQL["erased_spans"], list(vehicle_ids)):
            found.setdefault(row["vehicle_id"], []).append((row["low"], row["high"]))
    return found


async def _write_apart(connection: Connection, ids: _Ids, fresh: Sequence[Fresh]) -> None:
    """What is kept aside, and the counts of what came without a stream."""
    if any(one.aside for one in fresh):
        idents = {vehicle.id: ident for ident, vehicle in ids.vehicles.items()}
        await connection.execute(_SQL["add_set_aside"], *_columns(aside_records(fresh, idents)))
    if unnumbered := unnumbered_records(fresh):
        await connection.execute(_SQL["add_unnumbered"], *_columns(unnumbered))


async def _resolve_signals(connection: Connection, ids: _Ids, named: Iterable[tuple[int, Facts]]) -> None:
    """Before the transaction that writes, so that nobody waits for a name that another one is adding."""
    unknown = sorted({(fleet, name) for fleet, facts in named for name in facts.names} - ids.signals.keys())
    if unknown:
        fleets, names = (list(column) for column in zip(*unknown, strict=True))
        await connection.execute(_SQL["add_signals"], fleets, names)
        for row in await connection.fetch(_SQL["signals_by_name"], fleets, names):
            ids.signals[row["fleet_id"], row["name"]] = row["id"]


async def _copy_all(connection: Connection, copies: Iterable[Copy], *, can_pack: bool) -> None:
    for copy in copies:
        packed = can_pack and copy.worth_packing
        if packed:
            await pack_copies(connection, True)
        await connection.copy_to_table(copy.table, source=_chunks(copy), columns=copy.columns, format="binary")
        if packed:
            await pack_copies(connection, False)


async def _chunks(copy: Copy) -> AsyncIterator[bytes]:
    for chunk in copy.chunks:
        yield chunk


async def _lock_latest(connection: Connection, fresh: Sequence[Fresh]) -> list[LatestRow]:
    vehicle_ids = list(by_vehicle(fresh))
    rows = await connection.fetch(_SQL["lock_latest_rows"], vehicle_ids)
    if len(rows) < len(vehicle_ids):
        await connection.execute(_SQL["add_latest_rows"], vehicle_ids)
        rows = await connection.fetch(_SQL["lock_latest_rows"], vehicle_ids)
    return [_latest_row(row) for row in rows]


def _latest_row(row: Any) -> LatestRow:
    place = (row["lat"], row["lon"], row["alt"], row["speed"], row["course"])
    return LatestRow(
        vehicle_id=row["vehicle_id"],
        last_ms=row["last_ms"],
        signal_ids=row["signal_ids"],
        t_ms=row["ts_ms"],
        values=row["values"],
        position=None if row["fix_ms"] is None else Position(row["fix_ms"], *place),
    )


def _losses(key: _Key, claim: StreamClaim, newly_lost: RangeSet) -> Iterator[tuple[int, str, int, int, str]]:
    for low, high, cause in claim.lost:
        for part in (RangeSet([(low, high)]) & newly_lost).ranges:
            yield (*key, *part, cause)


def _columns(records: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*records, strict=True)]
