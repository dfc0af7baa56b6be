"""Admission, pure: which batches of a request are taken, which are refused, and which declarations are news."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloud.errors import CloudError
from cloud.ingest.reading import Reading, Taken
from cloud.streams.entries import Item, batch_item, claims_item, sent_item
from wire.codec import CodecError, decode_batch
from wire.envelope import Rejected, StreamClaim
from wire.ledger import EMPTY_LEDGER, StreamLedger
from wire.model import Batch
from wire.names import STREAM_PATTERN
from wire.ranges import RangeSet


class ForeignVehicle(CloudError):
    """A request with a batch of another vehicle than the credential's: nothing of it is taken."""

    def __init__(self, index: int, named: str, vehicle: str) -> None:
        super().__init__(f"batch {index} is of vehicle {named!r}, and this credential belongs to {vehicle!r}")
        self.index = index
        self.named = named
        self.vehicle = vehicle


@dataclass(frozen=True, slots=True)
class Admission:
    """The judgement on a request's batches, in their order."""

    admitted: tuple[Batch, ...]
    indices: tuple[int, ...]
    """The place of each admitted batch in the request."""
    rejected: tuple[Rejected, ...]


def admit(batches: Iterable[Any], vehicle: str) -> Admission:
    """Judge each batch by itself. ForeignVehicle if one is readable and belongs to another than `vehicle`."""
    admitted: list[Batch] = []
    indices: list[int] = []
    rejected: list[Rejected] = []
    for index, value in enumerate(batches):
        named = value.get("vehicle") if isinstance(value, dict) else None
        if isinstance(named, str) and named != vehicle:
            raise ForeignVehicle(index, named, vehicle)
        try:
            admitted.append(decode_batch(value))
            indices.append(index)
        except CodecError as error:
            rejected.append(_reject(index, value, error.problem))
    return Admission(tuple(admitted), tuple(indices), tuple(rejected))


def to_queue(vehicle: str, reading: Reading, ledgers: Mapping[str, StreamLedger]) -> tuple[list[Item], Item | None]:
    """What of a request is not stored yet, and what its claims say beyond that, as the bus takes it."""
    fresh = [one for one in reading.taken if not ledgers.get(one.stream, EMPTY_LEDGER).has(one.seq)]
    said = unsaid(news(reading.claims, ledgers), reading.taken, ledgers)
    items = [
        sent_item(vehicle, one.stream, one.seq, one.alone_in)
        if one.alone_in
        else batch_item(vehicle, one.stream, one.seq, one.body)
        for one in fresh
    ]
    return items, claims_item(vehicle, said) if said else None


def news(claims: Iterable[StreamClaim], ledgers: Mapping[str, StreamLedger]) -> tuple[StreamClaim, ...]:
    """Those claims that would change the ledger. A repeated declaration costs no entry in the stream."""
    return tuple(claim for claim in claims if ledgers.get(claim.stream, EMPTY_LEDGER).is_news(claim))


def unsaid(
    claims: Iterable[StreamClaim], taken: Sequence[Taken], ledgers: Mapping[str, StreamLedger]
) -> list[StreamClaim]:
    """Those claims of which storing `taken`, which came with them, does not tell the ledger all."""
    return [claim for claim in claims if not _is_said_by(claim, taken, ledgers)]


def _is_said_by(claim: StreamClaim, taken: Iterable[Taken], ledgers: Mapping[str, StreamLedger]) -> bool:
    seqs = [one.seq for one in taken if one.stream == claim.stream]
    return bool(seqs) and not ledgers.get(claim.stream, EMPTY_LEDGER).store(RangeSet.of(seqs)).is_news(claim)


def _reject(index: int, value: Any, problem: str) -> Rejected:
    """Name the batch where its name can be read, so that the vehicle knows which one to set aside."""
    named = value if isinstance(value, dict) else {}
    stream, seq = named.get("stream"), named.get("seq")
    return Rejected(
        index=index,
        problem=problem,
        stream=stream if isinstance(stream, str) and re.fullmatch(STREAM_PATTERN, stream) else None,
        seq=seq if type(seq) is int and seq >= 0 else None,
    )
