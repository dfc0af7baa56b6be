"""Columns with the community edition; with the Apache edition, that nothing of it is asked of the server.

FLEETWIRE_TEST_DATABASE_URL names a community server, where there is one; Debian's own is the Apache edition.
"""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from cloud.database import Pool, inspect, make_pool
from cloud.telemetry.erasure import carry_out, order
from cloud.telemetry.facts import facts_of
from cloud.telemetry.packed_columns import TABLES, can_pack, ensure_columns
from cloud.telemetry.retention import enforce, fleet_named, set_retention
from cloud.telemetry.store import Arrival, Store
from tests.recount import assert_counts_agree
from tests.running import add_vehicle, fetch
from wire.model import Batch, Column

pytestmark = pytest.mark.services

DAY_MS = 86_400_000
T0_MS = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS - 20 * DAY_MS
STREAM = "01890a5d-ac96-774b-bcce-b302099a8057"
STATE = "SELECT hypertable_name AS name, compression_enabled AS enabled FROM timescaledb_information.hypertables"
POLICIES = "SELECT hypertable_name AS name FROM timescaledb_information.jobs WHERE proc_name = 'policy_compression'"
PACKED = "SELECT hypertable_name AS name FROM timescaledb_information.chunks WHERE is_compressed"
PACK = """
SELECT compress_chunk(format('%I.%I', chunk_schema, chunk_name)) FROM timescaledb_information.chunks
WHERE hypertable_name = 'samples' AND NOT is_compressed
"""


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    await add_vehicle(database_url)
    async with make_pool(database_url, size=4, name="test") as pool:
        async with pool.acquire() as connection:
            await ensure_columns(connection)
        yield pool


@pytest.fixture
async def community(pool: Pool) -> Pool:
    async with pool.acquire() as connection:
        if not (await inspect(connection)).community:
            pytest.skip("this server is TimescaleDB's Apache edition, which has no columnstore")
    return pool


@pytest.fixture
async def packing(community: Pool) -> Pool:
    async with community.acquire() as connection:
        if not await can_pack(connection):
            pytest.skip("this server is older than TimescaleDB 2.21 and does not pack while it copies")
    return community


def arrival(seq: int, *, rows: int = 1_000, t0_ms: int | None = None) -> Arrival:
    """Of two signals, `rows` of each, 10 ms apart."""
    dt = list(range(0, 10 * rows, 10))
    columns = {name: Column(dt=dt, v=[float(seq + index) for index in range(rows)]) for name in ("M.A", "M.B")}
    t0 = T0_MS + seq * 10 * rows if t0_ms is None else t0_ms
    batch = Batch(vehicle="truck-1", stream=STREAM, seq=seq, t0=t0, signals=columns)
    return Arrival("truck-1", STREAM, seq, facts_of(batch), None)


async def count(database_url: str) -> int:
    return int((await fetch(database_url, "SELECT count(*) AS n FROM samples"))[0]["n"])


async def test_apache_edition_is_left_as_it_is(pool: Pool, database_url: str) -> None:
    async with pool.acquire() as connection:
        if (await inspect(connection)).community:
            pytest.skip("this server is TimescaleDB's community edition")
        assert not await can_pack(connection)
    assert not any(row["enabled"] for row in await fetch(database_url, STATE))
    await Store(pool).commit([arrival(0)])
    assert await count(database_url) == 2_000


async def test_tables_are_packed_by_policy_and_asking_again_changes_nothing(community: Pool, database_url: str) -> None:
    async with community.acquire() as connection:
        await connection.execute("SELECT remove_compression_policy('fixes')")
        await connection.execute("CALL add_columnstore_policy('fixes', after => INTERVAL '90 days')")
        await ensure_columns(connection)
    assert {row["name"] for row in await fetch(database_url, STATE) if row["enabled"]} == TABLES.keys()
    assert sorted(row["name"] for row in await fetch(database_url, POLICIES)) == sorted(TABLES)
    config = (
        "SELECT config->>'compress_after' AS after FROM timescaledb_information.jobs WHERE hypertable_name = 'fixes'"
    )
    assert [row["after"] for row in await fetch(database_url, config)] == ["90 days"]


async def test_what_comes_in_bulk_is_packed_at_once_and_once(packing: Pool, database_url: str) -> None:
    store = Store(packing)
    stored = await store.commit([arrival(0), arrival(1)])
    assert (stored.batches, stored.samples) == (2, 4_000)
    assert [row["name"] for row in await fetch(database_url, PACKED)] == ["samples"]
    assert (await store.commit([arrival(0), arrival(2)])).batches == 1
    assert await count(database_url) == 6_000
    values = await fetch(
        database_url,
        "SELECT value FROM samples s JOIN signals n ON n.id = signal_id WHERE n.name = 'M.A' ORDER BY ts",
    )
    assert [row["value"] for row in values] == [float(seq + index) for seq in range(3) for index in range(1_000)]


async def test_few_of_a_signal_stay_rows(packing: Pool, database_url: str) -> None:
    await Store(packing).commit([arrival(0, rows=10)])
    assert await fetch(database_url, PACKED) == []


async def test_late_rows_and_erasure_meet_what_is_packed(community: Pool, database_url: str) -> None:
    store = Store(community)
    await store.commit([arrival(seq, rows=20_000) for seq in range(3)])
    await fetch(database_url, PACK)
    assert len(await fetch(database_url, PACKED)) == 1
    await store.commit([arrival(3, rows=50, t0_ms=T0_MS + 5)])
    assert await count(database_url) == 120_100
    low, high = (datetime.fromtimestamp((T0_MS + minutes * 60_000) / 1000, UTC) for minutes in (0, 9.5))
    async with community.acquire() as connection:
        vehicle = await connection.fetchval("SELECT id FROM vehicles")
        number = await order(connection, vehicle, begin=low, end=high, actor="test")
        await carry_out(connection, number)
    assert await count(database_url) == 2 * (
        60_000 - 57_000
    )  # of each signal 9.5 minutes of 100 a second, and all that came late
    await assert_counts_agree(database_url)


async def test_retention_deletes_from_and_drops_what_is_packed(community: Pool, database_url: str) -> None:
    store = Store(community)
    await store.commit([arrival(0, rows=60_000), arrival(1, rows=10, t0_ms=T0_MS + 19 * DAY_MS)])
    await fetch(database_url, PACK)
    async with community.acquire() as connection:
        fleet = await fleet_named(connection, "default")
        await set_retention(connection, fleet, "samples", timedelta(days=10))
        await enforce(connection, datetime.now(UTC), community=True)
    assert await count(database_url) == 20
    await assert_counts_agree(database_url)
