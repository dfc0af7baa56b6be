"""Users, tokens and vehicles in the database, and the commands that make them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner, Result

from cloud.access import accounts
from cloud.database import connect
from cloud.errors import AccountError
from fleetwire.admin import admin

pytestmark = pytest.mark.services


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await connect(database_url)
    yield connection
    await connection.close()


async def test_user_signs_in_with_the_password_only(db: asyncpg.Connection[Any]) -> None:
    await accounts.add_user(db, "ann", "right", role="admin")
    user = await accounts.authenticate(db, "ann", "right")
    assert user is not None
    assert (user.name, user.role) == ("ann", "admin")
    assert await accounts.authenticate(db, "ann", "wrong") is None
    assert await accounts.authenticate(db, "bob", "right") is None
    assert "right" not in await db.fetchval("SELECT password_hash FROM users")


async def test_new_password_ends_sessions(db: asyncpg.Connection[Any]) -> None:
    await accounts.add_user(db, "ann", "old", role="viewer")
    await db.execute("INSERT INTO sessions (hash, user_id, expires_at) SELECT 'x', id, 'infinity' FROM users")
    await accounts.set_password(db, "ann", "new")
    assert await accounts.authenticate(db, "ann", "old") is None
    assert await accounts.authenticate(db, "ann", "new") is not None
    assert await db.fetchval("SELECT count(*) FROM sessions") == 0


async def test_token_is_in_force_until_it_is_revoked(db: asyncpg.Connection[Any]) -> None:
    token = await accounts.add_token(db, "reports", role="viewer")
    found = await accounts.api_token(db, token)
    assert found is not None
    assert (found.name, found.role) == ("reports", "viewer")
    with pytest.raises(AccountError, match="already"):
        await accounts.add_token(db, "reports", role="viewer")
    await accounts.revoke_token(db, "reports")
    assert await accounts.api_token(db, token) is None
    await accounts.add_token(db, "reports", role="viewer")


async def test_vehicle_added_twice_is_one_vehicle_with_two_tokens(db: asyncpg.Connection[Any]) -> None:
    made = await accounts.add_vehicles(db, ["truck-1", "truck-2", "truck-1"])
    devices = [await accounts.device(db, token) for _, token in made]
    assert [device.vehicle for device in devices if device] == ["truck-1", "truck-2", "truck-1"]
    assert await db.fetchval("SELECT count(*) FROM vehicles") == 2
    assert await accounts.revoke_devices(db, "truck-1") == 2
    assert await accounts.device(db, made[0][1]) is None
    assert await accounts.device(db, made[1][1]) is not None


@pytest.mark.parametrize("vehicle", ["", "a b", "-x", "x" * 65, "ä", "x\n"])
async def test_vehicle_id_that_the_wire_does_not_allow_is_refused(db: asyncpg.Connection[Any], vehicle: str) -> None:
    with pytest.raises(AccountError, match="no vehicle id"):
        await accounts.add_vehicles(db, [vehicle])


def run(database_url: str, *arguments: str, given: str | None = None) -> Result:
    env = {"FLEETWIRE_DATABASE_URL": database_url, "FLEETWIRE_REDIS_URL": "redis://127.0.0.1:1"}
    return CliRunner().invoke(admin, list(arguments), env=env, input=given)


def test_commands_make_what_they_say(database_url: str) -> None:
    for arguments, given in (
        (("user", "add", "ann", "--role", "admin", "--password-stdin"), "secret\n"),
        (("user", "password", "ann", "--password-stdin"), "other\n"),
        (("fleet", "add", "north"), None),
    ):
        assert run(database_url, *arguments, given=given).exit_code == 0
    lines = run(database_url, "vehicle", "add", "a", "b", "--fleet", "north", "--json").output.splitlines()
    assert [json.loads(line)["vehicle"] for line in lines] == ["a", "b"]
    assert all(json.loads(line)["token"].startswith("fwd_") for line in lines)
    token = json.loads(run(database_url, "token", "add", "t", "--role", "admin", "--json").output)
    assert token["token"].startswith("fwt_")
    assert json.loads(run(database_url, "fleet", "list", "--json").output.splitlines()[1]) == {
        "name": "north",
        "vehicles": 2,
    }
    assert run(database_url, "user", "list").output.startswith("ann  admin  default")
    assert run(database_url, "token", "revoke", "t").exit_code == 0
    assert run(database_url, "token", "list").output == ""


async def test_commands_leave_an_entry_in_the_audit_log(db: asyncpg.Connection[Any], database_url: str) -> None:
    await asyncio.to_thread(run, database_url, "vehicle", "add", "a")
    await asyncio.to_thread(run, database_url, "vehicle", "add", "not one")
    rows = await db.fetch("SELECT actor, action, data FROM audit_log")
    assert [tuple(row) for row in rows] == [("command line", "device_token.add", '{"vehicles": ["a"]}')]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("user", "password", "nobody", "--password-stdin"), "there is no user 'nobody'"),
        (("token", "revoke", "nothing"), "there is no token 'nothing' in force"),
        (("vehicle", "add", "a b"), "'a b' is no vehicle id"),
        (("vehicle", "add", "a", "--fleet", "nowhere"), "there is no fleet 'nowhere'"),
        (("vehicle", "revoke", "a"), "no token in force"),
    ],
)
def test_mistake_is_said_in_one_line(database_url: str, arguments: tuple[str, ...], message: str) -> None:
    result = run(database_url, *arguments, given="x\n")
    assert result.exit_code == 1
    assert message in result.output
    assert len(result.output.splitlines()) == 1


def test_database_without_schema_says_what_to_do(empty_database_url: str) -> None:
    assert "fleetwire migrate" in run(empty_database_url, "user", "list").output
