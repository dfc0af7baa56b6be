"""What a request says, once it is read."""

from typing import NamedTuple

from wire.envelope import Rejected, StreamClaim


class Taken(NamedTuple):
    """A batch that may be stored. `body` is its JSON, in the sender's own bytes where they could be kept."""

    stream: str
    seq: int
    catalog: str | None
    samples: int
    body: bytes


class Reading(NamedTuple):
    taken: tuple[Taken, ...]
    claims: tuple[StreamClaim, ...]
    rejected: tuple[Rejected, ...] = ()
