"""What the committer does with a group that the database does not take."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from cloud.streams.entries import Delivery
from cloud.telemetry.facts import facts_of
from cloud.telemetry.store import Arrival, Stored
from cloud.writer.committer import Committer
from cloud.writer.metrics import WriterMetrics
from cloud.writer.work import Work
from wire.model import Batch

STREAM = "01890a5d-ac96-774b-bcce-b302099a8057"


@dataclass
class SmallDatabase:
    """Takes `most` batches at once and refuses more with `error`; the first `failures` calls come to nothing."""

    most: int
    error: Exception
    failures: int = 0
    stored: list[int] = field(default_factory=list)

    async def commit(self, arrivals: Sequence[Arrival]) -> Stored:
        if self.failures:
            self.failures -= 1
            raise ConnectionRefusedError
        if len(arrivals) > self.most:
            raise self.error
        self.stored += [arrival.seq for arrival in arrivals]
        return Stored(batches=len(arrivals))

    async def bury(
        self, vehicle: str, stream: str, seq: int, *, problem: str, payload: bytes, received_ms: int | None = None
    ) -> None:
        pytest.fail(f"{seq} was buried: {problem}")


def group(count: int) -> list[Work]:
    works = []
    for seq in range(count):
        batch = Batch(vehicle="v", stream=STREAM, seq=seq, t0=0)
        delivery = Delivery(0, f"{seq}-0", f"v/{STREAM}/{seq}", b"{}", None)
        works.append(Work(delivery, Arrival("v", STREAM, seq, facts_of(batch))))
    return works


def committer(database: SmallDatabase) -> Committer:
    return Committer(database, WriterMetrics(CollectorRegistry()), stop=asyncio.Event())


@pytest.mark.parametrize("error", [TimeoutError(), asyncpg.OutOfMemoryError("out of shared memory")])
async def test_group_that_is_too_much_at_once_is_stored_in_parts(error: Exception) -> None:
    database = SmallDatabase(most=2, error=error)
    await committer(database).commit(group(7))
    assert database.stored == list(range(7))


async def test_group_stays_together_while_the_database_is_away() -> None:
    database = SmallDatabase(most=7, error=AssertionError(), failures=3)
    await committer(database).commit(group(7))
    assert database.stored == list(range(7))
