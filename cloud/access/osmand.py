"""Vehicles that report as OsmAnd does, and under which identifier. It is all they prove themselves with: a secret."""

import secrets
from collections.abc import Sequence
from typing import Final

import asyncpg

from cloud.access.accounts import Device, devices_by_key
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


async def devices(db: Executor, idents: Sequence[str]) -> dict[str, Device]:
    """By those of the identifiers under which a vehicle may report."""
    return devices_by_key(await db.fetch(_SQL["devices"], [ident for ident in idents if ident.isprintable()]))
