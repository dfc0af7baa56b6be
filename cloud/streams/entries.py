"""What travels through the bus: batches and claims on the way to the writer, batches on the way to browsers."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import NamedTuple

import msgspec
import zstandard
from pydantic import TypeAdapter

from wire.envelope import StreamClaim

PACK_FROM_BYTES = 256
MAX_PLAIN_BYTES = 128_000_000

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_REQUEST = b"R"
"""Before what a vehicle sent: a request of one batch, compressed by itself. Neither JSON nor zstd begins like this."""
_CLAIMS = TypeAdapter(tuple[StreamClaim, ...])


class _Request(msgspec.Struct):
    batches: tuple[msgspec.Raw]


_decode_request = msgspec.json.Decoder(_Request).decode


class Unreadable(ValueError):
    """An entry that ingest never wrote, or that was damaged since."""


class Item(NamedTuple):
    """Something to be queued. `name` tells it from everything else that is in flight in its shard."""

    name: str
    body: bytes


@dataclass(frozen=True)
class Delivery:
    """An entry of a shard's stream, until it is done. `batch` and `claims` are as they were queued, or None."""

    shard: int
    id: str
    name: str
    batch: bytes | None
    claims: bytes | None

    @property
    def vehicle(self) -> str:
        return self.name.partition("/")[0]

    @property
    def received_ms(self) -> int:
        """Unix time of the queueing."""
        return int(self.id.partition("-")[0])


@dataclass(frozen=True)
class LiveMessage:
    """A batch that was just taken in, as its sender wrote it: plain or dense JSON."""

    vehicle: str
    received_ms: int
    batch: bytes


@dataclass(frozen=True)
class Gap:
    """The subscription is new or was broken: anything may have been missed before this."""


def batch_item(vehicle: str, stream: str, seq: int, batch: bytes) -> Item:
    """`batch` is JSON."""
    return Item(batch_name(vehicle, stream, seq), pack(batch))


def sent_item(vehicle: str, stream: str, seq: int, request: bytes) -> Item:
    """A batch that came alone: `request` as it was sent, one zstd frame that tells its size, is not packed again."""
    return Item(batch_name(vehicle, stream, seq), _REQUEST + request)


def batch_name(vehicle: str, stream: str, seq: int) -> str:
    """By which a batch is known while it is in flight."""
    return f"{vehicle}/{stream}/{seq}"


def claims_item(vehicle: str, claims: Iterable[StreamClaim]) -> Item:
    """Named by content, so that the same claims are not queued twice."""
    body = _CLAIMS.dump_json(tuple(claims))
    return Item(f"{vehicle}//{blake2b(body, digest_size=8).hexdigest()}", pack(body))


def read_claims(body: bytes) -> tuple[StreamClaim, ...]:
    return _CLAIMS.validate_json(unpack(body))


def pack(body: bytes) -> bytes:
    """Memory is what bounds the queue, so that bodies are compressed where it pays."""
    return _compressor().compress(body) if len(body) >= PACK_FROM_BYTES else body


def unpack(body: bytes) -> bytes:
    """What was packed, or the one batch of what was sent: JSON. Raises Unreadable."""
    try:
        if body.startswith(_REQUEST):
            return bytes(_decode_request(_unzstd(body[len(_REQUEST) :])).batches[0])
        return _unzstd(body) if body.startswith(_ZSTD_MAGIC) else body
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise Unreadable(str(error)) from error


def _unzstd(frame: bytes) -> bytes:
    return _decompressor().decompress(frame, max_output_size=MAX_PLAIN_BYTES)


@cache
def _compressor() -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=1)


@cache
def _decompressor() -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor()


def encode_live(message: LiveMessage) -> bytes:
    """As the script that queues batches writes it: a time and a name, a line break, the body."""
    return b"%d-0 %s//\n%s" % (message.received_ms, message.vehicle.encode(), message.batch)


def decode_live(data: bytes) -> LiveMessage:
    head, _, body = data.partition(b"\n")
    entry, _, name = head.decode().partition(" ")
    return LiveMessage(name.partition("/")[0], int(entry.partition("-")[0]), unpack(body))
