"""wire_bytes: bytes a sample on the wire, against the same samples as rows of JSON.

A recording goes through the agent's decoder, sampler, batcher, spool and outbox; what is counted are the bodies of the
requests, one batch in each, as the uplink would send them. HTTP headers are not counted. It is deterministic, so one
run is enough.
"""

import asyncio
import json
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import zstandard

from bench.drafts import DEFAULT, EVERY_CHANGE, drafts
from bench.figure import Figure, Medians, smaller_is_better
from bench.recordings import Recorded, kona, obd2_trip, simulated, truck
from edge.batcher import Draft
from edge.outbox import REQUEST_LEVEL, Outbox
from edge.sampler import SamplingPolicy
from edge.spool import Spool
from wire.envelope import BatchRef, Reply, Settled

VEHICLE: Final = "truck-0001"
SPOOL_BYTES: Final = 10**9
_SAMPLING: Final = {EVERY_CHANGE: "every change is kept", DEFAULT: "the agent's default sampling"}


def wire_bytes(
    name: str, recorded: Callable[[], Recorded], *, seconds: int, policy: SamplingPolicy = EVERY_CHANGE
) -> Figure:
    """All batches of a recording."""
    batches = list(drafts(recorded(), policy, max_age_ms=1000 * seconds))
    samples = sum(draft.sample_count for draft in batches)
    sent = sum(asyncio.run(_request_sizes(batches)))
    plain = sum(len(_json(_rows(draft))) for draft in batches)
    others = "; ".join(
        f"{form} with zstd {sum(_packed(write(_rows(draft))) for draft in batches) / samples:.1f}"
        for form, write in _FORMS.items()
    )
    note = (
        f"{_SAMPLING[policy]}; {samples:,} samples in {len(batches):,} requests of one batch, zstd included; "
        f"rows of {others}"
    )
    sizes = Medians(sent / samples, plain / samples, runs=1)
    return smaller_is_better(name, sizes, unit="bytes/sample", note=note)


async def _request_sizes(batches: Sequence[Draft]) -> list[int]:
    """The lengths of the requests' bodies; each batch is settled before the next one is sent, as when all is well."""
    spool = Spool.open(":memory:", vehicle=VEHICLE, max_bytes=SPOOL_BYTES, now_ms=time.time_ns() // 1_000_000)
    outbox = Outbox(spool)
    sizes = []
    for draft in batches:
        await outbox.put([draft])
        shipment = await outbox.prepare(time.monotonic(), most_batches=1, most_bytes=SPOOL_BYTES)
        (stream, seq), *more = shipment.plan.batches
        assert not more
        sizes.append(len(shipment.body))
        accepted = BatchRef(stream=stream, seq=seq)
        reply = Reply(accepted=(accepted,), settled=(Settled(stream=stream, upto=seq, head=seq, missing=()),))
        await outbox.replied(shipment.plan, reply, time.monotonic())
    spool.close()
    return sizes


def _rows(draft: Draft) -> list[dict[str, Any]]:
    """What a sender without columns would post: an object for each sample."""
    return [
        {"vehicle": VEHICLE, "t": t_ms, "signal": name, "value": value}
        for name, column in draft.columns.items()
        for t_ms, value in zip(column.t_ms, column.v, strict=True)
    ]


def _packed(body: bytes) -> int:
    return len(zstandard.compress(body, REQUEST_LEVEL))


def _json(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return json.dumps(rows, separators=(",", ":")).encode()


def _protobuf(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """message Samples { string vehicle = 1; repeated Sample samples = 2; }
    message Sample { string signal = 1; int64 t = 2; double value = 3; }"""
    body = bytearray(b"\x0a" + _sized(VEHICLE.encode()))
    for row in rows:
        value = struct.pack("<d", row["value"])
        body += b"\x12" + _sized(
            b"\x0a" + _sized(row["signal"].encode()) + b"\x10" + _varint(row["t"]) + b"\x19" + value
        )
    return bytes(body)


def _sized(content: bytes) -> bytes:
    return _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Seven bits at a time, the lowest first."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])


_FORMS: Final[Mapping[str, Callable[[Sequence[Mapping[str, Any]]], bytes]]] = {
    "JSON": _json,
    "msgpack": msgspec.msgpack.encode,
    "protobuf": _protobuf,
}


def _figures() -> dict[str, Callable[[], Figure]]:
    recordings: dict[str, Callable[[], Recorded]] = {
        "obd2-trip": obd2_trip,
        "truck": truck,
        "kona": kona,
        "simulated": simulated,
    }
    figures: dict[str, Callable[[], Figure]] = {}
    for recording, recorded in recordings.items():
        for seconds in (1, 30):
            name = f"wire_bytes.{recording}.{seconds}s"
            figures[name] = partial(wire_bytes, name, recorded, seconds=seconds)
    for seconds in (1, 30):
        name = f"wire_bytes.obd2-trip.default-sampling.{seconds}s"
        figures[name] = partial(wire_bytes, name, obd2_trip, seconds=seconds, policy=DEFAULT)
    return figures


FIGURES: Final[Mapping[str, Callable[[], Figure]]] = _figures()
