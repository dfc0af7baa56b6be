"""What the database has of a vehicle's streams, for the replies. Requests that wait at once are one query."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import structlog

from cloud.database import QUICK_S, UNAVAILABLE, Pool
from cloud.ledger import StreamLedger
from cloud.queries import load
from wire.ranges import RangeSet

REST_S: Final = 0.5
STREAMS_AT_ONCE: Final = 5_000

_SQL = load("ingest")
log = structlog.get_logger()


@dataclass(frozen=True)
class LedgerView:
    """Read in one statement. A stream that is not in `streams` is not known."""

    epoch: str
    streams: Mapping[str, StreamLedger]


@dataclass
class _Asker:
    vehicle_id: int
    streams: frozenset[str]
    answer: "asyncio.Future[LedgerView | None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class LedgerReader:
    """Answers None while the database cannot be asked, at once when that was found out a moment ago."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._askers: asyncio.Queue[_Asker] = asyncio.Queue()
        self._down_until_s = 0.0

    async def read(self, vehicle_id: int, streams: Iterable[str]) -> LedgerView | None:
        if asyncio.get_running_loop().time() < self._down_until_s:
            return None
        asker = _Asker(vehicle_id, frozenset(streams))
        self._askers.put_nowait(asker)  # bounded by the requests that are being served
        return await asker.answer

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            askers = [await self._askers.get()]
            with suppress(asyncio.QueueEmpty):
                while sum(len(asker.streams) for asker in askers) < STREAMS_AT_ONCE:
                    askers.append(self._askers.get_nowait())
            try:
                await self._answer(askers)
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                log.warning("ledger not read", problem=f"{type(error).__name__}: {error}")
                self._down_until_s = asyncio.get_running_loop().time() + REST_S
            finally:
                for asker in askers:
                    if not asker.answer.done():
                        asker.answer.set_result(None)

    async def _answer(self, askers: Sequence[_Asker]) -> None:
        keys = sorted({(asker.vehicle_id, stream) for asker in askers for stream in asker.streams})
        async with asyncio.timeout(QUICK_S), self._pool.acquire(timeout=QUICK_S) as connection:
            rows = await connection.fetch(
                _SQL["ledger_of_streams"], [key[0] for key in keys], [key[1] for key in keys], timeout=QUICK_S
            )
        found: dict[int, dict[str, StreamLedger]] = {}
        for row in rows:
            if row["stream"] is not None:
                found.setdefault(row["vehicle_id"], {})[row["stream"]] = StreamLedger(
                    received=RangeSet.from_pg(row["received"]),
                    dead=RangeSet.from_pg(row["dead"]),
                    lost=RangeSet.from_pg(row["lost"]),
                    next=row["next"],
                )
        for asker in askers:
            if not asker.answer.done():
                asker.answer.set_result(LedgerView(rows[0]["epoch"], found.get(asker.vehicle_id, {})))
