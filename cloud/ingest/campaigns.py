"""Which campaign a vehicle is meant to go by, for the replies, and the campaign itself."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg
import structlog

from cloud.campaigns import SQL
from cloud.database import QUICK_S, UNAVAILABLE, Pool
from cloud.ingest.retry import try_again
from cloud.problem import Problem
from cloud.together import Together
from wire.campaign import NO_CAMPAIGN

AT_ONCE: Final = 500
REMEMBERED: Final = 200_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Known:
    changes: str
    etag: str


class Campaigns:
    """Remembers each vehicle's etag until the database says that some vehicle's has changed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._questions = Together(self._answer_all, at_once=AT_ONCE)
        self._known: dict[int, _Known] = {}

    async def etag(self, vehicle_id: int, changes: str) -> str | None:
        """NO_CAMPAIGN for its own file; None while the database cannot be asked. `changes` was read before."""
        etag = self.known_etag(vehicle_id, changes)
        if etag is None:
            etag = await self._questions.ask(vehicle_id)
            if etag is None:
                return None
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[vehicle_id] = _Known(changes, etag)
        return etag

    def known_etag(self, vehicle_id: int, changes: str) -> str | None:
        """The same without asking; None where that would be needed."""
        known = self._known.get(vehicle_id)
        return known.etag if known is not None and known.changes == changes else None

    async def document(self, vehicle_id: int) -> bytes:
        """As it goes over the wire. Raises Problem 404 where there is none, or 503."""
        try:
            async with asyncio.timeout(QUICK_S), self._pool.acquire(timeout=QUICK_S) as connection:
                body: str | None = await connection.fetchval(SQL["document"], vehicle_id)
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            raise try_again("the database cannot be asked for the campaign now") from error
        if body is None:
            raise Problem(404, "this vehicle has no campaign; it goes by its own file")
        return body.encode()

    async def run(self) -> None:
        """Until cancelled."""
        await self._questions.run()

    async def _answer_all(self, vehicle_ids: Sequence[int]) -> Sequence[str | None]:
        try:
            async with asyncio.timeout(QUICK_S), self._pool.acquire() as connection:
                rows = await connection.fetch(SQL["etags"], list(vehicle_ids))
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            log.warning("campaigns not read", problem=f"{type(error).__name__}: {error}")
            return [None] * len(vehicle_ids)
        found: dict[int, str] = {row["vehicle_id"]: row["etag"] for row in rows}
        return [found.get(vehicle_id, NO_CAMPAIGN) for vehicle_id in vehicle_ids]
