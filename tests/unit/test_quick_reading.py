"""The quick way of reading a request and the long one judge alike; what the quick one leaves, the long one reads."""

import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cloud.ingest.quick import read_quickly
from cloud.ingest.reading import Reading
from cloud.ingest.thorough import read_thoroughly
from cloud.problem import Problem
from tests.strategies import columns, numbers
from wire.codec import encode_batch
from wire.model import Batch, Column, Fixes

EXAMPLES = int(os.environ.get("FLEETWIRE_BAD_INPUT_EXAMPLES", "2000")) // 4
VEHICLE = "truck:1"
STREAM = "01890a5d-ac96-774b-bcce-b302099a8057"
OTHER = "01890a5d-ac96-774b-bcce-b302099a8058"

often = settings(max_examples=EXAMPLES, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def fixes(draw: st.DrawFn) -> Fixes:
    dt = sorted(draw(st.lists(st.integers(0, 5000), max_size=4)))

    def some(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=len(dt), max_size=len(dt)))

    maybe = st.none() | numbers
    return Fixes(
        dt=dt,
        lat=some(st.floats(-90, 90)),
        lon=some(st.sampled_from([-180.0, 180.0, 24.9384, 0.0])),
        alt=some(maybe) if draw(st.booleans()) else None,
        speed=some(maybe),
        sats=some(st.none() | st.integers(0, 255)) if draw(st.booleans()) else None,
    )


names = st.sampled_from(["EEC1.EngineSpeed", "pt:EEC1.EngineSpeed@00", "Ä.Größe", "x"]) | st.text(
    min_size=1, max_size=5
)
batches = st.builds(
    Batch,
    vehicle=st.just(VEHICLE),
    stream=st.sampled_from([STREAM, OTHER]),
    seq=st.integers(0, 2**53),
    t0=st.sampled_from([0, 1_700_000_000_000, -62_135_596_800_000, 253_402_300_799_000, 2**53]),
    clock=st.sampled_from(["trusted", "relabelled", "untrusted"]),
    signals=st.dictionaries(names, columns(), max_size=4),
    fixes=st.none() | fixes(),
    catalog=st.none() | st.just("0f" * 32),
)
claims = st.fixed_dictionaries(
    {"stream": st.sampled_from([STREAM, OTHER]), "next": st.integers(0, 2**53), "lost": st.just([])}
)


def body(of: list[Batch], streams: list[Any]) -> bytes:
    listed = json.dumps(streams, separators=(",", ":")).encode()
    return b'{"batches":[%s],"streams":%s}' % (b",".join(map(encode_batch, of)), listed)


bodies = st.builds(body, st.lists(batches, max_size=3), st.lists(claims, max_size=2))

SPLICES = [
    b"", b"-", b".0", b"0", b"9" * 17, b"9" * 400, b"1e999", b"1e5", b"NaN", b"Infinity", b"null", b"true", b'""',
    b"[]", b"{}", b"\xff", b"[[", b'"seq":1,', b'"q":{},', b'"x":1,', b'"v":1,', b"\x00", b"\\u0000", b" ", b",", b":",
]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good body after a few bytes were changed, cut, doubled or put in."""
    of = bytearray(draw(bodies))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(of)))
        match draw(st.integers(0, 3)):
            case 0:
                of[at : at + draw(st.integers(0, 12))] = draw(st.sampled_from(SPLICES))
            case 1:
                of[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 2:
                of[at:at] = of[at : at + draw(st.integers(1, 40))]
            case _:
                of[at : at + 1] = draw(st.sampled_from([b"0", b"1", b"9", b"-", b".", b"5", b"[", b"]", b'"', b"}"]))
    return bytes(of)


def meaning(reading: Reading) -> Any:
    """What the reading says, whichever bytes it says it with."""
    kept = [(t.stream, t.seq, t.catalog, t.samples, json.loads(t.body, parse_int=float)) for t in reading.taken]
    return kept, list(reading.claims), list(reading.rejected)


def assert_alike(plain: bytes) -> None:
    if (quick := read_quickly(plain, VEHICLE)) is not None:
        assert meaning(quick) == meaning(read_thoroughly(plain, VEHICLE))


@often
@given(bodies)
def test_good_requests_are_read_alike(plain: bytes) -> None:
    assert_alike(plain)


@often
@given(damaged())
@example(b'{"batches":[],"streams":[]}')
def test_quick_way_takes_nothing_that_the_long_way_refuses(plain: bytes) -> None:
    assert_alike(plain)


@often
@given(damaged())
def test_damaged_request_is_read_or_refused(plain: bytes) -> None:
    assert status_of(plain) in (200, 400, 403, 422)


def status_of(plain: bytes) -> int:
    try:
        read_thoroughly(plain, VEHICLE)
    except Problem as problem:
        return problem.status
    return 200


USUAL = Batch(
    vehicle=VEHICLE,
    stream=STREAM,
    seq=7,
    t0=1_700_000_000_000,
    signals={"pt:EEC1.EngineSpeed@00": Column(dt=[0, 10], v=[650.5, 0.1 + 0.2]), "Ä": Column(dt=[], v=[])},
    fixes=Fixes(dt=[0], lat=[60.17], lon=[24.9384], alt=[None], speed=[42.0], sats=[9]),
    catalog="0f" * 32,
)


def test_what_agents_send_is_read_the_quick_way() -> None:
    plain = body([USUAL, USUAL.model_copy(update={"seq": 8})], [{"stream": STREAM, "next": 12, "lost": []}])
    reading = read_quickly(plain, VEHICLE)
    assert reading is not None
    assert [(one.seq, one.samples, one.catalog) for one in reading.taken] == [(7, 2, "0f" * 32), (8, 2, "0f" * 32)]
    assert reading.taken[0].body == encode_batch(USUAL)
    assert reading.claims[0].next == 12


def test_claim_that_says_no_more_than_the_batches_beside_it_is_left_out() -> None:
    ends = [{"stream": STREAM, "next": 8, "lost": []}, {"stream": OTHER, "next": 0, "lost": []}]
    reading = read_quickly(body([USUAL], ends), VEHICLE)
    assert reading is not None
    assert [claim.stream for claim in reading.claims] == [OTHER]
    assert reading.streams == {STREAM, OTHER}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"v":1', b'"v":2'),
        (b'"v":1', b'"v":true'),
        (b'"dense":1', b'"dense":1.0'),
        (b'"seq":7', b'"seq":7.0'),
        (b'"seq":7', b'"seq":7,"seq":8'),
        (b'"seq":7', b'"seq":7,"s\\u0065q":8'),
        (b'"seq":7', b'"seq":1180591620717411303424'),
        (b'"trusted"', b'"cuckoo"'),
        (b"a8057", b"a805Z"),
        (b'0f0f"', b'0f0F"'),
        (b'"truck:1"', b'"truck-2"'),
        (b'"times":[[', b'"times":[[-1,'),
        (b'"times":[[', b'"times":[[9007199254740992,'),
        (b'"times":[[', b'"times":[[86400001,'),
        (b'"times":[[0,10]', b'"times":[[0,10,0]'),
        (b'"times":[[0,10]', b'"times":[[0,1.5]'),
        (b"[0,null,650.5", b"[9,null,650.5"),
        (b"[0,null,650.5", b"[-1,null,650.5"),
        (b"[0,null,650.5", b"[0,null,null"),
        (b"[0,null,650.5", b"[0,null,1e999"),
        (b"[0,null,650.5", b"[0,null,true"),
        (b"[0,null,650.5", b"[0,10,650.5"),
        (b'"lat":[2,6017,1]', b'"lat":[0,1,91]'),
        (b'"lat":[2,6017,1]', b'"lat":[null,90.00001]'),
        (b'"lat":[2,6017,1]', b'"lat":[2,0,1]'),
        (b'"lat":[2,6017,1]', b'"lat":[2,6017,1,0]'),
        (b'"lat":[2,6017,1],', b""),
        (b'"sats":[0,9,1]', b'"sats":[0,9,100]'),
        (b'"sats":[0,9,1]', b'"sats":[1,9,1]'),
        (b'"sats"', b'"satz"'),
        (b'"dt":2', b'"dt":7'),
        (b'"lost":[]', b'"lost":[[0,1,"evicted"]]'),
        (b'"lost":[]', b'"lost":null'),
        (b'"next":9', b'"next":-9'),
        (b'"batches"', b'"bathes"'),
        (b'"catalog"', b'"katalog"'),
        (b"pt:EEC1", b"pt\\u0000"),
        ("Ä".encode(), b"\xc4"),
        ("Ä".encode(), b"x" * 513),
        ("Ä".encode(), b""),
        ("Ä".encode(), b"pt:EEC1.EngineSpeed@00"),
    ],
)
def test_whatever_is_not_plainly_good_is_left_to_the_long_way(old: bytes, new: bytes) -> None:
    good = body([USUAL], [{"stream": STREAM, "next": 9, "lost": []}])
    assert old in good
    assert read_quickly(good, VEHICLE) is not None
    changed = good.replace(old, new, 1)
    assert read_quickly(changed, VEHICLE) is None


@pytest.mark.parametrize(
    "plain",
    [
        b'{"batches":[],"batches":[]}',
        b'{"batches":[],"b\\u0061tches":[]}',
        b'{"batches":[{"signals":{"a":{"dt":[],"v":[]},"a":{"dt":[],"v":[]}}}]}',
        b'{"streams":[{"next":1,"next":2}]}',
    ],
)
def test_name_that_stands_twice_in_an_object_is_400(plain: bytes) -> None:
    with pytest.raises(Problem, match="twice") as raised:
        read_thoroughly(plain, VEHICLE)
    assert raised.value.status == 400
