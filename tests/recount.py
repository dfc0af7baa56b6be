"""Whether what the ledger and the tallies say of a vehicle is what a count of the rows gives, in one snapshot."""

import asyncpg

_TABLES = {"samples": "samples", "fixes": "fixes", "events": "device_events", "frames": "frames"}


async def assert_counts_agree(database_url: str) -> None:
    """For every vehicle and kind of row; and as many dead letters as numbers that are dead."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for kind, table in _TABLES.items():
                said = await _by_vehicle(
                    connection,
                    f"SELECT vehicle_id, {kind} AS n FROM ledger UNION ALL"
                    f" SELECT vehicle_id, CASE what WHEN 'unnumbered' THEN {kind} ELSE -{kind} END FROM tallies",
                )
                found = await _by_vehicle(connection, f"SELECT vehicle_id, 1 AS n FROM {table}")
                assert said == found, kind
            dead = await _by_vehicle(
                connection,
                "SELECT vehicle_id, upper(r) - lower(r) AS n FROM ledger, unnest(dead) AS r",
            )
            assert dead == await _by_vehicle(connection, "SELECT vehicle_id, 1 AS n FROM dead_letters")
    finally:
        await connection.close()


async def _by_vehicle(connection: asyncpg.Connection, query: str) -> dict[int, int]:
    rows = await connection.fetch(f"SELECT vehicle_id, sum(n)::bigint AS n FROM ({query}) AS q GROUP BY 1")
    return {row["vehicle_id"]: row["n"] for row in rows if row["n"]}
