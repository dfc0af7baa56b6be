"""A delivery, opened: what it brings, or why it cannot be read."""

import re
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from cloud.streams.entries import Delivery, Unreadable, read_claims, unpack
from cloud.telemetry.facts import facts_of
from cloud.telemetry.store import Arrival
from wire.codec import CodecError, decode_batch
from wire.envelope import StreamClaim
from wire.names import STREAM_PATTERN, VEHICLE_PATTERN

_NAME: Final = re.compile(
    f"(?P<vehicle>{VEHICLE_PATTERN[1:-1]})/(?:(?P<stream>{STREAM_PATTERN[1:-1]})/(?P<seq>[0-9]{{1,16}})|/[0-9a-f]+)"
)
"""Of a batch, or of claims by themselves."""


@dataclass(frozen=True)
class Work:
    """`problem` says why the batch is no batch; its claims hold all the same."""

    delivery: Delivery
    arrival: Arrival
    problem: str | None = None

    @property
    def samples(self) -> int:
        """How much of a group it takes up; never nothing."""
        facts = self.arrival.facts
        return len(facts.t_ms) + len(facts.fix_t_ms) + 1 if facts else 1


def open_delivery(delivery: Delivery) -> Work:
    """An entry whose name is not as ingest writes it brings nothing: nobody can be told of it."""
    named = _NAME.fullmatch(delivery.name)
    if named is None:
        return Work(delivery, Arrival(delivery.vehicle), "its name is not vehicle/stream/seq")
    vehicle, stream, seq = named["vehicle"], named["stream"] or "", int(named["seq"] or -1)
    claims: tuple[StreamClaim, ...] = ()
    problem = None
    try:
        claims = read_claims(delivery.claims) if delivery.claims else ()
        if delivery.batch is not None:
            batch = decode_batch(unpack(delivery.batch))
            if (name := f"{batch.vehicle}/{batch.stream}/{batch.seq}") != delivery.name:
                raise CodecError(f"it says {name} and was queued as {delivery.name}")
            return Work(
                delivery,
                Arrival(
                    vehicle, stream, batch.seq, facts_of(batch), batch.catalog, claims, received_ms=delivery.received_ms
                ),
            )
    except CodecError as error:
        problem = error.problem
    except (Unreadable, ValidationError) as error:
        problem = str(error)
    return Work(delivery, Arrival(vehicle, stream, seq, claims=claims), problem)
