"""Ingest and malformed bodies: never a 5xx, and nothing is queued that the writer could not read.

FLEETWIRE_BAD_INPUT_EXAMPLES=10000 sends that many damaged bodies.
"""

import asyncio
import io
import json
import os
import random
from collections.abc import AsyncIterator, Sequence

import pytest

from bench.damage import damaged, good_bodies
from cloud.bus import Bus
from cloud.ingest.storable import problem_of
from cloud.streams.entries import unpack
from tests.running import Sender, add_vehicle, running_ingest, settings
from wire.codec import decode_batch
from wire.names import shard_of

pytestmark = pytest.mark.services

EXAMPLES = int(os.environ.get("FLEETWIRE_BAD_INPUT_EXAMPLES", "600"))
AT_ONCE = 4
REFUSALS = {400, 403, 413, 415, 422}
VEHICLE = "truck-1"
STREAM = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
async def sender(database_url: str, redis_url: str) -> AsyncIterator[Sender]:
    token = await add_vehicle(database_url, VEHICLE)
    limits = {"body_bytes": 8_000_000, "plain_bytes": 16_000_000}
    async with running_ingest(settings(database_url, redis_url, **limits)) as address, Sender(address, token) as sender:
        yield sender


async def test_damaged_bodies_are_refused_or_what_is_taken_can_be_stored(sender: Sender, redis_url: str) -> None:
    rng = random.Random(20_240_229)
    goods = good_bodies(VEHICLE, STREAM)
    bodies = [damaged(rng, goods) for _ in range(EXAMPLES)]
    found: list[int] = []

    async def send(some: Sequence[tuple[bytes, str]]) -> None:
        for body, coding in some:
            status, answer = await sender.post("/v1/batches", body, **{"Content-Encoding": coding})
            assert status == 200 or (status in REFUSALS and answer["status"] == status), (status, body)
            found.append(status)

    await asyncio.gather(*(send(bodies[start::AT_ONCE]) for start in range(AT_ONCE)))
    assert len(found) == EXAMPLES
    assert 200 in found
    assert 400 in found
    async with Bus(redis_url) as bus:
        queued = await bus.read([shard_of(VEHICLE)], count=EXAMPLES * 5, block_ms=100)
    assert queued
    for entry in queued:
        if entry.batch is not None:
            batch = decode_batch(unpack(entry.batch))
            assert f"{batch.vehicle}/{batch.stream}/{batch.seq}" == entry.name
            assert problem_of(batch, unpack(entry.batch)) is None


HEAD = b'"v":1,"vehicle":"truck-1","stream":"%s","seq":0,"t0":0' % STREAM.encode()


def batch_of(rest: bytes) -> bytes:
    return b'{"batches":[{%s,%s}]}' % (HEAD, rest)


@pytest.mark.parametrize(
    ("status", "problem", "body"),
    [
        (400, "not JSON", b'{"batches":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        (400, "not JSON", batch_of(b'"signals":{"a":{"dt":[0],"v":[%s]}}' % (b"9" * 1_000_000))),
        (400, "twice", batch_of(b'"seq":1')),
        (400, "twice", batch_of(b'"signals":{"a":{"dt":[0],"v":[1]},"a":{"dt":[0],"v":[2]}}')),
        (413, "batches", b'{"batches":[%s0]}' % (b"0," * 1_000_000)),
        (413, "streams", b'{"streams":[%s0]}' % (b"0," * 1_000_000)),
        (413, "as sent", b'{"batches":["%s"]}' % (b"x" * 10_000_000)),
        (200, "finite", batch_of(b'"signals":{"a":{"dt":[0],"v":[1e999]}}')),
        (400, "not JSON", batch_of(b'"signals":{"a":{"dt":[0],"v":[NaN]}}')),
        (400, "not JSON", batch_of(b'"signals":{"a":{"dt":[0],"v":[-Infinity]}}')),
        (413, "as sent", batch_of(b'"signals":{"%s":{"dt":[0],"v":[1]}}' % (b"x" * 10_000_000))),
        (200, "dt.0", batch_of(b'"signals":{"a":{"dt":[1180591620717411303424],"v":[1]}}')),
        (200, "equally long", batch_of(b'"signals":{"a":{"dt":[0,1],"v":[1]}}')),
        (200, "never go back", batch_of(b'"signals":{"a":{"dt":[1,0],"v":[1,2]}}')),
        (200, "U+0000", batch_of(b'"signals":{"a\\u0000":{"dt":[0],"v":[1]}}')),
        (200, "512", batch_of(b'"signals":{"%s":{"dt":[0],"v":[1]}}' % (b"x" * 7_000_000))),
        (200, "values", batch_of(b'"dense":1,"times":[[0]],"signals":{%s"z":[0,0,1,1]}' % (
            b",".join(b'"%d":[0,0,1,1]' % n for n in range(300_000)) + b","))),
    ],
)  # fmt: skip
async def test_hostile_body_is_refused_with_its_reason(sender: Sender, status: int, problem: str, body: bytes) -> None:
    async with sender.session.post("/v1/batches", data=io.BytesIO(body)) as response:
        found, answer = response.status, await response.json(content_type=None)
    assert found == status
    if status == 200:
        assert answer["accepted"] == []
        answer = {"detail": answer["rejected"][0]["problem"]}
    assert problem in answer["detail"]
    assert len(json.dumps(answer)) < 2_000
