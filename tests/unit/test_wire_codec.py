"""The codec gives back what it was given, and refuses what is no batch."""

import json
import math
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wire.codec import CodecError, decode_batch, encode_batch, parse_json, relabel_batch
from wire.model import Batch, Column, Event, Fixes, FrameBlock
from wire.names import MAX_SAFE_INTEGER

STREAM = "0199c0de-0000-7000-8000-000000000001"

finite = st.floats(allow_nan=False, allow_infinity=False)
scaled = st.builds(lambda k, f: k * f, st.integers(-(10**6), 10**6), st.sampled_from([1, 0.1, 0.125, 0.01, 1e-7]))
values = st.one_of(finite, scaled, st.integers(-(2**60), 2**60).map(float), st.just(-0.0))


@st.composite
def times(draw: st.DrawFn, size: int) -> list[int]:
    return sorted(draw(st.lists(st.integers(-(10**6), 10**9), min_size=size, max_size=size)))


@st.composite
def columns(draw: st.DrawFn) -> Column:
    size = draw(st.integers(0, 8))
    flags = draw(st.dictionaries(st.integers(0, max(size - 1, 0)), st.integers(1, 32767))) if size else {}
    v = draw(st.lists(values, min_size=size, max_size=size))
    return Column(dt=draw(times(size)), v=v, q=flags or None)


@st.composite
def fixes(draw: st.DrawFn) -> Fixes:
    size = draw(st.integers(0, 5))

    def column(of: st.SearchStrategy[Any]) -> Any:
        return draw(st.lists(of, min_size=size, max_size=size))

    optional = st.one_of(st.none(), values)
    return Fixes(
        dt=draw(times(size)),
        lat=column(st.floats(-90, 90)),
        lon=column(st.floats(-180, 180)),
        alt=column(optional) if draw(st.booleans()) else None,
        speed=column(optional),
        sats=column(st.one_of(st.none(), st.integers(0, 255))) if draw(st.booleans()) else None,
    )


batches = st.builds(
    Batch,
    vehicle=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", fullmatch=True),
    stream=st.uuids(version=4).map(str),
    seq=st.integers(0, MAX_SAFE_INTEGER),
    t0=st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER),
    clock=st.sampled_from(["trusted", "relabelled", "untrusted"]),
    signals=st.dictionaries(st.text(min_size=1, max_size=20), columns(), max_size=5),
    fixes=st.none() | fixes(),
    events=st.lists(st.builds(Event, t=st.integers(0, 2**41), kind=st.just("dtc"), data=st.just({"spn": 110}))),
    frames=st.lists(st.just(FrameBlock(bus="pt", dt=[0, 1], id=[1, 0x1FFFFFFF], data=["", "00ff"])), max_size=1),
    catalog=st.none() | st.just("ab" * 32),
)


def test_event_is_moved_and_what_it_tells_is_not() -> None:
    step = Event(t=100, kind="clock_step", data={"from": 0, "to": 100})
    assert step.moved(5) == Event(t=105, kind="clock_step", data={"from": 0, "to": 100})
    assert step.moved(0) is step


@given(batches, st.booleans(), st.integers(-(2**41), 2**41))
def test_relabelling_moves_the_times_and_nothing_else(batch: Batch, dense: bool, shift_ms: int) -> None:
    assume(abs(batch.t0 + shift_ms) <= MAX_SAFE_INTEGER)  # no clock is off by so much
    events = [event.moved(shift_ms) for event in batch.events]
    moved = batch.model_copy(update={"t0": batch.t0 + shift_ms, "events": events, "clock": "relabelled"})
    assert decode_batch(relabel_batch(encode_batch(batch, dense=dense), shift_ms=shift_ms)) == moved


def _bits(batch: Batch) -> Any:
    """Everything, with doubles as hex so that -0.0 differs from 0.0."""
    return json.loads(
        json.dumps(batch.model_dump(mode="json")),
        parse_float=lambda text: float(text).hex(),
        parse_int=lambda text: float(text).hex(),
    )


@given(batches)
@settings(max_examples=300)
def test_both_forms_give_back_the_very_batch(batch: Batch) -> None:
    for dense in (True, False):
        again = decode_batch(encode_batch(batch, dense=dense))
        assert again == batch
        assert _bits(again) == _bits(batch)


def test_dense_form_is_marked_and_smaller() -> None:
    signals = {
        f"EEC1.S{index}": Column(dt=list(range(0, 5000, 100)), v=[n * 0.125 for n in range(50)]) for index in range(9)
    }
    batch = Batch(vehicle="truck-1", stream=STREAM, seq=0, t0=1_700_000_000_000, signals=signals)
    dense, plain = encode_batch(batch), encode_batch(batch, dense=False)
    assert json.loads(dense)["dense"] == 1
    assert "dense" not in json.loads(plain)
    assert len(dense) < len(plain) / 2


def _plain(**changes: Any) -> dict[str, Any]:
    return {
        "v": 1,
        "vehicle": "truck-1",
        "stream": STREAM,
        "seq": 0,
        "t0": 0,
        "clock": "trusted",
        "signals": {"A.b": {"dt": [0, 5], "v": [1.0, 2]}},
        **changes,
    }


def test_a_batch_typed_by_hand_is_read() -> None:
    batch = decode_batch({"v": 1, "vehicle": "v", "stream": STREAM, "seq": 0, "t0": 0, "events": None})
    assert batch.sample_count == 0
    assert decode_batch(json.dumps(_plain())).signals["A.b"].v == [1.0, 2.0]


def test_an_integer_beyond_a_double_becomes_the_nearest() -> None:
    assert decode_batch(_plain(signals={"A.b": {"dt": [0], "v": [2**60 + 1]}})).signals["A.b"].v == [float(2**60)]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"v": 2}, "v"),
        ({"vehicle": "-truck"}, "vehicle"),
        ({"vehicle": "truck\n"}, "vehicle"),
        ({"vehicle": "x" * 65}, "vehicle"),
        ({"stream": "abc"}, "stream"),
        ({"seq": -1}, "seq"),
        ({"seq": 1.0}, "seq"),
        ({"seq": True}, "seq"),
        ({"seq": MAX_SAFE_INTEGER + 1}, "seq"),
        ({"t0": "0"}, "t0"),
        ({"clock": "sundial"}, "clock"),
        ({"surprise": 1}, "surprise"),
        ({"signals": {"": {"dt": [], "v": []}}}, "signals"),
        ({"signals": {"A.b": {"dt": [5, 0], "v": [1, 2]}}}, "falls"),
        ({"signals": {"A.b": {"dt": [0], "v": [1, 2]}}}, "equally long"),
        ({"signals": {"A.b": {"dt": [0], "v": [math.nan]}}}, "A.b.v.0"),
        ({"signals": {"A.b": {"dt": [0], "v": [math.inf]}}}, "A.b.v.0"),
        ({"signals": {"A.b": {"dt": [0], "v": ["1"]}}}, "A.b.v.0"),
        ({"signals": {"A.b": {"dt": [0], "v": [True]}}}, "A.b.v.0"),
        ({"signals": {"A.b": {"dt": [0], "v": [1], "q": {"1": 1}}}}, "q must map"),
        ({"fixes": {"dt": [0], "lat": [91], "lon": [0]}}, "fixes.lat"),
        ({"fixes": {"dt": [0], "lat": [1]}}, "fixes.lon"),
        ({"fixes": {"dt": [0], "lat": [None], "lon": [0]}}, "fixes.lat"),
        ({"events": [{"t": 0}]}, "events.0.kind"),
        ({"frames": [{"bus": "b", "dt": [0], "id": [1], "data": ["0"]}]}, "frames.0.data"),
        ({"catalog": "nohash"}, "catalog"),
    ],
)
def test_what_is_no_batch_is_refused_with_its_place(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(CodecError) as caught:
        decode_batch(_plain(**changes))
    assert named in caught.value.problem
    assert "\n" not in caught.value.problem


@pytest.mark.parametrize(
    "changes",
    [
        {"dense": 2},
        {"dense": True},
        {"dense": 1, "signals": {"A.b": {"dt": [0], "v": [1]}}},
        {"dense": 1, "signals": {"A.b": [0, 0, 1]}},
        {"dense": 1, "times": [[0]], "signals": {"A.b": [1, 0, 1, 1]}},
        {"dense": 1, "times": [[0]], "signals": {"A.b": [0, 99, 1, 1]}},
        {"dense": 1, "times": [[0]], "signals": {"A.b": [0, 0]}},
        {"dense": 1, "times": [[0]], "signals": {"A.b": [0, 0, 0, 1]}},
        {"dense": 1, "times": [[0]], "signals": {"A.b": [0, 0, 0.5, 1]}},
        {"dense": 1, "times": [[0]], "signals": {"A.b": [0, 0, True, 1]}},
        {"dense": 1, "times": [[0]], "signals": {"A.b": [0, 0, 1, 1, 1]}},
        {"dense": 1, "times": [[0]], "signals": {"A.b": [0, 0, 1, "x"]}},
        {"dense": 1, "times": [[0]], "signals": {"A.b": [0, 0, 10**15, "x"]}},
        {"dense": 1, "times": [[0]], "signals": {"A.b": [0, 0, 10**15, [0]]}},
        {"dense": 1, "times": [[0]], "signals": {"A.b": [0, 0, 1, 10**400]}},
        {"dense": 1, "times": [[0]], "signals": {"A.b": [0, 0, 10**400, 1]}},
        {"dense": 1, "times": [[0.5]], "signals": {"A.b": [0, 0, 1, 1]}},
        {"dense": 1, "times": [[0]], "signals": [[0, 0, 1]]},
        {"dense": 1, "times": 5, "signals": {}},
        {"dense": 1, "times": [["a", "b"]], "signals": {}},
        {"dense": 1, "times": [[[1], [2]]], "signals": {}},
        {"dense": 1, "signals": {}, "q": {"A.b": {"0": 1}}},
        {"dense": 1, "signals": {}, "fixes": {"dt": 0}},
        {"dense": 1, "signals": {}, "extra": 0},
    ],
)
def test_a_broken_dense_batch_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CodecError):
        decode_batch(_plain(**changes))


def test_a_batch_of_too_many_values_is_refused_before_they_are_unpacked() -> None:
    zeros = [0] * 500_001
    fixes = {"dt": zeros, "lat": zeros}
    for columns in ({"signals": {name: {"dt": zeros, "v": zeros} for name in "ab"}}, {"fixes": fixes}):
        with pytest.raises(CodecError, match="in smaller ones"):
            decode_batch(_plain(**columns))


def test_a_problem_stays_short_whatever_it_is_about() -> None:
    with pytest.raises(CodecError) as caught:
        decode_batch(_plain(dense=[0] * 100_000))
    assert len(caught.value.problem) < 600


@pytest.mark.parametrize("text", ["", "{", "[NaN]", "[Infinity]", b"\xff", "[" * 100_000])
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(CodecError):
        parse_json(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_anything_else_is_refused_with_a_codec_error_alone(value: Any) -> None:
    with pytest.raises(CodecError):
        decode_batch(value)
