"""What stays of a dead letter once spans of its vehicle's data are erased. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from cloud.telemetry.fact_parts import batch_of, counts_of
from cloud.telemetry.facts import Facts, facts_of
from cloud.telemetry.plausible import without_spans
from cloud.telemetry.spans import Span
from wire.codec import decode_batch, encode_batch
from wire.model import Batch


@dataclass(frozen=True)
class Left:
    """`payload` is None where nothing is left; `erased` counts rows, none of them in what cannot be read."""

    payload: bytes | None
    erased: int = 0


def left_of(payload: bytes, erased: Sequence[Span], *, at_ms: int) -> Left:
    """Without these spans (half open, Unix ms).

    What cannot be read goes when it arrived (`at_ms`) within one: nobody knows when it was recorded. What cannot be
    written again goes with what is erased of it.
    """
    batch = read_batch(payload)
    if batch is None:
        return Left(None if any(low <= at_ms < high for low, high in erased) else payload)
    facts = facts_of(batch)
    left = without_spans(facts, erased)
    rows, rows_left = sum(counts_of(facts)), sum(counts_of(left))
    if rows == rows_left:
        return Left(payload)
    try:
        return Left(encoded(batch, left) if rows_left else None, rows - rows_left)
    except ValueError:  # JSON has no word for a number that is too large, which is why it may be a dead letter
        return Left(None, rows)


def read_batch(payload: bytes) -> Batch | None:
    """None for what is no batch, or none any more."""
    try:
        return decode_batch(payload)
    except ValueError:
        return None


def encoded(batch: Batch, facts: Facts) -> bytes:
    """The batch with these facts instead of its own."""
    return encode_batch(
        batch_of(facts, vehicle=batch.vehicle, stream=batch.stream, seq=batch.seq, catalog=batch.catalog)
    )
