"""Rows whose times cannot be, kept aside: what lies there, and its release once it is known when they were recorded.

Nothing is released by guessing. Who knows what was wrong with the clock says so: by how much it was wrong, when the
first of the rows was recorded, or that it was right after all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import asyncpg

from cloud.database import Executor, is_about_the_data
from cloud.errors import SetAsideError
from cloud.queries import load
from cloud.telemetry.fact_parts import shifted
from cloud.telemetry.facts import MAX_TIME_MS, MIN_TIME_MS, Facts, facts_of
from cloud.telemetry.plausible import part_by_time
from cloud.telemetry.store import Arrival, Store
from cloud.telemetry.unix_time import to_ms
from wire.codec import decode_batch

AT_ONCE: Final = 100
_SQL = load("set_aside")


@dataclass(frozen=True)
class Choice:
    """Which entries: those of these numbers, and those that all of the rest is true of. None of it: all."""

    ids: Sequence[int] | None = None
    vehicle: str | None = None
    stream: str | None = None
    cause: str | None = None
    fleet_id: int | None = None


@dataclass(frozen=True)
class Correction:
    """What was wrong with the clock: nothing, so many ms, or so much that the first row was recorded at `begin`."""

    shift_ms: int = 0
    begin: datetime | None = None
    believed: bool = False
    """Whether times are taken that cannot be."""


@dataclass
class Outcome:
    entries: int = 0
    rows: int = 0
    erased: int = 0
    """Rows that fell into an erased span and were dropped."""
    refused: list[str] = field(default_factory=list)
    """Why entries stay."""


async def list_entries(
    db: Executor, choice: Choice, *, after: int = 0, limit: int | None = None
) -> list[asyncpg.Record]:
    """id, vehicle, stream, seq, cause, at, t_from, t_to, samples, fixes, events, frames; the oldest first."""
    rows = await db.fetch(_SQL["list"], choice.vehicle, choice.stream, choice.cause, choice.fleet_id, after, limit)
    return rows if choice.ids is None else [row for row in rows if row["id"] in choice.ids]


async def release(store: Store, db: Executor, choice: Choice, correction: Correction, *, now: datetime) -> Outcome:
    """Stores what was chosen at corrected times, some entries in each transaction.

    What would still lie before 2010 or ahead of `now` stays aside, unless it is believed. Raises SetAsideError when
    nothing was chosen.
    """
    ids = [row["id"] for row in await list_entries(db, choice)]
    if not ids:
        raise SetAsideError("nothing of that is set aside; 'fleetwire admin set-aside list' tells what is")
    shift_ms = await _shift_ms(db, ids, correction)
    outcome = Outcome()
    now_ms = to_ms(now)
    for start in range(0, len(ids), AT_ONCE):
        entries = []
        for row in await db.fetch(_SQL["contents"], ids[start : start + AT_ONCE]):
            batch = decode_batch(row["payload"])
            facts = shifted(facts_of(batch), shift_ms)
            if problem := _problem(facts, now_ms, believed=correction.believed):
                outcome.refused.append(f"entry {row['id']} of '{row['vehicle']}' {problem}")
            else:
                arrival = Arrival(row["vehicle"], row["stream"] or "", batch.seq, facts, batch.catalog)
                entries.append((row["id"], arrival))
        await _store(store, entries, outcome)
    return outcome


async def _store(store: Store, entries: Sequence[tuple[int, Arrival]], outcome: Outcome) -> None:
    if not entries:
        return
    try:
        stored = await store.release(entries)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        if not is_about_the_data(error):
            raise
        outcome.refused.append(f"{len(entries)} entries from {entries[0][0]} on are refused: {error}")
        return
    outcome.entries += stored.batches
    outcome.rows += stored.rows
    outcome.erased += stored.erased


async def _shift_ms(db: Executor, ids: Sequence[int], correction: Correction) -> int:
    if correction.begin is None:
        return correction.shift_ms
    earliest: datetime | None = await db.fetchval(_SQL["earliest"], ids)
    return to_ms(correction.begin) - to_ms(earliest) if earliest else 0


def _problem(facts: Facts, now_ms: int, *, believed: bool) -> str | None:
    span = facts.span_ms
    if span is None:
        return None
    if not MIN_TIME_MS <= span[0] <= span[1] <= MAX_TIME_MS:
        return "would lie outside the years 1 to 9999"
    if not believed and (aside := part_by_time(facts, now_ms)[1]):
        where = "before 2010" if aside[0].cause == "before_2010" else "in the future"
        return f"would still have rows {where}: correct it by more, or believe its times"
    return None
