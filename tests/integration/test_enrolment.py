"""One-time codes: made by the API or the command, exchanged at ingest, once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from click.testing import CliRunner

from cloud.access import accounts, invites
from cloud.access.invites import Enrolled, Reason, Refusal
from cloud.database import connect
from edge.service.enrol import enrol
from fleetwire.admin import admin
from tests.running import Sender, running_ingest, settings

pytestmark = pytest.mark.services

DAY = timedelta(days=1)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await connect(database_url)
    yield connection
    await connection.close()


async def test_code_is_good_once_however_it_is_typed(db: asyncpg.Connection[Any]) -> None:
    made = await invites.invite_vehicle(db, "truck-1", valid=DAY)
    typed = f" {made.code.lower().replace('0', 'o').replace('1', 'l').replace('-', ' ')} "
    done = await invites.redeem(db, typed)
    assert isinstance(done, Enrolled)
    device = await accounts.device(db, done.token)
    assert device is not None
    assert device.vehicle == done.vehicle == "truck-1"
    assert await invites.redeem(db, made.code) == Refusal(Reason.USED)
    stored = await db.fetch("SELECT encode(hash, 'escape') AS hash FROM invites")
    assert made.code not in str(stored)
    audited = await db.fetch("SELECT actor, action FROM audit_log")
    assert [tuple(row) for row in audited] == [("vehicle:truck-1", "device_token.enroll")]


async def test_of_many_at_once_one_gets_the_token(db: asyncpg.Connection[Any], database_url: str) -> None:
    made = await invites.invite_vehicle(db, "truck-1", valid=DAY)
    async with asyncpg.create_pool(database_url, min_size=8, max_size=8) as pool:
        outcomes = await asyncio.gather(*(invites.redeem(pool, made.code) for _ in range(16)))
    assert sum(isinstance(outcome, Enrolled) for outcome in outcomes) == 1
    assert await db.fetchval("SELECT count(*) FROM credentials") == 1


async def test_code_that_is_no_longer_good_is_refused(db: asyncpg.Connection[Any]) -> None:
    expired = await invites.invite_vehicle(db, "truck-1", valid=DAY)
    await db.execute("UPDATE invites SET expires_at = now() - interval '1 second'")
    withdrawn = await invites.invite_vehicle(db, "truck-2", valid=DAY)
    foreign = await invites.invite_vehicle(db, "truck-3", valid=DAY)
    await accounts.revoke_devices(db, "truck-2")
    assert await invites.redeem(db, expired.code) == Refusal(Reason.EXPIRED)
    assert await invites.redeem(db, withdrawn.code) == Refusal(Reason.EXPIRED)
    assert await invites.redeem(db, foreign.code, vehicle="truck-1") == Refusal(Reason.OTHER_VEHICLE, "truck-3")
    assert isinstance(await invites.redeem(db, foreign.code, vehicle="truck-3"), Enrolled)
    for wrong in ("", "short", invites.make_code(), "U" * 20):
        assert await invites.redeem(db, wrong) == Refusal(Reason.UNKNOWN)
    assert await db.fetchval("SELECT count(*) FROM credentials") == 1


async def test_command_invites_and_the_agent_enrols(
    db: asyncpg.Connection[Any], database_url: str, redis_url: str, tmp_path: Path
) -> None:
    env = {"FLEETWIRE_DATABASE_URL": database_url, "FLEETWIRE_REDIS_URL": redis_url}
    arguments = ["vehicle", "invite", "truck-1", "--valid", "30m", "--json"]
    result = await asyncio.to_thread(CliRunner().invoke, admin, arguments, env=env)
    assert result.exit_code == 0, result.output
    made = json.loads(result.output)
    async with running_ingest(settings(database_url, redis_url)) as address:
        done = await enrol(made["code"], url=address, config=tmp_path / "edge.toml")
        assert done.vehicle == made["vehicle"] == "truck-1"
        async with Sender(address, done.token_file.read_text().strip()) as sender:
            assert (await sender.send([]))[0] == 200
    assert [row["action"] for row in await db.fetch("SELECT action FROM audit_log ORDER BY id")] == [
        "vehicle.invite",
        "device_token.enroll",
    ]


@pytest.mark.parametrize(("valid", "message"), [("soon", "write 30m, 24h or 7d"), ("365d", "out of bounds")])
def test_duration_that_is_none_is_refused(valid: str, message: str) -> None:
    result = CliRunner().invoke(admin, ["vehicle", "invite", "a", "--valid", valid])
    assert result.exit_code == 2
    assert message in result.output


async def test_refusals_are_said_counted_and_slowed_down(
    db: asyncpg.Connection[Any], database_url: str, redis_url: str
) -> None:
    used = (await invites.invite_vehicle(db, "truck-1", valid=DAY)).code
    async with running_ingest(settings(database_url, redis_url)) as address, aiohttp.ClientSession(address) as http:

        async def post(body: object, expect: int) -> Any:
            async with http.post("/v1/enroll", data=json.dumps(body)) as response:
                reply = await response.json(content_type=None)
                assert response.status == expect, reply
                assert response.content_type == ("application/json" if expect == 200 else "application/problem+json")
                return reply

        assert (await post({"code": used}, 200))["token"].startswith("fwd_")
        assert "has been used" in (await post({"code": used}, 410))["detail"]
        assert "no such code" in (await post({"code": "nonsense"}, 404))["detail"]
        for body in ({}, [], {"code": 7}, {"code": used, "vehicle": "no vehicle"}):
            await post(body, 422)
        await post({"code": "x" * 2000}, 413)
        for _ in range(3):
            await post({"code": "nonsense"}, 404)
        assert "try again in" in (await post({"code": "nonsense"}, 429))["detail"]
        async with http.get("/metrics") as response:
            counted = await response.text()
    for outcome, count in {"enrolled": 1, "used": 1, "unknown": 4, "throttled": 1}.items():
        assert f'fleetwire_ingest_enrolments_total{{outcome="{outcome}"}} {count}.0' in counted
