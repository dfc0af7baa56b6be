"""One-time codes with which a vehicle's agent gets a device token of its own.

A code is 20 characters of Crockford's base 32, 100 random bits, written in four groups. Letters that look like digits
are read as those, small ones as large, so that it can be read out over the telephone. Only its hash is kept.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cloud.access.accounts import DEFAULT_FLEET, DEVICE_TOKEN, register_vehicles, token_hash
from cloud.access.mosquitto_password import password_hash
from cloud.database import Executor
from cloud.queries import load

SHORTEST: Final = timedelta(minutes=1)
LONGEST: Final = timedelta(days=30)

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_GROUPS, _GROUP = 4, 5
_LOOKALIKES: Final = str.maketrans("OIL", "011")
_SQL = load("invites")


@dataclass(frozen=True)
class Invite:
    code: str
    expires_at: datetime


@dataclass(frozen=True)
class Enrolled:
    vehicle: str
    token: str


class Reason(StrEnum):
    """Why a code is good for nothing."""

    UNKNOWN = "unknown"
    USED = "used"
    EXPIRED = "expired"
    OTHER_VEHICLE = "other_vehicle"


@dataclass(frozen=True)
class Refusal:
    """`vehicle` is whose code it is, where it is not the one that asks."""

    reason: Reason
    vehicle: str | None = None


async def invite_vehicle(db: Executor, vehicle: str, *, valid: timedelta, fleet: str = DEFAULT_FLEET) -> Invite:
    """Registers the vehicle if it is not yet known. Raises AccountError for what is no vehicle id or fleet."""
    await register_vehicles(db, [vehicle], fleet=fleet)
    return await add_invite(db, await db.fetchval(_SQL["vehicle"], vehicle), valid=valid)


async def add_invite(db: Executor, vehicle_id: int, *, valid: timedelta) -> Invite:
    """A further code; earlier ones stay in force."""
    code = make_code()
    return Invite(code, await db.fetchval(_SQL["invite"], vehicle_id, token_hash(normalise(code) or ""), valid))


async def redeem(db: Executor, code: str, *, vehicle: str | None = None) -> Enrolled | Refusal:
    """The device token for a code, given once, whoever else comes at the same time; to no other than `vehicle`."""
    plain = normalise(code)
    if plain is None:
        return Refusal(Reason.UNKNOWN)
    token = DEVICE_TOKEN + secrets.token_urlsafe(32)
    ident = await db.fetchval(_SQL["redeem"], token_hash(plain), token_hash(token), vehicle, password_hash(token))
    if ident is not None:
        return Enrolled(ident, token)
    known = await db.fetchrow(_SQL["look"], token_hash(plain))
    if known is None:
        return Refusal(Reason.UNKNOWN)
    if known["used"]:
        return Refusal(Reason.USED)
    return Refusal(Reason.EXPIRED) if known["expired"] else Refusal(Reason.OTHER_VEHICLE, known["ident"])


def make_code() -> str:
    """`XXXXX-XXXXX-XXXXX-XXXXX`."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))


def normalise(code: str) -> str | None:
    """The 20 characters of a code as somebody may type it; None for what cannot be one."""
    plain = re.sub(r"[\s-]", "", code).upper().translate(_LOOKALIKES)
    return plain if len(plain) == _GROUPS * _GROUP and set(plain) <= set(_ALPHABET) else None
