"""The envelope around batches, the same over HTTP and MQTT, and the reply to it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wire.codec import CodecError, describe
from wire.model import Seq
from wire.names import MAX_SAFE_INTEGER, STREAM_PATTERN
from wire.ranges import RangeSet

Stream = Annotated[str, Field(pattern=STREAM_PATTERN)]
WireRange = tuple[Seq, Seq]
LostRange = tuple[Seq, Seq, Annotated[str, Field(min_length=1, max_length=64)]]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StreamClaim(_Message):
    """What a vehicle says of a stream: the seq it will draw next, and the inclusive ranges it will never send."""

    stream: Stream
    next: Seq
    lost: tuple[LostRange, ...] = ()


class Request(_Message):
    """What a vehicle sends. Batches are judged one by one, so here they are only what JSON was parsed to."""

    batches: tuple[Any, ...] = ()
    streams: tuple[StreamClaim, ...] = ()


class _ReplyPart(BaseModel):
    # A newer cloud may say more than this agent knows.
    model_config = ConfigDict(frozen=True, extra="ignore")


class BatchRef(_ReplyPart):
    """A batch by its name."""

    stream: Stream
    seq: Seq


class Rejected(_ReplyPart):
    """A batch that was refused: its place in the request, its name where that could be read, and why."""

    index: int
    problem: str
    stream: str | None = None
    seq: int | None = None


class Settled(_ReplyPart):
    """What needs no resending: all up to `upto`, and all up to `head` but for `missing` (inclusive ranges)."""

    stream: Stream
    upto: Annotated[int, Field(strict=True, ge=-1, le=MAX_SAFE_INTEGER)]
    head: Annotated[int, Field(strict=True, ge=-1, le=MAX_SAFE_INTEGER)]
    missing: tuple[WireRange, ...] = ()

    @classmethod
    def describe(cls, stream: str, settled: RangeSet) -> Settled:
        """The view of `settled` that goes over the wire."""
        missing = settled.gaps(settled.head).ranges
        return cls(stream=stream, upto=settled.upto, head=settled.head, missing=missing)

    def settled(self) -> RangeSet:
        """The settled sequence numbers."""
        return RangeSet([(0, self.head)] if self.head >= 0 else []) - RangeSet(self.missing)


class Reply(_ReplyPart):
    """What the cloud answers.

    `bus` changes when the queue in front of the database lost its content, `epoch` when the database itself fell back
    to an earlier state. `epoch` is null and `settled` empty while the database cannot be asked.
    """

    accepted: tuple[BatchRef, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    settled: tuple[Settled, ...] = ()
    bus: str | None = None
    epoch: str | None = None
    campaign: str | None = None
    catalogs: tuple[str, ...] = ()


def parse_request(value: Any) -> Request:
    """Read a request from what JSON was parsed to. CodecError says what is wrong."""
    if not isinstance(value, dict):
        raise CodecError('the body is a JSON object {"batches": […], "streams": […]}')
    try:
        request = Request.model_validate(value)
    except ValidationError as error:
        raise CodecError(describe(error)) from None
    for claim in request.streams:
        for low, high, _ in claim.lost:
            if not low <= high < claim.next:
                raise CodecError(
                    f"streams: lost range [{low}, {high}] of {claim.stream} is not within [0, {claim.next})"
                )
    return request
