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
    alone_in: bytes | None = None
    """The request's one zstd frame, where there is nothing but this batch and claims in it."""


class Reading(NamedTuple):
    taken: tuple[Taken, ...]
    claims: tuple[StreamClaim, ...]
    rejected: tuple[Rejected, ...] = ()
