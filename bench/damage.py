"""Requests that went wrong on the way, or were meant to: good bodies damaged byte by byte, and hostile ones."""

import gzip
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import zstandard

from wire.codec import encode_batch
from wire.model import Batch, Column, Event

SPLICES: Final = [
    b"", b"NaN", b"1e999", b"-1e999", b"1180591620717411303424", b"\\u0000", b"\x00", b"\xff", b"null", b"true", b"-",
    b"[" * 100, b"]", b"{}", b'"seq":1,', b'"q":{"0":1},', b":", b",", b" ", b'"', b".5", b"e5", b"9" * 400,
]  # fmt: skip
_PACKERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "identity": bytes,
    "zstd": zstandard.compress,
    "gzip": gzip.compress,
}
_T0_MS: Final = 1_780_000_000_000


def good_bodies(vehicle: str, stream: str) -> list[bytes]:
    """Requests that are taken: dense, plain, with events, frames, flags and losses, one batch and several."""
    dt = list(range(0, 1_000, 100))
    values = [n / 100 for n in range(10)]
    columns = {"Engine.Speed": Column(dt=dt, v=values), "Engine.Load": Column(dt=dt, v=values[::-1])}
    named = {"vehicle": vehicle, "stream": stream, "t0": _T0_MS, "signals": columns}
    rich = Batch(**named, seq=1, events=[Event(t=0, kind="x", data={"a": [1, "b"]})])
    batches = [
        encode_batch(Batch(**named, seq=0)),
        encode_batch(rich),
        encode_batch(rich, dense=False),
        b'{"vehicle":"%s","stream":"%s","seq":2,"t0":0,"frames":[{"bus":"a","dt":[0],"id":[1],"data":["00ff"]}],'
        b'"signals":{"a":{"dt":[0,1],"v":[1,2.5],"q":{"1":3}}}}' % (vehicle.encode(), stream.encode()),
    ]
    streams = b'[{"stream":"%s","next":9,"lost":[[3,4,"evicted"]]}]' % stream.encode()
    return [b'{"batches":[%s],"streams":%s}' % (batch, streams) for batch in (*batches, b",".join(batches))]


def damaged(rng: random.Random, goods: Sequence[bytes]) -> tuple[bytes, str]:
    """A body, of which a few bytes were changed, doubled, cut or replaced before or after packing, and its coding."""
    coding = rng.choice(["identity", "identity", "identity", "zstd", "gzip"])
    body = bytearray(rng.choice(goods))
    packers: dict[str, Callable[[bytes], bytes]] = {
        "identity": bytes,
        "zstd": zstandard.compress,
        "gzip": gzip.compress,
    }
    pack = packers[coding]
    if damage_packed := coding != "identity" and rng.random() < 0.5:
        body = bytearray(pack(bytes(body)))
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(body) + 1)
        match rng.randrange(4):
            case 0:
                body[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                body[at : at + rng.randint(0, 10)] = rng.choice(SPLICES)
            case 2:
                body[at:at] = body[at : at + rng.randint(1, 50)]
            case _:
                del body[at : at + rng.randint(1, 50)]
    return bytes(body) if damage_packed else pack(bytes(body)), coding


def hostile_bodies(vehicle: str, stream: str) -> list[tuple[bytes, str]]:
    """What is made to cost much: deep, wide, long, and small until it is unpacked; each with its coding."""
    head = b'"v":1,"vehicle":"%s","stream":"%s","seq":0,"t0":0' % (vehicle.encode(), stream.encode())
    columns = b",".join(b'"%d":[0,0,1,1]' % n for n in range(300_000))
    plain = [
        b'{"batches":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"batches":[{%s,"signals":{"a":{"dt":[0],"v":[%s]}}}]}' % (head, b"9" * 1_000_000),
        b'{"batches":[%s0]}' % (b"0," * 1_000_000),
        b'{"batches":[{%s,"signals":{"%s":{"dt":[0],"v":[1]}}}]}' % (head, b"x" * 7_000_000),
        b'{"batches":[{%s,"dense":1,"times":[[0]],"signals":{%s}}]}' % (head, columns),
    ]
    bombs = [(zstandard.compress(b" " * 50_000_000), "zstd"), (gzip.compress(b" " * 50_000_000), "gzip")]
    return [*((body, "identity") for body in plain), *bombs, (b"{}", "br"), (b"{}", "gzip, zstd"), (b"{}", "gzip")]
