"""A delivery, opened: what it brings, or why it cannot be read."""

from dataclasses import dataclass

import zstandard
from pydantic import ValidationError

from cloud.bus_entries import Delivery, read_claims, unpack
from cloud.facts import facts_of
from cloud.store import Arrival
from wire.codec import CodecError, decode_batch
from wire.envelope import StreamClaim


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
    vehicle, _, rest = delivery.name.partition("/")
    stream, _, seq = rest.partition("/")
    claims: tuple[StreamClaim, ...] = ()
    problem = None
    try:
        claims = read_claims(delivery.claims) if delivery.claims else ()
        if delivery.batch is not None:
            batch = decode_batch(unpack(delivery.batch))
            if (name := f"{batch.vehicle}/{batch.stream}/{batch.seq}") != delivery.name:
                raise CodecError(f"it says {name} and was queued as {delivery.name}")
            return Work(delivery, Arrival(vehicle, stream, batch.seq, facts_of(batch), batch.catalog, claims))
    except CodecError as error:
        problem = error.problem
    except (zstandard.ZstdError, ValidationError) as error:
        problem = str(error)
    return Work(delivery, Arrival(vehicle, stream, int(seq) if stream else -1, claims=claims), problem)
