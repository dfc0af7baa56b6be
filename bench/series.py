"""A vehicle's batches without end, made at the price of a search and replace: they differ in seq and time."""

import json
from typing import Final

import zstandard

from bench.load import Sender, http_request
from cloud.streams.entries import Item, batch_item
from edge.batcher import Draft
from wire.codec import encode_batch

_SEQ: Final = 4_503_599_627_370_495
_T0: Final = 4_503_599_627_370_494
_FAST: Final = zstandard.ZstdCompressor(level=1, write_checksum=True)


class Series:
    """Of one draft; each batch a second after the one before, unless its time is given."""

    def __init__(self, sender: Sender, draft: Draft, *, t0_ms: int) -> None:
        self.samples = draft.sample_count
        self._sender = sender
        self._t0_ms = t0_ms
        batch = draft.to_batch(vehicle=sender.vehicle, stream=sender.stream, seq=_SEQ)
        template = encode_batch(batch.model_copy(update={"t0": _T0}))
        self._begin, rest = template.split(str(_SEQ).encode())
        self._middle, self._end = rest.split(str(_T0).encode())

    def batch(self, seq: int, t0_ms: int | None = None) -> bytes:
        """As JSON."""
        t0_ms = self._t0_ms + 1000 * seq if t0_ms is None else t0_ms
        return b"%s%d%s%d%s" % (self._begin, seq, self._middle, t0_ms, self._end)

    def request(self, seq: int, t0_ms: int | None = None) -> bytes:
        """As the uplink sends it, with the head of the HTTP request."""
        claims = json.dumps([{"stream": self._sender.stream, "next": seq + 1, "lost": []}], separators=(",", ":"))
        envelope = b'{"batches":[%s],"streams":%s}' % (self.batch(seq, t0_ms), claims.encode())
        return http_request(self._sender, _FAST.compress(envelope))

    def item(self, seq: int) -> Item:
        """As ingest queues it."""
        return batch_item(self._sender.vehicle, self._sender.stream, seq, self.batch(seq))
