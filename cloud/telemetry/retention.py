"""What is too old goes, as each fleet wishes it for each class of data.

Fleets share the tables. A chunk that is past for all of them is dropped, at no cost; from one that is past for some
only, the rows of these are deleted. Both are counted for each vehicle, so that the ledger still adds up. Positions and
events go to the moment; samples and raw frames, which are many, with their whole chunk, a day at most after that.
The schedule is ours with both editions of TimescaleDB. With the community one the server's own policies stand behind it
where all fleets agree, for the case that no writer runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import structlog

from cloud.database import UNHURRIED_S, Connection, Executor
from cloud.errors import AccountError
from cloud.queries import load
from cloud.telemetry.packed_columns import unpack_without_end
from cloud.telemetry.plausible import EARLIEST_MS

JOURNAL_KEPT: Final = timedelta(days=3)
DIRTY_SPANS: Final = 8
"""So many of a vehicle may lie unjoined."""
VEHICLES_AT_ONCE: Final = 50
LOCK_WITHIN: Final = "2s"

_SQL = load("retention")
_UNPLACED: Final = datetime.fromtimestamp(EARLIEST_MS / 1000, UTC)
_POLICY_SLACK: Final = timedelta(days=8)
"""Longer than any chunk: a policy never takes what was not counted before."""
log = structlog.get_logger()


@dataclass(frozen=True)
class Table:
    """`column` is what its rows count as, None where they are not counted."""

    name: str
    column: str | None
    by_chunk: bool = False


CLASSES: Final[Mapping[str, tuple[Table, ...]]] = {
    "samples": (Table("samples", "samples", by_chunk=True),),
    "fixes": (Table("fixes", "fixes"),),
    "events": (Table("device_events", "events"), Table("event_keys", None)),
    "frames": (Table("frames", "frames", by_chunk=True),),
}


@dataclass(frozen=True)
class Chunk:
    name: str
    low: datetime
    high: datetime


@dataclass(frozen=True)
class Drop:
    chunk: Chunk


@dataclass(frozen=True)
class Delete:
    """A fleet's rows of [low, high)."""

    fleet_id: int
    low: datetime
    high: datetime


def plan(table: Table, chunks: Sequence[Chunk], cuts: Mapping[int, datetime | None]) -> Iterator[Drop | Delete]:
    """What is to go of `table`. `cuts` has every fleet with vehicles, and before which moment its rows are too old."""
    known = [cut for cut in cuts.values() if cut is not None]
    oldest = min(known) if len(known) == len(cuts) else None
    for chunk in chunks:
        if oldest is not None and chunk.high <= oldest:
            yield Drop(chunk)
            continue
        for fleet_id, cut in cuts.items():
            if cut is not None and (chunk.high <= cut if table.by_chunk else chunk.low < cut):
                yield Delete(fleet_id, chunk.low, min(chunk.high, cut))


async def list_settings(db: Executor) -> list[asyncpg.Record]:
    """fleet, class, keep; a fleet that keeps all for ever once, without class."""
    return await db.fetch(_SQL["settings"])


async def fleet_settings(db: Executor, fleet_id: int) -> dict[str, timedelta]:
    return {row["class"]: row["keep"] for row in await db.fetch(_SQL["fleet_settings"], fleet_id)}


async def fleet_named(db: Executor, name: str) -> int:
    """Raises AccountError when there is none."""
    found: int | None = await db.fetchval(_SQL["fleet"], name)
    if found is None:
        raise AccountError(f"there is no fleet '{name}'; 'fleetwire admin fleet list' tells which there are")
    return found


async def set_retention(db: Executor, fleet_id: int, kind: str, keep: timedelta | None) -> None:
    """From the next round of the writers on; None is for ever."""
    if keep is None:
        await db.execute(_SQL["unset"], fleet_id, kind)
    else:
        await db.execute(_SQL["set"], fleet_id, kind, keep)


async def enforce(connection: Connection, now: datetime, *, community: bool) -> None:
    """One round. What somebody else holds locked waits for the next one."""
    for kind, tables in CLASSES.items():
        cuts = {row["fleet_id"]: row["cut"] for row in await connection.fetch(_SQL["cuts"], kind, now)}
        newest = max((cut for cut in cuts.values() if cut is not None), default=None)
        for table in tables:
            if newest is not None:
                rows = await connection.fetch(_SQL["chunks"], table.name, newest)
                for act in plan(table, [Chunk(**row) for row in rows if not _is_of_unplaced_keys(table, row)], cuts):
                    await _act(connection, table, act)
            if community and table.column is not None:
                await _keep_policy(connection, table, now, cuts)
    await connection.execute(_SQL["drop_journal"], now - JOURNAL_KEPT)


def _is_of_unplaced_keys(table: Table, chunk: asyncpg.Record) -> bool:
    """Keys of events whose time cannot be lie at one place of their own, however young they are."""
    return table.column is None and chunk["low"] <= _UNPLACED < chunk["high"]


async def compact_dirty(connection: Connection) -> None:
    """Nothing is lost by it: the spans cover what they covered."""
    await connection.execute(_SQL["compact_dirty"], DIRTY_SPANS)


async def _act(connection: Connection, table: Table, act: Drop | Delete) -> None:
    if isinstance(act, Delete):
        await _delete(connection, table, act)
        return
    try:
        async with connection.transaction():
            # The lock first, so that no row comes between the count and the end, and nobody waits for long.
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_WITHIN}'")
            await connection.execute(f"LOCK TABLE {act.chunk.name} IN ACCESS EXCLUSIVE MODE")
            if table.column:
                count = _SQL["count_chunk"].format(chunk=act.chunk.name, column=table.column)
                await connection.execute(count, timeout=UNHURRIED_S)
            await connection.execute(_SQL["drop_chunk"], table.name, act.chunk.low, act.chunk.high, timeout=UNHURRIED_S)
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.UndefinedTableError) as error:
        log.info("chunk not dropped yet", chunk=act.chunk.name, problem=str(error))
    else:
        log.info("chunk dropped", table=table.name, chunk=act.chunk.name, end=act.chunk.high.isoformat())


async def _delete(connection: Connection, table: Table, act: Delete) -> None:
    """Some vehicles in each transaction, so that none lasts."""
    query = _SQL["delete_aged"].format(table=table.name, column=table.column)
    if table.column is None:
        query = _SQL["delete_aged_keys"]
    vehicles = [row["id"] for row in await connection.fetch(_SQL["vehicles"], act.fleet_id)]
    for start in range(0, len(vehicles), VEHICLES_AT_ONCE):
        some = vehicles[start : start + VEHICLES_AT_ONCE]
        async with connection.transaction():
            await unpack_without_end(connection)
            await connection.execute(query, some, act.low, act.high, timeout=UNHURRIED_S)


async def _keep_policy(
    connection: Connection, table: Table, now: datetime, cuts: Mapping[int, datetime | None]
) -> None:
    wanted = policy(now, list(cuts.values()))
    present = {row["name"]: row["drop_after"] for row in await connection.fetch(_SQL["policies"])}.get(table.name)
    if wanted == present:
        return
    async with connection.transaction():
        await connection.execute(_SQL["remove_policy"], table.name)
        if wanted is not None:
            await connection.execute(_SQL["add_policy"], table.name, wanted)


def policy(now: datetime, cuts: Sequence[datetime | None]) -> timedelta | None:
    """After how long the server may drop chunks by itself: only where all fleets keep a class equally long."""
    different = set(cuts)
    (cut,) = different if len(different) == 1 else (None,)
    return None if cut is None else now - cut + _POLICY_SLACK
