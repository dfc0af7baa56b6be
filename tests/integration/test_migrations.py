"""Migrations: forward only, once, in order; and what the schema promises."""

import asyncio

import pytest

from cloud.database import connect, inspect
from cloud.errors import DatabaseError, MigrationError
from cloud.migrations import Migration, available, migrate
from tests.running import fetch

pytestmark = pytest.mark.services


async def test_second_run_finds_nothing_to_do(empty_database_url: str) -> None:
    assert await migrate(empty_database_url) == available()
    assert await migrate(empty_database_url) == []


async def test_two_at_once_wait_for_one_another(empty_database_url: str) -> None:
    done = await asyncio.gather(migrate(empty_database_url), migrate(empty_database_url))
    assert sorted(map(len, done)) == [0, len(available())]


async def test_broken_migration_leaves_the_ones_before_it_and_nothing_of_itself(empty_database_url: str) -> None:
    good = Migration(1, "good", "CREATE TABLE good ()")
    bad = Migration(2, "bad", "CREATE TABLE half (); SELECT nonsense")
    with pytest.raises(MigrationError, match="0002_bad"):
        await migrate(empty_database_url, migrations=[good, bad])
    tables = await fetch(empty_database_url, "SELECT to_regclass('good') AS good, to_regclass('half') AS half")
    assert tuple(tables[0]) == ("good", None)
    mended = Migration(2, "bad", "CREATE TABLE half ()")
    assert await migrate(empty_database_url, migrations=[good, mended]) == [mended]


async def test_edited_migration_is_refused(empty_database_url: str) -> None:
    await migrate(empty_database_url, migrations=[Migration(1, "one", "SELECT 1")])
    with pytest.raises(MigrationError, match="0001_one was applied in another form"):
        await migrate(empty_database_url, migrations=[Migration(1, "one", "SELECT 2")])


async def test_database_of_a_newer_version_is_refused(empty_database_url: str) -> None:
    await migrate(empty_database_url, migrations=[Migration(n, "x", "SELECT 1") for n in (1, 2)])
    with pytest.raises(MigrationError, match="at migration 2"):
        await migrate(empty_database_url, migrations=[Migration(1, "x", "SELECT 1")])


async def test_telemetry_is_in_hypertables_without_foreign_keys(database_url: str) -> None:
    hypertables = await fetch(
        database_url, "SELECT hypertable_name AS name FROM timescaledb_information.hypertables ORDER BY 1"
    )
    names = [row["name"] for row in hypertables]
    assert names == ["device_events", "event_keys", "fixes", "frames", "journal", "samples"]
    keys = await fetch(
        database_url,
        "SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text = ANY ($1)",
        names,
    )
    assert keys == []


async def test_server_is_asked_for_its_edition(database_url: str) -> None:
    connection = await connect(database_url)
    try:
        server = await inspect(connection)
    finally:
        await connection.close()
    assert server.community in (True, False)
    assert server.timescaledb


async def test_database_without_schema_says_what_to_do(empty_database_url: str) -> None:
    connection = await connect(empty_database_url)
    try:
        with pytest.raises(DatabaseError, match="fleetwire migrate"):
            await inspect(connection)
    finally:
        await connection.close()
