"""Signal catalogs: which the cloud has, and taking in those it lacks."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Final

import asyncpg
from pydantic import ValidationError
from pydantic_core import to_json

from cloud.database import QUICK_S, UNAVAILABLE, Pool, is_about_the_data
from cloud.ingest.retry import try_again
from cloud.problem import Problem
from cloud.queries import load
from wire.catalog import Catalog, canonical_json, catalog_hash
from wire.codec import CodecError, describe, parse_json

ASK_AGAIN_S: Final = 1.0
"""Another ingest process may have taken a catalog in meanwhile."""
REMEMBERED: Final = 10_000
"""Catalogs of which it is known, of either kind, whether they are there; then all are asked for anew."""

_SQL = load("ingest")


class Catalogs:
    """Remembers what is there, up to a bound; catalogs are never deleted."""

    def __init__(self, pool: Pool, *, now_s: Callable[[], float]) -> None:
        self._pool = pool
        self._now_s = now_s
        self._known: set[tuple[int, str]] = set()
        self._asked_s: dict[tuple[int, str], float] = {}
        self._epoch: str | None = None

    async def lacking(self, fleet_id: int, hashes: Iterable[str]) -> tuple[str, ...]:
        """Those that the fleet has not got; nothing while the database cannot be asked."""
        unknown = self._unknown(fleet_id, hashes)
        asked = self._to_ask(fleet_id, unknown)
        if asked:
            if len(self._asked_s) > REMEMBERED:
                self._asked_s.clear()
            self._asked_s.update(((fleet_id, hash), self._now_s()) for hash in asked)
            try:
                async with asyncio.timeout(QUICK_S), self._pool.acquire(timeout=QUICK_S) as connection:
                    rows = await connection.fetch(_SQL["known_catalogs"], fleet_id, asked)
            except (*UNAVAILABLE, asyncpg.PostgresError):
                return ()
            found = {row["hash"] for row in rows}
            self._remember(fleet_id, found)
            unknown -= found
        return tuple(sorted(self._unknown(fleet_id, unknown)))

    def known_lacking(self, fleet_id: int, hashes: Iterable[str]) -> tuple[str, ...] | None:
        """The same without asking; None where that would be needed."""
        unknown = self._unknown(fleet_id, hashes)
        if not unknown:
            return ()
        return None if self._to_ask(fleet_id, unknown) else tuple(sorted(unknown))

    def watch(self, epoch: str) -> None:
        """Forgets what was there when the database says that it may be an older one."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._known.clear()

    async def put(self, fleet_id: int, hash: str, body: bytes) -> None:
        """Raises Problem 400, 422 or 503."""
        catalog = await asyncio.to_thread(read_catalog, hash, body)
        signals = {signal.name: signal for signal in catalog.signals}.values()
        columns = (
            [signal.name for signal in signals],
            [signal.unit for signal in signals],
            [signal.min for signal in signals],
            [signal.max for signal in signals],
            [to_json(signal.choices).decode() if signal.choices else None for signal in signals],
        )
        try:
            async with self._pool.acquire(timeout=QUICK_S) as connection, connection.transaction():
                await connection.execute(_SQL["describe_signals"], fleet_id, *columns)
                await connection.execute(_SQL["add_catalog"], fleet_id, hash, body.decode())
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            if is_about_the_data(error):
                raise Problem(422, f"the catalog cannot be stored: {error}") from error
            raise try_again("the database cannot take the catalog now") from error
        self._remember(fleet_id, [hash])

    def _unknown(self, fleet_id: int, hashes: Iterable[str]) -> set[str]:
        return {hash for hash in hashes if (fleet_id, hash) not in self._known}

    def _to_ask(self, fleet_id: int, unknown: Iterable[str]) -> list[str]:
        """Those of which nobody was asked a moment ago."""
        since_s = self._now_s() - ASK_AGAIN_S
        return [hash for hash in unknown if self._asked_s.get((fleet_id, hash), since_s) <= since_s]

    def _remember(self, fleet_id: int, hashes: Collection[str]) -> None:
        if len(self._known) + len(hashes) > REMEMBERED:
            self._known.clear()
            self._asked_s.clear()
        self._known.update((fleet_id, hash) for hash in hashes)


def read_catalog(hash: str, body: bytes) -> Catalog:
    """Raises Problem 400 or 422."""
    try:
        value = parse_json(body)
    except CodecError as error:
        raise Problem(400, error.problem) from error
    try:
        found = catalog_hash(canonical_json(value))
    except ValueError as error:
        raise Problem(422, "a number is too large") from error
    if hash not in (catalog_hash(body), found):
        raise Problem(
            422, f"the body's hash is {found} and the address says {hash}: it is SHA-256 of the canonical JSON"
        )
    try:
        return Catalog.model_validate(value)
    except ValidationError as error:
        raise Problem(422, describe(error)) from error
