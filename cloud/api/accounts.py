"""Who may use the fleet: users, API tokens and the vehicles' device tokens. Every change goes to the audit log."""

import json
import secrets
from datetime import timedelta
from typing import Any

import asyncpg

from cloud.access import accounts, invites
from cloud.api.call import SQL, Call, vehicle_id
from cloud.api.query import InviteQuery, Query
from cloud.api.replies import DeviceToken, Invite, IssuedToken, NewToken, NewUser, Token, Tokens, User, Users
from cloud.api.times import to_ms
from cloud.errors import AccountError
from cloud.problem import Problem


async def list_users(call: Call[Query, None]) -> Users:
    rows = await call.db.fetch(SQL["users"], call.fleet_id)
    return Users(users=[User(name=row["name"], role=row["role"], created_at=to_ms(row["created_at"])) for row in rows])


async def add_user(call: Call[Query, NewUser]) -> User:
    new = call.body
    try:
        await accounts.add_user(
            call.db, new.name, new.password.get_secret_value(), role=new.role, fleet=await _fleet(call)
        )
    except AccountError as error:
        raise Problem(409, str(error)) from error
    await _audit(call, "user.add", name=new.name, role=new.role)
    return User(name=new.name, role=new.role, created_at=to_ms(call.now))


async def delete_user(call: Call[Query, None]) -> None:
    name = call.path["name"]
    if await call.db.fetchval(SQL["delete_user"], call.fleet_id, name) is None:
        if await call.db.fetchval(SQL["user_exists"], call.fleet_id, name):
            raise Problem(409, f"'{name}' is the last admin; make another one first")
        raise Problem(404, f"there is no user '{name}'; GET /v1/users lists them")
    await _audit(call, "user.delete", name=name)


async def list_tokens(call: Call[Query, None]) -> Tokens:
    rows = await call.db.fetch(SQL["tokens"], call.fleet_id)
    return Tokens(tokens=[_token(row) for row in rows])


async def add_token(call: Call[Query, NewToken]) -> IssuedToken:
    new = call.body
    try:
        token = await accounts.add_token(call.db, new.name, role=new.role, fleet=await _fleet(call))
    except AccountError as error:
        raise Problem(409, str(error)) from error
    await _audit(call, "token.add", name=new.name, role=new.role)
    return IssuedToken(name=new.name, role=new.role, token=token)


async def revoke_token(call: Call[Query, None]) -> None:
    name = call.path["name"]
    if await call.db.fetchval(SQL["revoke_token"], call.fleet_id, name) is None:
        raise Problem(404, f"there is no token '{name}' in force; GET /v1/tokens lists them")
    await _audit(call, "token.revoke", name=name)


async def add_device_token(call: Call[Query, None]) -> DeviceToken:
    vehicle = await vehicle_id(call)
    token = accounts.DEVICE_TOKEN + secrets.token_urlsafe(32)
    await call.db.execute(SQL["add_credential"], vehicle, accounts.token_hash(token))
    await _audit(call, "device_token.add", vehicle=call.path["id"])
    return DeviceToken(vehicle=call.path["id"], token=token)


async def revoke_device_tokens(call: Call[Query, None]) -> None:
    ended = await call.db.fetch(SQL["revoke_credentials"], await vehicle_id(call))
    await _audit(call, "device_token.revoke", vehicle=call.path["id"], tokens=len(ended))


async def add_invite(call: Call[InviteQuery, None]) -> Invite:
    made = await invites.add_invite(call.db, await vehicle_id(call), valid=timedelta(seconds=call.query.valid_s))
    await _audit(call, "vehicle.invite", vehicle=call.path["id"])
    return Invite(vehicle=call.path["id"], code=made.code, expires_at=to_ms(made.expires_at))


async def _fleet(call: Call[Any, Any]) -> str:
    name: str = await call.db.fetchval(SQL["fleet_name"], call.fleet_id)
    return name


async def _audit(call: Call[Any, Any], action: str, **data: object) -> None:
    await call.db.execute(SQL["audit"], call.principal.name, action, json.dumps(data))


def _token(row: asyncpg.Record) -> Token:
    return Token(
        name=row["name"],
        role=row["role"],
        created_at=to_ms(row["created_at"]),
        last_used_at=to_ms(row["last_used_at"]) if row["last_used_at"] else None,
    )
