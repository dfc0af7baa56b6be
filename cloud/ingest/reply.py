"""The reply to a request, written as `wire.envelope.Reply` reads it."""

from collections.abc import Mapping, Sequence

import msgspec

from cloud.ingest.reading import Reading
from wire.ranges import RangeSet


def reply_json(
    reading: Reading,
    settled: Mapping[str, RangeSet],
    *,
    bus: str | None,
    epoch: str | None,
    campaign: str | None,
    catalogs: Sequence[str],
) -> bytes:
    """`settled` by stream: what needs no resending."""
    return msgspec.json.encode(
        {
            "accepted": [{"stream": one.stream, "seq": one.seq} for one in reading.taken],
            "rejected": [one.model_dump() for one in reading.rejected] if reading.rejected else (),
            "settled": [_view(stream, seqs) for stream, seqs in settled.items()],
            "bus": bus,
            "epoch": epoch,
            "campaign": campaign,
            "catalogs": catalogs,
        }
    )


def _view(stream: str, settled: RangeSet) -> dict[str, object]:
    """As `wire.envelope.Settled` describes it."""
    upto, head = settled.upto, settled.head
    return {
        "stream": stream,
        "upto": upto,
        "head": head,
        "missing": [] if upto == head else settled.gaps(head).ranges,
    }
