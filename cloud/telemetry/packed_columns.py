"""Telemetry in columns, where the server is TimescaleDB's community edition: a tenth of the room, and faster reports.

New rows are rows, for a batch of a second has too few of a signal to be worth a column; the server's policy packs a
chunk some time after it ended. What comes in bulk, as after a week without network, is packed as it is copied. Late
rows, erasure and retention meet packed chunks like others: the server unpacks what it must.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from cloud.database import Connection, inspect
from cloud.queries import load

LOCK: Final = 0x666C7463
"""Advisory: of several writers that start at once, one sets the tables up."""

_SQL = load("columnstore")
log = structlog.get_logger()


@dataclass(frozen=True)
class Columns:
    """How a table is packed: rows of one `segment` together, ordered by time, `after` their chunk ended."""

    segment: str
    after: timedelta


TABLES: Final[Mapping[str, Columns]] = {
    "samples": Columns("vehicle_id, signal_id", timedelta(days=2)),
    "fixes": Columns("vehicle_id", timedelta(days=7)),
    "frames": Columns("vehicle_id, bus", timedelta(days=2)),
}
"""Event keys stay rows: they are looked up one by one, by a unique index. Events are few."""


async def ensure_columns(connection: Connection) -> None:
    """With the community edition all of `TABLES` are packed in time; asked again, it changes nothing.

    Where somebody has set another time, that stays. With the Apache edition there is nothing to do.
    """
    if not (await inspect(connection)).community:
        return
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
    try:
        state = {row["name"]: row for row in await connection.fetch(_SQL["state"])}
        for name, columns in TABLES.items():
            if not state[name]["enabled"]:
                await connection.execute(_SQL["enable"].format(table=name, segment=columns.segment))
                log.info("columnstore enabled", table=name)
            if state[name]["after"] is None:
                after = f"{columns.after.days} days"
                await connection.execute(_SQL["add_policy"].format(table=name, after=after))
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)


async def can_pack(connection: Connection) -> bool:
    """Whether the server packs while it copies."""
    found: bool = await connection.fetchval(_SQL["can_pack"])
    return found


async def pack_copies(connection: Connection, yes: bool) -> None:
    """Until the transaction ends, or the opposite is said."""
    await connection.execute(_SQL["pack" if yes else "pack_no_more"])


async def unpack_without_end(connection: Connection) -> None:
    """Until the transaction ends: the server refuses otherwise to delete much of what is packed."""
    await connection.execute(_SQL["unpack_without_end"])
