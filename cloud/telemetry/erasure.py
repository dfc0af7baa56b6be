"""Erasure of a vehicle's data, or of a span of it: ordered, which the writer obeys from then on, then carried out.

An order is a row that is never removed, because what was erased can arrive at any time later: from a spool, a stream, a
dead letter. Transactions of writers that began before the order may not know it; they are waited for, and what they
stored is deleted with the rest. Interrupted anywhere, it is carried out again from the beginning.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg

from cloud.database import UNHURRIED_S, Connection, Executor
from cloud.errors import ErasureError
from cloud.queries import load
from cloud.telemetry.fact_parts import counts_of
from cloud.telemetry.facts import MAX_TIME_MS, MIN_TIME_MS, Facts, facts_of
from cloud.telemetry.letters import encoded, left_of, read_batch
from cloud.telemetry.packed_columns import unpack_without_end
from cloud.telemetry.plausible import without_spans
from cloud.telemetry.spans import Span
from cloud.telemetry.unix_time import BEGINNING, to_ms
from wire.model import Batch

TABLES: Final = (("samples", "samples"), ("fixes", "fixes"), ("device_events", "events"), ("frames", "frames"))
"""Hypertables and what their rows count as."""
LOOK_S: Final = 0.05
PATIENCE_S: Final = 600.0
LOCK: Final = 0x666C7465
"""Advisory, with the erasure's number: one at a time carries it out."""

_SQL = load("erasure")


@dataclass(frozen=True)
class _Order:
    id: int
    vehicle_id: int
    low: datetime
    high: datetime

    @property
    def span_ms(self) -> Span:
        return max(to_ms(self.low), MIN_TIME_MS), min(to_ms(self.high), MAX_TIME_MS)


async def vehicle_named(db: Executor, ident: str) -> int:
    """Raises ErasureError when there is none."""
    found: int | None = await db.fetchval(_SQL["vehicle"], ident)
    if found is None:
        raise ErasureError(f"there is no vehicle '{ident}'; 'fleetwire admin vehicle list' tells which there are")
    return found


async def order(db: Executor, vehicle_id: int, *, begin: datetime | None, end: datetime, actor: str) -> int:
    """From `begin`, or all there is, to before `end`. The number of the erasure, which holds from its commit on."""
    number: int = await db.fetchval(_SQL["order"], vehicle_id, begin, end, actor)
    return number


async def list_erasures(db: Executor, vehicle: str | None = None, fleet_id: int | None = None) -> list[asyncpg.Record]:
    """id, vehicle, t_from, t_to, actor, at, done_at, and how many rows of each kind; the oldest first."""
    return await db.fetch(_SQL["list"], vehicle, fleet_id)


async def pending(db: Executor) -> Sequence[int]:
    """What was ordered and is not done."""
    return [row["id"] for row in await db.fetch(_SQL["pending"])]


async def carry_out(connection: Connection, number: int) -> None:
    """Returns when nothing is left of what was ordered. Raises ErasureError while a transaction does not end."""
    await connection.execute("SELECT pg_advisory_lock($1, $2)", LOCK, number, timeout=PATIENCE_S)
    try:
        row = await connection.fetchrow(_SQL["one"], number)
        if row is None:
            raise ErasureError(f"there is no erasure {number}")
        if row["done_at"] is None:
            await _carry_out(connection, _Order(number, row["vehicle_id"], row["t_from"] or BEGINNING, row["t_to"]))
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1, $2)", LOCK, number)


async def _carry_out(connection: Connection, order: _Order) -> None:
    await _wait_for_those_who_do_not_know(connection)
    spans = [await _delete_rows(connection, order, table, column) for table, column in TABLES]
    for low, high in await _chunks(connection, "event_keys", order):
        await connection.execute(_SQL["delete_event_keys"], order.vehicle_id, low, high, timeout=UNHURRIED_S)
    await _clear_letters(connection, order)
    await _clear_asides(connection, order)
    touched = [span for span in spans if span]
    async with connection.transaction():
        await connection.fetch(_SQL["lock_latest"], order.vehicle_id)
        await connection.execute(_SQL["renew_latest"], order.vehicle_id, *order.span_ms)
        if touched:
            await connection.execute(
                _SQL["add_dirty"], order.vehicle_id, min(low for low, _ in touched), max(high for _, high in touched)
            )
        await connection.execute(_SQL["finish"], order.id)


async def _wait_for_those_who_do_not_know(connection: Connection) -> None:
    horizon = await connection.fetchval(_SQL["horizon"])
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if await connection.fetchval(_SQL["is_past"], horizon):
                    return
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise ErasureError(
            "a transaction that began before the erasure was ordered does not end; see pg_stat_activity. "
            "It is carried out once that is over"
        ) from None


async def _delete_rows(
    connection: Connection, order: _Order, table: str, column: str
) -> tuple[datetime, datetime] | None:
    """Chunk by chunk, each with its count in one statement. From when to when there could be any."""
    chunks = await _chunks(connection, table, order)
    delete = _SQL["delete_rows"].format(table=table, column=column)
    for low, high in chunks:
        async with connection.transaction():
            await unpack_without_end(connection)
            await connection.execute(delete, order.vehicle_id, low, high, order.id, timeout=UNHURRIED_S)
    return (chunks[0][0], chunks[-1][1]) if chunks else None


async def _chunks(connection: Connection, table: str, order: _Order) -> list[tuple[datetime, datetime]]:
    rows = await connection.fetch(_SQL["chunks"], table, order.low, order.high)
    return [(row["low"], row["high"]) for row in rows]


async def _clear_letters(connection: Connection, order: _Order) -> None:
    after = 0
    while letters := await connection.fetch(_SQL["letters"], order.vehicle_id, after):
        after = letters[-1]["id"]
        for letter in letters:
            async with connection.transaction():
                await connection.fetch(_SQL["lock_ledger"], order.vehicle_id, letter["stream"])
                await _clear_letter(connection, order, letter["id"], letter["stream"])


async def _clear_letter(connection: Connection, order: _Order, id: int, stream: str) -> None:
    """As it is now that its ledger row is locked: meanwhile it may have been replayed, or another erasure's."""
    letter = await connection.fetchrow(_SQL["letter"], id)
    if letter is None:
        return
    left = left_of(letter["payload"], [order.span_ms], at_ms=to_ms(letter["at"]))
    if left.payload is None:
        await connection.execute(_SQL["remove_letter"], id, left.erased)
    elif left.erased:
        await connection.execute(_SQL["rewrite_letter"], id, left.payload)
        await connection.execute(_SQL["add_erased"], order.vehicle_id, stream, left.erased)
    if left.erased:
        await connection.execute(_SQL["note_apart"], order.id, left.erased)


async def _clear_asides(connection: Connection, order: _Order) -> None:
    """What arrived within the span goes as well: its times are wrong, and it may have been recorded then.

    What cannot be read goes by its arrival alone.
    """
    after = 0
    while entries := await connection.fetch(_SQL["asides"], order.vehicle_id, after):
        after = entries[-1]["id"]
        for entry in entries:
            batch = read_batch(entry["payload"])
            arrived = order.low <= entry["at"] < order.high
            if batch is None and not arrived:
                continue
            left = None if arrived or batch is None else without_spans(facts_of(batch), [order.span_ms])
            async with connection.transaction():
                if entry["stream"] is not None:
                    await connection.fetch(_SQL["lock_ledger"], order.vehicle_id, entry["stream"])
                await _clear_aside(connection, order, entry, batch, left)


async def _clear_aside(
    connection: Connection, order: _Order, entry: Any, batch: Batch | None, left: Facts | None
) -> None:
    """`left` is what stays of it."""
    erased = entry["rows"] - (_rows(left) if left else 0)
    if not erased:
        return
    if batch is None or left is None or not left.span_ms:
        changed = await connection.fetchval(_SQL["remove_aside"], entry["id"])
    else:
        changed = await connection.fetchval(
            _SQL["rewrite_aside"], entry["id"], encoded(batch, left), *counts_of(left), *left.span_ms
        )
    if changed:
        if entry["stream"] is not None:
            await connection.execute(_SQL["add_erased"], order.vehicle_id, entry["stream"], erased)
        await connection.execute(_SQL["note_apart"], order.id, erased)


def _rows(facts: Facts) -> int:
    return sum(counts_of(facts))
