"""What a batch says of now is the same, read quickly or whole."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ws.facts import facts_of, quick_facts
from tests.strategies import columns, numbers
from wire.codec import decode_batch, encode_batch
from wire.model import Batch, Column, Event, Fixes, FrameBlock

NOW = 1_700_000_000_000
STREAM = "01890a5d-ac96-774b-bcce-b302099a8057"


@st.composite
def fixes(draw: st.DrawFn) -> Fixes:
    dt = sorted(draw(st.lists(st.integers(0, 400_000), max_size=4)))

    def some(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=len(dt), max_size=len(dt)))

    speeds = st.none() | st.sampled_from([0.0, 1.0, 2.0, 2.5, 50.0])
    return Fixes(
        dt=dt,
        lat=some(st.floats(-90, 90)),
        lon=some(st.sampled_from([-180.0, 24.9384, 0.0])),
        alt=some(st.none() | numbers) if draw(st.booleans()) else None,
        speed=some(speeds) if draw(st.booleans()) else None,
        sats=some(st.none() | st.integers(0, 255)) if draw(st.booleans()) else None,
    )


names = st.sampled_from(["EEC1.EngineSpeed", "pt:A.B@00", "Ä.Größe"])
batches = st.builds(
    Batch,
    vehicle=st.just("truck-1"),
    stream=st.just(STREAM),
    seq=st.just(0),
    t0=st.sampled_from([NOW, NOW - 200_000, NOW + 200_000, 0, -(2**53), 2**53]),
    signals=st.dictionaries(
        st.sampled_from(["EEC1.EngineSpeed", "pt:A.B@00", "Ä.Größe"]), columns(earliest_ms=-3, latest_ms=400_000)
    ),
    fixes=st.none() | fixes(),
)


@given(batches)
def test_quick_facts_are_those_of_the_whole_batch(batch: Batch) -> None:
    payload = encode_batch(batch)
    quick = quick_facts(payload, NOW)
    dts = [column.dt for column in batch.signals.values()] + ([batch.fixes.dt] if batch.fixes else [])
    assert (quick is None) == any(len(dt) > 1 and dt[-1] == dt[-2] for dt in dts)
    if quick is not None:
        assert quick == ("truck-1", facts_of(decode_batch(payload), NOW))


def test_what_is_not_plainly_dense_is_left_to_be_read_whole() -> None:
    plain = Batch(vehicle="a", stream=STREAM, seq=0, t0=NOW, signals={"M.S": Column(dt=[0], v=[1.0])})
    event = plain.model_copy(update={"events": [Event(t=NOW, kind="dtc_set")]})
    frames = plain.model_copy(update={"frames": [FrameBlock(bus="pt", dt=[1], id=[1], data=["00"])]})
    assert quick_facts(encode_batch(plain), NOW) is not None
    for payload in (encode_batch(plain, dense=False), encode_batch(event), encode_batch(frames)):
        assert quick_facts(payload, NOW) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"[]", b"{}", b"\xff", b"[" * 10_000, b'{"dense":1,"vehicle":"a","t0":0,"signals":{"x":[0]}}',
        b'{"dense":1,"vehicle":"a","t0":0,"times":[[1]],"signals":{"x":["0","1"]}}',
        b'{"dense":1,"vehicle":"a","t0":1700000000000,"times":[[1]],"signals":{"x":[0,-400,1,9]}}',
        b'{"dense":1,"vehicle":"a","t0":1700000000000,"times":[[1]],"fixes":{"dt":0,"lat":[0,1,5]}}',
        b'{"dense":1,"vehicle":"a","t0":1700000000000,"times":[[1]],"fixes":{"dt":9}}',
        b'{"dense":1,"vehicle":"a","t0":1700000000000,"times":[[1,1]],"signals":{"x":[0,0,1,0.1,0.2]}}',
        b'{"dense":1,"vehicle":"a","t0":1700000000000,"times":[[1]],"fixes":{"dt":0,"lat":[0,1,-0.0],"lon":[0,1,5]}}',
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_left_to_be_refused(payload: bytes) -> None:
    assert quick_facts(payload, NOW) is None
