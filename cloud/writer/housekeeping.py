"""What is to be done beside the writing, by one of the writers at a time: erasures, retention, compacted notes."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import asyncpg
import structlog

from cloud.database import UNAVAILABLE, Connection, Pool, inspect
from cloud.errors import DatabaseError, ErasureError
from cloud.telemetry.erasure import carry_out, pending
from cloud.telemetry.retention import compact_dirty, enforce

ROUND_S: Final = 10.0
COMPACT_EVERY_S: Final = 60.0
ENFORCE_EVERY_S: Final = 3_600.0
LOCK: Final = 0x666C7468
"""Advisory: whoever has it does the round."""

log = structlog.get_logger()


class Housekeeping:
    """A failure costs a round: what was not done is done in the next one."""

    def __init__(self, pool: Pool, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._clock = clock
        self._compacted_s: float | None = None
        self._enforced_s: float | None = None

    async def run(self, until: asyncio.Event) -> None:
        while not until.is_set():
            try:
                await self.round(datetime.now(UTC))
            except (*UNAVAILABLE, asyncpg.PostgresError, DatabaseError) as error:
                log.warning("housekeeping waits", problem=f"{type(error).__name__}: {error}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), ROUND_S)

    async def round(self, now: datetime) -> bool:
        """Whatever is due; False when another one is at it."""
        async with self._pool.acquire() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
                return False
            try:
                await self._round(connection, now)
            finally:
                await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)
        return True

    async def _round(self, connection: Connection, now: datetime) -> None:
        for number in await pending(connection):
            try:
                await carry_out(connection, number)
                log.info("erasure carried out", erasure=number)
            except ErasureError as error:
                log.warning("erasure waits", erasure=number, problem=str(error))
        if self._is_due(self._compacted_s, COMPACT_EVERY_S):
            await compact_dirty(connection)
            self._compacted_s = self._clock()
        if self._is_due(self._enforced_s, ENFORCE_EVERY_S):
            await enforce(connection, now, community=(await inspect(connection)).community)
            self._enforced_s = self._clock()

    def _is_due(self, last_s: float | None, every_s: float) -> bool:
        return last_s is None or self._clock() - last_s >= every_s
