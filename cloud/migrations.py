"""Numbered, forward-only migrations: sql/migrations/NNNN_name.sql, each in a transaction of its own."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from cloud.database import connect
from cloud.errors import MigrationError
from cloud.queries import SQL

LOCK = 0x666C7477  # advisory; whoever comes second waits and finds nothing to do

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)"""


@dataclass(frozen=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


async def migrate(database_url: str, *, migrations: Sequence[Migration] | None = None) -> list[Migration]:
    """Applies and returns what is missing. Raises MigrationError when the database is ahead or was built otherwise."""
    known = available() if migrations is None else migrations
    connection = await connect(database_url)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        await connection.execute(_TABLE)
        applied = {row["number"]: row["checksum"] for row in await connection.fetch("SELECT * FROM schema_migrations")}
        pending = plan(known, applied)
        for migration in pending:
            await _apply(connection, migration)
        return pending
    finally:
        await connection.close()


def available(folder: Path = SQL / "migrations") -> list[Migration]:
    """In order of their numbers, which run 1, 2, 3 … without gaps."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        number, _, name = path.stem.partition("_")
        found.append(Migration(int(number), name, path.read_text(encoding="utf-8")))
    if [m.number for m in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"{folder}: migrations must be numbered 0001, 0002 … without gaps")
    return found


def plan(known: Sequence[Migration], applied: dict[int, str]) -> list[Migration]:
    """What is still to be done."""
    if ahead := set(applied) - {m.number for m in known}:
        raise MigrationError(f"the database is at migration {max(ahead)}, this version knows {len(known)}; update it")
    for migration in known:
        if migration.number in applied and applied[migration.number] != migration.checksum:
            raise MigrationError(
                f"migration {migration.number:04d}_{migration.name} was applied in another form; "
                "migrations are never edited, restore the file or start with a new database"
            )
    return [m for m in known if m.number not in applied]


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    async with connection.transaction():
        try:
            await connection.execute(migration.sql)
        except asyncpg.PostgresError as error:
            raise MigrationError(f"migration {migration.number:04d}_{migration.name}: {error}") from error
        await connection.execute(
            "INSERT INTO schema_migrations (number, name, checksum) VALUES ($1, $2, $3)",
            migration.number,
            migration.name,
            migration.checksum,
        )
