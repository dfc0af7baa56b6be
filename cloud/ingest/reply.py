"""The reply to a request, written as `wire.envelope.Reply` reads it."""

from collections.abc import Sequence
from typing import Final

import msgspec

from cloud.ingest.ledgers import LedgerView
from cloud.ingest.reading import Reading
from wire.ledger import EMPTY_LEDGER, StreamLedger

_encode: Final = msgspec.json.Encoder().encode


def reply_json(
    reading: Reading, view: LedgerView | None, *, bus: str | None, campaign: str | None, catalogs: Sequence[str]
) -> bytes:
    """Without a `view` of the ledger nothing is said to be settled."""
    return _encode(
        {
            "accepted": [{"stream": one.stream, "seq": one.seq} for one in reading.taken],
            "rejected": [one.model_dump() for one in reading.rejected] if reading.rejected else (),
            "settled": [_settled(stream, view.streams.get(stream, EMPTY_LEDGER)) for stream in sorted(reading.streams)]
            if view
            else (),
            "bus": bus,
            "epoch": view.epoch if view else None,
            "campaign": campaign,
            "catalogs": catalogs,
        }
    )


def _settled(stream: str, ledger: StreamLedger) -> dict[str, object]:
    """As `wire.envelope.Settled` describes it."""
    settled = ledger.settled
    upto, head = settled.upto, settled.head
    return {
        "stream": stream,
        "upto": upto,
        "head": head,
        "missing": [] if upto == head else settled.gaps(head).ranges,
    }
