"""Groups into the database: all of a group at once, or what is wrong with it found and set apart."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

import asyncpg
import structlog

from cloud.database import TOO_MUCH, UNAVAILABLE, is_about_the_data
from cloud.streams.entries import Unreadable, unpack
from cloud.telemetry.store import Arrival, Stored
from cloud.writer.metrics import WriterMetrics
from cloud.writer.work import Work

BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

log = structlog.get_logger()
_T = TypeVar("_T")


class Stopped(Exception):
    """The database was down when the writer was told to stop; the group stays in Redis."""


class Target(Protocol):
    async def commit(self, arrivals: Sequence[Arrival]) -> Stored: ...
    async def bury(
        self, vehicle: str, stream: str, seq: int, *, problem: str, payload: bytes, received_ms: int | None = None
    ) -> None: ...


class Committer:
    """Never gives a batch up because the database is away: only what the data itself is refused for is buried."""

    def __init__(self, store: Target, metrics: WriterMetrics, *, stop: asyncio.Event) -> None:
        self._store = store
        self._metrics = metrics
        self._stop = stop

    async def commit(self, group: Sequence[Work]) -> None:
        """Returns when all of it is stored or buried. Raises Stopped."""
        for work in group:
            if work.problem is not None and work.delivery.batch is not None:
                await self._bury(work, work.problem)
        arrivals = [work for work in group if work.arrival.facts is not None or work.arrival.claims]
        if arrivals:
            await self._commit_or_split(arrivals)

    async def _commit_or_split(self, group: Sequence[Work]) -> None:
        arrivals = [work.arrival for work in group]
        try:
            self._count(await self._insist(lambda: self._commit(arrivals), alone=len(group) == 1))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            problem = f"{type(error).__name__}: {error}"
            if len(group) > 1:
                log.warning("group refused, looking for the batch", batches=len(group), problem=problem)
                half = len(group) // 2
                await self._commit_or_split(group[:half])
                await self._commit_or_split(group[half:])
            else:
                await self._bury(group[0], problem)

    async def _commit(self, arrivals: Sequence[Arrival]) -> Stored:
        began = time.perf_counter()
        stored = await self._store.commit(arrivals)
        self._metrics.commit_seconds.observe(time.perf_counter() - began)
        return stored

    async def _bury(self, work: Work, problem: str) -> None:
        arrival, batch = work.arrival, work.delivery.batch
        if batch is None or not arrival.stream:
            log.error("entry dropped", name=work.delivery.name, problem=problem)
            return
        log.error("batch buried", vehicle=arrival.vehicle, stream=arrival.stream, seq=arrival.seq, problem=problem)
        self._metrics.buried.inc()
        await self._insist(
            lambda: self._store.bury(
                arrival.vehicle,
                arrival.stream,
                arrival.seq,
                problem=problem[:1000].replace("\0", "\ufffd"),
                payload=_readable(batch),
                received_ms=work.delivery.received_ms,
            )
        )

    async def _insist(self, act: Callable[[], Awaitable[_T]], *, alone: bool = True) -> _T:
        """Tries until the database answers. Raises what the data is refused for: SQLSTATE classes 22 and 23.

        Where several batches go together (not `alone`) it also raises what may be too much for the database at once:
        one that takes too long must not hold up the others for ever.
        """
        attempt = 0
        while True:
            try:
                return await act()
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                if is_about_the_data(error) or (isinstance(error, TOO_MUCH) and not alone):
                    raise
                self._metrics.database_errors.inc()
                log.warning("not stored, trying again", problem=f"{type(error).__name__}: {error}", attempt=attempt)
            await self._pause(random.uniform(0, BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]))
            attempt += 1

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return
        raise Stopped

    def _count(self, stored: Stored) -> None:
        self._metrics.batches.inc(stored.batches)
        self._metrics.repeats.inc(stored.repeats)
        self._metrics.samples.inc(stored.samples)
        if stored.aside:
            self._metrics.aside.inc(stored.aside)
        if stored.erased:
            self._metrics.erased.inc(stored.erased)
        if stored.strangers:
            self._metrics.strangers.inc(len(stored.strangers))
            log.warning("batches of vehicles that are not registered were dropped", vehicles=sorted(stored.strangers))


async def until_usable(inspect: Callable[[], Awaitable[object]], *, stop: asyncio.Event) -> bool:
    """Waits for the database; False when told to stop first. Raises DatabaseError for one that must not be used."""
    while not stop.is_set():
        try:
            await inspect()
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            log.warning("waiting for the database", problem=f"{type(error).__name__}: {error}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1.0)
        else:
            return True
    return False


def _readable(batch: bytes) -> bytes:
    try:
        return unpack(batch)
    except Unreadable:
        return batch
