"""Who sends: device tokens, remembered so that known vehicles go on while the database is down."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import asyncpg
from aiohttp import hdrs

from cloud.access import accounts, osmand
from cloud.access.accounts import DEVICE_TOKEN, Device, token_hash
from cloud.database import QUICK_S, UNAVAILABLE, Executor, Pool
from cloud.ingest.ledgers import REST_S
from cloud.ingest.retry import try_again
from cloud.problem import Problem
from cloud.together import Together

FRESH_S: Final = 30.0
AT_ONCE: Final = 500
REMEMBERED: Final = 200_000
STRANGERS_REMEMBERED: Final = 10_000

_Key = bytes | str | tuple[str, str]
"""The hash of a token, the name of a vehicle, or an identifier."""
_Find = Callable[[Executor, Sequence[Any]], Awaitable[Mapping[Any, Device]]]
_Asking = Together[bytes | str, Device | Exception | None]


class Devices:
    """A revoked token is refused after FRESH_S at the latest, unless the database is down."""

    def __init__(self, pool: Pool, *, now_s: Callable[[], float]) -> None:
        self._pool = pool
        self._now_s = now_s
        self._known: dict[_Key, tuple[Device, float]] = {}
        self._unknown: dict[str, float] = {}
        self._down: Exception | None = None
        self._down_until_s = 0.0
        finds: Sequence[_Find] = (accounts.devices, accounts.devices_of, osmand.devices)
        self._tokens, self._vehicles, self._reporters = (
            _Asking(partial(self._find_all, find), at_once=AT_ONCE) for find in finds
        )

    async def run(self) -> None:
        """Until cancelled; without it nobody is looked up."""
        async with asyncio.TaskGroup() as tasks:
            for asking in (self._tokens, self._vehicles, self._reporters):
                tasks.create_task(asking.run())

    async def identify(self, authorization: str | None) -> Device:
        """Raises Problem 401, or 503 for an unknown token while the database cannot be asked."""
        token = _token_in(authorization)
        if token is None:
            raise _unauthorized(f"send 'Authorization: Bearer {DEVICE_TOKEN}…', the vehicle's device token")
        key = token_hash(token)
        return await self._look(key, self._tokens, key)

    def identify_at_once(self, authorization: str | None) -> Device | None:
        """Who sends, where the database need not be asked."""
        token = _token_in(authorization)
        return None if token is None else self._fresh(token_hash(token))

    def knows(self, authorization: str | None) -> bool:
        """Whether that token was in force when it was last looked at."""
        token = _token_in(authorization)
        return token is not None and token_hash(token) in self._known

    async def admits(self, authorization: str | None) -> bool:
        """Whether `identify` raises nothing."""
        try:
            await self.identify(authorization)
        except Problem:
            return False
        return True

    async def vouched_for(self, vehicle: str) -> Device:
        """A vehicle that the MQTT broker has authenticated. Raises the same."""
        return await self._look(vehicle, self._vehicles, vehicle)

    async def reporting_as(self, ident: str) -> Device:
        """The vehicle that reports under this identifier, which is all it has. Raises Problem 404 or 503."""
        if (until_s := self._unknown.get(ident)) is not None and self._now_s() < until_s:
            raise _nobody(ident)
        try:
            return await self._look(("osmand", ident), self._reporters, ident)
        except Problem as problem:
            if problem.status != 401:
                raise
            if len(self._unknown) >= STRANGERS_REMEMBERED:
                self._unknown.clear()
            self._unknown[ident] = self._now_s() + FRESH_S
            raise _nobody(ident) from problem

    def _fresh(self, key: _Key) -> Device | None:
        device, asked_s = self._known.get(key, (None, 0.0))
        return device if device is not None and self._now_s() - asked_s < FRESH_S else None

    async def _look(self, key: _Key, asking: _Asking, wanted: bytes | str) -> Device:
        if (fresh := self._fresh(key)) is not None:
            return fresh
        remembered, _ = self._known.get(key, (None, 0.0))
        found = await asking.ask(wanted)
        if isinstance(found, Exception):
            if remembered is None:
                raise try_again("the database cannot be asked whether this token is in force") from found
            return remembered
        self._known.pop(key, None)
        if found is None:
            raise _unauthorized("no such device token is in force; 'fleetwire admin vehicle add ID' makes one")
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[key] = (found, self._now_s())
        return found

    async def _find_all(self, find: _Find, wanted: Sequence[bytes | str]) -> Sequence[Device | Exception | None]:
        if self._down is not None and self._now_s() < self._down_until_s:
            return [self._down] * len(wanted)  # who came while that was found out does not find it out again
        try:
            async with asyncio.timeout(QUICK_S), self._pool.acquire(timeout=QUICK_S) as connection:
                found = await find(connection, wanted)
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            self._down, self._down_until_s = error, self._now_s() + REST_S
            return [error] * len(wanted)
        return [found.get(one) for one in wanted]


def _token_in(authorization: str | None) -> str | None:
    scheme, _, rest = (authorization or "").partition(" ")
    token = rest.strip()
    return token if scheme.lower() == "bearer" and token.startswith(DEVICE_TOKEN) else None


def _unauthorized(detail: str) -> Problem:
    return Problem(401, detail, headers={hdrs.WWW_AUTHENTICATE: 'Bearer realm="fleetwire"'})


def _nobody(ident: str) -> Problem:
    shown = ident[:64]
    return Problem(404, f"no vehicle reports as '{shown}'; 'fleetwire admin vehicle osmand ID' lets one do so")
