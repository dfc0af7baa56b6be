"""What a request says, once it is read."""

from dataclasses import dataclass

from wire.envelope import Rejected, StreamClaim


@dataclass(frozen=True, slots=True)
class Taken:
    """A batch that may be stored. `body` is its JSON, in the sender's own bytes where they could be kept."""

    stream: str
    seq: int
    catalog: str | None
    samples: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Reading:
    taken: tuple[Taken, ...]
    claims: tuple[StreamClaim, ...]
    rejected: tuple[Rejected, ...] = ()
