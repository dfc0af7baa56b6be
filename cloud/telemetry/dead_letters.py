"""Batches that the database refused: what lies there, and another try once the cause is gone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from pydantic import ValidationError

from cloud.database import Executor, is_about_the_data
from cloud.errors import DeadLetterError
from cloud.queries import load
from cloud.telemetry.facts import facts_of
from cloud.telemetry.store import Arrival, Store
from wire.codec import CodecError, decode_batch

_SQL = load("dead_letters")


@dataclass(frozen=True)
class DeadLetter:
    """`payload` is the batch as it was sent, or what was taken for one."""

    id: int
    vehicle: str
    stream: str
    seq: int
    at: datetime
    problem: str
    payload: bytes


async def list_letters(db: Executor) -> Sequence[asyncpg.Record]:
    """id, vehicle, stream, seq, at, bytes, problem; the oldest first."""
    return await db.fetch(_SQL["list"])


async def find_letter(db: Executor, id: int) -> DeadLetter:
    """Raises DeadLetterError when there is none."""
    row = await db.fetchrow(_SQL["one"], id)
    if row is None:
        raise DeadLetterError(
            f"there is no dead letter {id}; 'fleetwire admin dead-letters list' tells which there are"
        )
    return DeadLetter(**row)


async def replay(store: Store, letter: DeadLetter) -> bool:
    """Stores what it holds and removes it, both or nothing; False when somebody else did.

    Raises DeadLetterError when it is refused again.
    """
    try:
        batch = decode_batch(letter.payload)
    except (CodecError, ValidationError, ValueError) as error:
        raise DeadLetterError(f"dead letter {letter.id} is no batch: {error}") from error
    if (batch.vehicle, batch.stream, batch.seq) != (letter.vehicle, letter.stream, letter.seq):
        says = f"{batch.vehicle}/{batch.stream}/{batch.seq}"
        raise DeadLetterError(
            f"dead letter {letter.id} says {says} and came as {letter.vehicle}/{letter.stream}/{letter.seq}"
        )
    received_ms = letter.at.timestamp() * 1000 // 1
    arrival = Arrival(
        letter.vehicle, letter.stream, letter.seq, facts_of(batch), batch.catalog, received_ms=int(received_ms)
    )
    try:
        return await store.revive(letter.id, arrival)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        if not is_about_the_data(error):
            raise
        raise DeadLetterError(f"dead letter {letter.id} is refused again: {error}") from error
