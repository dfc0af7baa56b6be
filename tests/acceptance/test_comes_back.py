"""Every process is killed once while data flows, and Redis is wiped: nothing is lost, nothing is there twice."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import asyncpg
import pytest
import redis

from tests.acceptance.api import Api
from tests.acceptance.conftest import System, running_system, wait_until

pytestmark = [pytest.mark.services]

VICTIMS = ["agent", "ingest", "writer", "web", "redis", "postgres", "fleet"]
BACK_WITHIN_S = 60.0


@pytest.mark.xdist_group("system")
def test_everything_comes_back_and_the_ledger_is_complete() -> None:
    with running_system("--demo", "--vehicles", "3") as system:
        api = Api(system.run["web"], system.run["admin_token"])
        wait_until(lambda: len(_stored(api)) == 4, within_s=60, what="all four vehicles have stored data")
        for victim in VICTIMS:
            _kill(system, victim)
            _flows_again(system, after=f"kill -9 of {victim}")
        with redis.Redis.from_url(system.run["redis_url"]) as client:
            client.flushall()
        _flows_again(system, after="FLUSHALL")
        for vehicle in _stored(api):
            _ends_complete(api, vehicle)
        asyncio.run(_agrees_with_the_rows(system.run["database_url"]))


def _kill(system: System, name: str) -> None:
    before = system.run["pids"]
    os.kill(before[name], signal.SIGKILL)
    wait_until(
        lambda: system.run["pids"].get(name) not in (None, before[name]),
        within_s=BACK_WITHIN_S,
        what=f"{name} was restarted and run.json says so",
    )


def _flows_again(system: System, *, after: str) -> None:
    """Every vehicle's stored samples grow again."""
    api = Api(system.run["web"], system.run["admin_token"])
    wait_until(lambda: _answers(api), within_s=BACK_WITHIN_S, what=f"the API answers after {after}")
    before = _stored(api)
    wait_until(
        lambda: all(count > before[vehicle] for vehicle, count in _stored(api).items()),
        within_s=BACK_WITHIN_S,
        what=f"every vehicle's data flows after {after}",
    )


def _answers(api: Api) -> bool:
    try:
        return len(api.vehicles()) > 0
    except OSError:
        return False


def _stored(api: Api) -> dict[str, int]:
    """Stored samples and fixes by vehicle; empty while the API cannot be asked."""
    try:
        streams = {vehicle: api.completeness(vehicle) for vehicle in api.vehicles()}
    except OSError:
        return {}
    counts = {vehicle: sum(row["samples"] + row["fixes"] for row in rows) for vehicle, rows in streams.items()}
    return {vehicle: count for vehicle, count in counts.items() if count}


def _ends_complete(api: Api, vehicle: str) -> None:
    """Every gap that is there now closes, and nothing was declared lost."""
    rows = {row["stream"]: row for row in api.completeness(vehicle)}

    def closed() -> bool:
        now = {row["stream"]: row for row in api.completeness(vehicle)}
        return all(
            _covers(now[stream]["received"], [0, row["next"] - 1]) for stream, row in rows.items() if row["next"]
        )

    wait_until(closed, within_s=90, what=f"every seq of {vehicle} that was drawn is received")
    assert not any(row["lost"] or row["dead"] for row in api.completeness(vehicle))


def _covers(ranges: list[list[int]], wanted: list[int]) -> bool:
    return any(low <= wanted[0] and wanted[1] <= high for low, high in ranges)


async def _agrees_with_the_rows(database_url: str) -> None:
    """The ledger's counts are those of the rows, in one snapshot."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for table, column in (("samples", "samples"), ("fixes", "fixes"), ("device_events", "events")):
                rows = await _counts(connection, f"SELECT vehicle_id, count(*) FROM {table} GROUP BY 1")
                ledger = await _counts(
                    connection,
                    f"SELECT vehicle_id, sum({column})::bigint FROM ledger GROUP BY 1 HAVING sum({column}) > 0",
                )
                assert rows == ledger, table
    finally:
        await connection.close()


async def _counts(connection: asyncpg.Connection[Any], query: str) -> dict[int, int]:
    return {row[0]: row[1] for row in await connection.fetch(query)}
