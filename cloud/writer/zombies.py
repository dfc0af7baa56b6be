"""A writer that is stopped in the middle of a transaction keeps its locks: no timeout of the server ends it in a COPY.

Its shards are another's by then, and the other waits for these locks. Who has waited for a while looks who is in the
way, and ends the backend of a writer (or of an ingest) that the server in turn has been waiting for. A mistake loses
nothing: whoever is ended tries again, and the ledger knows what is stored.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import structlog

from cloud.database import QUICK_S, UNAVAILABLE, Pool
from cloud.queries import load
from cloud.telemetry.store import Arrival, Stored
from cloud.writer.committer import Target
from cloud.writer.metrics import WriterMetrics

PATIENCE_S: Final = 1.0
LOOK_S: Final = 0.5

_SQL: Final = load("writer")
_Zombie = tuple[int, datetime]
"""A backend and when its transaction began."""

log = structlog.get_logger()


class Undeterred:
    """The store; whoever sleeps in its way with locks in hand is ended. `pool` needs a connection to spare."""

    def __init__(self, store: Target, pool: Pool, metrics: WriterMetrics) -> None:
        self._store = store
        self._pool = pool
        self._metrics = metrics

    async def commit(self, arrivals: Sequence[Arrival]) -> Stored:
        async with self._watching():
            return await self._store.commit(arrivals)

    async def bury(
        self, vehicle: str, stream: str, seq: int, *, problem: str, payload: bytes, received_ms: int | None = None
    ) -> None:
        async with self._watching():
            await self._store.bury(vehicle, stream, seq, problem=problem, payload=payload, received_ms=received_ms)

    @asynccontextmanager
    async def _watching(self) -> AsyncIterator[None]:
        done = asyncio.Event()
        watch = asyncio.create_task(self._watch(done), name="zombies")
        try:
            yield
        except asyncio.CancelledError:
            watch.cancel()
            raise
        finally:
            # Not cancelled: what frees the way is the end of a sleeper, which is still to be counted and said.
            done.set()
            await asyncio.wait([watch])
            if not watch.cancelled():
                watch.result()

    async def _watch(self, done: asyncio.Event) -> None:
        """Ends those that were asleep in the way at two looks, which nobody is who works."""
        before: frozenset[_Zombie] = frozenset()
        wait_s = PATIENCE_S + LOOK_S
        while not await _comes_within(wait_s, done):
            wait_s = LOOK_S
            try:
                before = await self._look(before)
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                log.warning("cannot see who is in the way", problem=f"{type(error).__name__}: {error}")

    async def _look(self, before: frozenset[_Zombie]) -> frozenset[_Zombie]:
        async with self._pool.acquire(timeout=QUICK_S) as connection:
            patience = timedelta(seconds=PATIENCE_S)
            rows = await connection.fetch(_SQL["sleepers_in_the_way"], patience, timeout=QUICK_S)
            found = frozenset((row["pid"], row["xact_start"]) for row in rows)
            if zombies := sorted(found & before):
                pids, began = (list(column) for column in zip(*zombies, strict=True))
                ended = await connection.fetch(_SQL["end_backends"], pids, began, timeout=QUICK_S)
                self._metrics.zombies.inc(len(ended))
                log.warning("ended connections that slept with locks in hand", backends=pids)
        return found - before


async def _comes_within(seconds: float, event: asyncio.Event) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
