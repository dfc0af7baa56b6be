"""Users, API tokens, and vehicles with their device tokens.

Passwords are kept as scrypt hashes. Tokens are 256 random bits, so that their plain SHA-256 is enough.
"""

import asyncio
import hashlib
import hmac
import json
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from cloud.access.mosquitto_password import password_hash
from cloud.database import Executor
from cloud.errors import AccountError
from cloud.queries import load
from wire.names import is_vehicle

ROLES = ("admin", "dispatcher", "viewer")
API_TOKEN = "fwt_"
DEVICE_TOKEN = "fwd_"
DEFAULT_FLEET = "default"

_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**14, 8, 1
_SQL = load("admin")


@dataclass(frozen=True)
class User:
    id: int
    fleet_id: int
    name: str
    role: str


@dataclass(frozen=True)
class ApiToken:
    id: int
    fleet_id: int
    name: str
    role: str


@dataclass(frozen=True)
class Device:
    """The vehicle that a device token speaks for."""

    vehicle_id: int
    fleet_id: int
    vehicle: str


async def add_user(db: Executor, name: str, password: str, *, role: str, fleet: str = DEFAULT_FLEET) -> None:
    """Raises AccountError when the name is taken or the fleet unknown."""
    _check_name(name, "user")
    await _check_role_and_fleet(db, role, fleet)
    hashed = await asyncio.to_thread(hash_password, password)
    if await db.fetchval(_SQL["add_user"], name, hashed, role, fleet) is None:
        raise AccountError(f"there is a user '{name}' already; 'fleetwire admin user password {name}' changes it")


async def set_password(db: Executor, name: str, password: str) -> None:
    """Ends the user's sessions. Raises AccountError when there is no such user."""
    hashed = await asyncio.to_thread(hash_password, password)
    if await db.fetchval(_SQL["set_password"], name, hashed) is None:
        raise AccountError(f"there is no user '{name}'")


async def authenticate(db: Executor, name: str, password: str) -> User | None:
    """Takes as long for an unknown name as for a wrong password."""
    row = await db.fetchrow(_SQL["user_by_name"], name)
    stored = row["password_hash"] if row else _NOBODY
    if not await asyncio.to_thread(verify_password, password, stored) or row is None:
        return None
    return User(row["id"], row["fleet_id"], row["name"], row["role"])


async def add_token(db: Executor, name: str, *, role: str, fleet: str = DEFAULT_FLEET) -> str:
    """A new API token, which is nowhere kept in the clear. Raises AccountError when the name is taken."""
    _check_name(name, "token")
    await _check_role_and_fleet(db, role, fleet)
    token = API_TOKEN + secrets.token_urlsafe(32)
    if await db.fetchval(_SQL["add_token"], name, token_hash(token), role, fleet) is None:
        raise AccountError(f"there is a token '{name}' already; 'fleetwire admin token revoke {name}' ends it")
    return token


async def revoke_token(db: Executor, name: str) -> None:
    """Raises AccountError when no token of that name is in force."""
    if not await db.fetch(_SQL["revoke_token"], name):
        raise AccountError(f"there is no token '{name}' in force")


async def api_token(db: Executor, token: str) -> ApiToken | None:
    row = await db.fetchrow(_SQL["token_by_hash"], token_hash(token))
    return ApiToken(row["id"], row["fleet_id"], row["name"], row["role"]) if row else None


async def add_vehicles(db: Executor, vehicles: Sequence[str], *, fleet: str = DEFAULT_FLEET) -> list[tuple[str, str]]:
    """Registers what is not yet known and gives every one a new device token; returns (vehicle, token) in order."""
    await register_vehicles(db, vehicles, fleet=fleet)
    tokens = [DEVICE_TOKEN + secrets.token_urlsafe(32) for _ in vehicles]
    hashes = [token_hash(token) for token in tokens], [password_hash(token) for token in tokens]
    await db.execute(_SQL["add_credentials"], list(vehicles), *hashes)
    return list(zip(vehicles, tokens, strict=True))


async def register_vehicles(db: Executor, vehicles: Sequence[str], *, fleet: str = DEFAULT_FLEET) -> None:
    """What is known already stays as it is. Raises AccountError for what is no vehicle id, or no fleet."""
    for vehicle in vehicles:
        if not is_vehicle(vehicle):
            raise AccountError(f"'{vehicle}' is no vehicle id: 1 to 64 letters, digits or _ . : -, the first no sign")
    await _check_role_and_fleet(db, "viewer", fleet)
    await db.execute(_SQL["add_vehicles"], list(dict.fromkeys(vehicles)), fleet)


async def revoke_devices(db: Executor, vehicle: str) -> int:
    """Ends every device token of a vehicle, and its codes that nobody has used; how many tokens there were."""
    return len(await db.fetch(_SQL["revoke_credentials"], vehicle))


async def revoke_token_of_device(db: Executor, token: str) -> None:
    """Ends one device token; the vehicle's others stay in force."""
    await db.execute(_SQL["revoke_credential"], token_hash(token))


async def is_registered(db: Executor, vehicle: str) -> bool:
    return bool(await db.fetchval(_SQL["is_registered"], vehicle))


async def other_streams(db: Executor, vehicle: str, beginning: str, stream: str) -> bool:
    """Whether the ledger has streams of a vehicle that begin so, besides this one."""
    return bool(await db.fetchval(_SQL["other_streams"], vehicle, beginning, stream))


async def device(db: Executor, token: str) -> Device | None:
    key = token_hash(token)
    return (await devices(db, [key])).get(key)


async def devices(db: Executor, hashes: Sequence[bytes]) -> dict[bytes, Device]:
    """By the `token_hash` of those tokens that are in force."""
    return devices_by_key(await db.fetch(_SQL["devices_by_hash"], hashes))


async def devices_of(db: Executor, vehicles: Sequence[str]) -> dict[str, Device]:
    """Vehicles that somebody else has authenticated; those of which a device token is in force."""
    return devices_by_key(await db.fetch(_SQL["devices_by_vehicle"], vehicles))


def devices_by_key(rows: Iterable[asyncpg.Record]) -> dict[Any, Device]:
    return {row["key"]: Device(row["id"], row["fleet_id"], row["ident"]) for row in rows}


async def add_fleet(db: Executor, name: str) -> None:
    _check_name(name, "fleet")
    if await db.fetchval(_SQL["add_fleet"], name) is None:
        raise AccountError(f"there is a fleet '{name}' already")


async def audit(db: Executor, actor: str, action: str, data: Mapping[str, object]) -> None:
    """Who did what."""
    await db.execute(_SQL["audit"], actor, action, json.dumps(data))


async def list_users(db: Executor) -> list[asyncpg.Record]:
    return await db.fetch(_SQL["list_users"])


async def list_tokens(db: Executor) -> list[asyncpg.Record]:
    return await db.fetch(_SQL["list_tokens"])


async def list_vehicles(db: Executor) -> list[asyncpg.Record]:
    return await db.fetch(_SQL["list_vehicles"])


async def list_fleets(db: Executor) -> list[asyncpg.Record]:
    return await db.fetch(_SQL["list_fleets"])


def token_hash(token: str) -> bytes:
    """Of whatever came: aiohttp makes surrogates of header bytes that are no UTF-8."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def hash_password(password: str) -> str:
    """`scrypt$n$r$p$salt$hash`. Takes some 50 ms and 16 MB on purpose."""
    salt = secrets.token_bytes(16)
    derived = hashlib.scrypt(password.encode(), salt=salt, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P)
    return f"scrypt${_SCRYPT_N}${_SCRYPT_R}${_SCRYPT_P}${b64encode(salt).decode()}${b64encode(derived).decode()}"


def verify_password(password: str, stored: str) -> bool:
    _, n, r, p, salt, expected = stored.split("$")
    derived = hashlib.scrypt(password.encode(), salt=b64decode(salt), n=int(n), r=int(r), p=int(p))
    return hmac.compare_digest(derived, b64decode(expected))


_NOBODY = f"scrypt${_SCRYPT_N}${_SCRYPT_R}${_SCRYPT_P}${b64encode(bytes(16)).decode()}${b64encode(bytes(64)).decode()}"


def _check_name(name: str, what: str) -> None:
    if not name.strip() or name != name.strip() or len(name) > 100 or not name.isprintable():
        raise AccountError(f"'{name}' is no name for a {what}: 1 to 100 printable characters, no blanks around")


async def _check_role_and_fleet(db: Executor, role: str, fleet: str) -> None:
    if role not in ROLES:
        raise AccountError(f"there is no role '{role}'; roles are {', '.join(ROLES)}")
    if not await db.fetchval(_SQL["fleet_exists"], fleet):
        raise AccountError(f"there is no fleet '{fleet}'; 'fleetwire admin fleet add {fleet}' makes it")
