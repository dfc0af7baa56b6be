"""Vehicles that report as OsmAnd does, and under which identifier. It is all they prove themselves with: a secret."""

import secrets
from typing import Final

import asyncpg

from cloud.access.accounts import Device
from cloud.database import Executor
from cloud.errors import AccountError
from cloud.queries import load

LONGEST: Final = 128
_SQL = load("osmand")


async def enable(db: Executor, vehicle: str, ident: str | None = None) -> str:
    """Lets a vehicle report, under this identifier or one that is drawn; an earlier one ends. Raises AccountError."""
    ident = secrets.token_hex(8) if ident is None else ident
    if not 0 < len(ident) <= LONGEST or not ident.isprintable() or ident != ident.strip():
        raise AccountError(f"an identifier has 1 to {LONGEST} printable characters and no blanks around")
    try:
        found = await db.fetchval(_SQL["enable"], vehicle, ident)
    except asyncpg.UniqueViolationError:
        raise AccountError("another vehicle reports under this identifier; choose another one") from None
    if found is None:
        raise AccountError(f"there is no vehicle '{vehicle}'; 'fleetwire admin vehicle add {vehicle}' makes it")
    return ident


async def disable(db: Executor, vehicle: str) -> bool:
    """Whether it might report before. Ingest forgets it within half a minute."""
    return bool(await db.fetchval(_SQL["disable"], vehicle))


async def device(db: Executor, ident: str) -> Device | None:
    row = await db.fetchrow(_SQL["device"], ident) if "\0" not in ident else None
    return Device(row["id"], row["fleet_id"], row["ident"]) if row else None
