"""What the database has of a vehicle's streams, for the replies. Requests that wait at once are one query."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import asyncpg
import structlog

from cloud.database import QUICK_S, UNAVAILABLE, Pool
from cloud.queries import load
from cloud.together import Asker, Together
from wire.ledger import StreamLedger
from wire.ranges import RangeSet

REST_S: Final = 0.5
AT_ONCE: Final = 500

_NOTHING: Final[Mapping[str, StreamLedger]] = {}
_SQL = load("ingest")
log = structlog.get_logger()


class LedgerView(NamedTuple):
    """Read in one statement. A stream that is not in `streams` is not known."""

    epoch: str
    changes: str
    """Another one when the campaign of any vehicle may have changed."""
    streams: Mapping[str, StreamLedger]


class _Question(NamedTuple):
    vehicle_id: int
    streams: Iterable[str]


class LedgerReader:
    """Answers None while the database cannot be asked, at once when that was found out a moment ago."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._questions = Together(self._answer_all, at_once=AT_ONCE)
        self._down_until_s = 0.0

    async def read(self, vehicle_id: int, streams: Iterable[str]) -> LedgerView | None:
        if self._is_down():
            return None
        return await self._questions.ask(_Question(vehicle_id, streams))

    def put(self, vehicle_id: int, streams: Iterable[str], asker: Asker[LedgerView | None]) -> bool:
        """As `read`, without waiting. False, and nobody is told, where that would be None at once."""
        if self._is_down():
            return False
        self._questions.put(_Question(vehicle_id, streams), asker)
        return True

    async def run(self) -> None:
        """Until cancelled."""
        await self._questions.run()

    async def _answer_all(self, questions: Sequence[_Question]) -> Sequence[LedgerView | None]:
        if self._is_down():  # who came while that was found out does not find it out again
            return [None] * len(questions)
        try:
            return await self._ask(questions)
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            log.warning("ledger not read", problem=f"{type(error).__name__}: {error}")
            self._down_until_s = asyncio.get_running_loop().time() + REST_S
            return [None] * len(questions)

    def _is_down(self) -> bool:
        return self._down_until_s > 0.0 and asyncio.get_running_loop().time() < self._down_until_s

    async def _ask(self, questions: Sequence[_Question]) -> list[LedgerView | None]:
        keys = {(one.vehicle_id, stream) for one in questions for stream in one.streams}
        async with asyncio.timeout(QUICK_S), self._pool.acquire() as connection:
            rows = await connection.fetch(_SQL["ledger_of_streams"], [key[0] for key in keys], [key[1] for key in keys])
        found: dict[int, dict[str, StreamLedger]] = {}
        for _, _, vehicle_id, stream, received, dead, lost, upcoming in rows:
            if stream is not None:
                found.setdefault(vehicle_id, {})[stream] = StreamLedger(
                    RangeSet.from_pg(received), RangeSet.from_pg(dead), RangeSet.from_pg(lost), upcoming
                )
        epoch = rows[0]["epoch"]
        changes = f"{epoch}/{rows[0]['changes']}"
        return [LedgerView(epoch, changes, found.get(one.vehicle_id, _NOTHING)) for one in questions]
