"""What a request says, once it is read."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from wire.envelope import Rejected, StreamClaim


class _Claim(Protocol):
    @property
    def stream(self) -> str: ...
    @property
    def next(self) -> int: ...
    @property
    def lost(self) -> Sequence[object]: ...


C = TypeVar("C", bound=_Claim)


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
    """`claims` are those that `telling` gives."""

    taken: tuple[Taken, ...]
    claims: tuple[StreamClaim, ...]
    rejected: tuple[Rejected, ...] = ()

    @property
    def streams(self) -> set[str]:
        return {claim.stream for claim in self.claims} | {one.stream for one in self.taken}

    @property
    def catalogs(self) -> set[str]:
        return {one.catalog for one in self.taken if one.catalog}

    @property
    def samples(self) -> int:
        return sum([one.samples for one in self.taken])


def telling(claims: Iterable[C], taken: Iterable[Taken]) -> list[C]:
    """Those that say more than that the batches which came with them are there."""
    ends: dict[str, int] = {}
    for one in taken:
        if one.seq >= ends.get(one.stream, 0):
            ends[one.stream] = one.seq + 1
    return [claim for claim in claims if claim.lost or claim.next > ends.get(claim.stream, -1)]
