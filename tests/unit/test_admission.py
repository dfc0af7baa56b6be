"""What ingest decides by itself: encodings, what can be stored, flat events, which claims are worth an entry."""

import asyncio
import gzip
import json

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.body import AT_ONCE_BYTES, Body, content_encoding, unpack, unpack_aside
from cloud.ingest.flat_events import read_events
from cloud.ingest.thorough import judge
from cloud.problem import Problem

LIMIT = 10_000
STREAM = "01890a5d-ac96-774b-bcce-b302099a8057"


@given(st.binary(max_size=LIMIT), st.sampled_from(["zstd", "gzip", "identity"]))
def test_body_is_unpacked_as_it_was_packed(body: bytes, coding: str) -> None:
    packed = {"zstd": zstandard.compress, "gzip": gzip.compress, "identity": bytes}[coding](body)
    assert unpack(packed, coding, plain_limit=LIMIT).plain == body


@given(st.data(), st.sampled_from(["zstd", "gzip"]))
def test_damaged_body_is_a_problem_and_never_another_error(data: st.DataObject, coding: str) -> None:
    body = bytearray({"zstd": zstandard.compress, "gzip": gzip.compress}[coding](b'{"batches":[]}' * 50))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(body[: data.draw(st.integers(0, len(body)))])
    assert status_of(cut, coding) in (200, 400, 413)


def status_of(body: bytes, coding: str) -> int:
    try:
        unpack(body, coding, plain_limit=LIMIT)
    except Problem as problem:
        return problem.status
    return 200


def test_several_frames_or_members_are_one_body() -> None:
    assert unpack(zstandard.compress(b"ab") + zstandard.compress(b"c"), "zstd", plain_limit=LIMIT).plain == b"abc"
    assert unpack(gzip.compress(b"ab") + gzip.compress(b"c"), "gzip", plain_limit=LIMIT).plain == b"abc"


@pytest.mark.parametrize("coding", ["zstd", "gzip"])
def test_bomb_is_stopped_at_the_limit(coding: str) -> None:
    bomb = {"zstd": zstandard.compress, "gzip": gzip.compress}[coding](bytes(300_000_000))
    with pytest.raises(Problem) as raised:
        unpack(bomb, coding, plain_limit=LIMIT)
    assert raised.value.status == 413


async def test_bodies_that_are_unpacked_aside_at_once_come_out_as_they_went_in() -> None:
    sizes = [0, 10, AT_ONCE_BYTES, AT_ONCE_BYTES + 1, 3_000_000]
    bodies = [bytes([number]) * size for number in range(1, 7) for size in sizes]
    for coding, pack in (("zstd", zstandard.compress), ("gzip", gzip.compress), ("identity", bytes)):
        unpacking = (unpack_aside(pack(body), coding, plain_limit=3_000_000) for body in bodies)
        assert [body.plain for body in await asyncio.gather(*unpacking)] == bodies


async def test_frame_of_a_usual_size_is_kept_as_it_came() -> None:
    packed = zstandard.compress(b"{}")
    assert await unpack_aside(packed, "zstd", plain_limit=LIMIT) == Body(b"{}", packed)


@pytest.mark.parametrize("coding", ["zstd", "gzip"])
@pytest.mark.parametrize("has_a_small_start", [False, True])
async def test_bomb_is_stopped_aside_too(coding: str, *, has_a_small_start: bool) -> None:
    pack = {"zstd": zstandard.compress, "gzip": gzip.compress}[coding]
    start = pack(b"ab") if has_a_small_start else b""
    with pytest.raises(Problem) as raised:
        await unpack_aside(start + pack(bytes(20_000_000)), coding, plain_limit=LIMIT)
    assert raised.value.status == 413


@pytest.mark.parametrize(
    ("headers", "coding"),
    [([], "identity"), (["ZSTD"], "zstd"), ([" gzip "], "gzip"), (["identity"], "identity"), ([""], "identity")],
)
def test_encoding_is_read_as_the_standard_says(headers: list[str], coding: str) -> None:
    assert content_encoding(tuple(headers)) == coding


@pytest.mark.parametrize("headers", [["br"], ["gzip", "zstd"], ["gzip,gzip"], ["x-zstd"]])
def test_unknown_or_stacked_encoding_is_415(headers: list[str]) -> None:
    with pytest.raises(Problem) as raised:
        content_encoding(tuple(headers))
    assert raised.value.status == 415


def test_rejected_batches_keep_their_place() -> None:
    good = {"v": 1, "vehicle": "a", "stream": STREAM, "seq": 4, "t0": 0}
    taken, rejected = judge([1, good, good | {"t0": 2**53, "events": [{"t": 2**53, "kind": "x"}]}, {}], "a")
    assert [json.loads(one.body)["seq"] for one in taken] == [4]
    assert [(one.index, one.seq) for one in rejected] == [(0, None), (2, 4), (3, None)]


def test_batch_of_another_vehicle_refuses_the_request() -> None:
    with pytest.raises(Problem) as raised:
        judge([{"vehicle": "b"}], "a")
    assert raised.value.status == 403


def key(event: dict[str, object]) -> bytes:
    return read_events(event, "a")[0].key


def test_event_is_known_by_its_id_or_else_by_all_it_says() -> None:
    event = {"time": 0, "lat": 1.5, "lon": 2}
    assert key(event) == key(dict(reversed(event.items())))
    assert key(event) != key(event | {"lat": 1.25})
    assert key(event | {"id": "7"}) == key(event | {"id": "7", "lat": 1.25})
    assert key(event | {"id": "7"}) != key(event | {"id": "8"})


def test_event_time_may_have_any_offset() -> None:
    times = [0, "1970-01-01T00:00:00Z", "1970-01-01T01:00:00+01:00", "1970-01-01 00:00:00.000Z"]
    assert {read_events({"time": time, "kind": "x"}, "a")[0].batch.t0 for time in times} == {0}
