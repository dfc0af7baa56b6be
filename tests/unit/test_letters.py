"""What stays of a dead letter: nothing of what was erased, and all else."""

from hypothesis import given
from hypothesis import strategies as st

from cloud.telemetry.facts import facts_of
from cloud.telemetry.letters import Left, left_of
from wire.codec import decode_batch, encode_batch
from wire.model import Batch, Column, Event

STREAM = "01890a5d-ac96-774b-bcce-b302099a8057"
T0_MS = 1_700_000_000_000


def batch(*times_ms: int) -> Batch:
    dt = [t_ms - T0_MS for t_ms in times_ms]
    signals = {"M.A": Column(dt=dt, v=[float(n) for n in range(len(dt))])}
    events = [Event(t=t_ms, kind="x", data={}) for t_ms in times_ms]
    return Batch(vehicle="truck-1", stream=STREAM, seq=0, t0=T0_MS, signals=signals, events=events)


@given(
    st.lists(st.integers(T0_MS, T0_MS + 100), min_size=1, max_size=20).map(sorted),
    st.lists(st.tuples(st.integers(T0_MS - 5, T0_MS + 105), st.integers(0, 40)), max_size=3),
)
def test_erased_times_leave_and_all_others_stay(times_ms: list[int], erased: list[tuple[int, int]]) -> None:
    spans = [(low, low + length) for low, length in erased]
    stays = [t_ms for t_ms in times_ms if not any(low <= t_ms < high for low, high in spans)]
    payload = encode_batch(batch(*times_ms))
    left = left_of(payload, spans, at_ms=0)
    assert left.erased == 2 * (len(times_ms) - len(stays))
    if not stays:
        assert left.payload is None
        return
    assert left.payload is not None
    assert (left.payload == payload) == (stays == times_ms)
    facts = facts_of(decode_batch(left.payload))
    assert facts.t_ms.tolist() == stays
    assert [event.t_ms for event in facts.events] == stays


def test_what_cannot_be_read_goes_by_its_arrival() -> None:
    spans = [(10, 20), (30, 40)]
    kept = [at_ms for at_ms in (9, 10, 19, 20, 35, 40) if left_of(b"no batch", spans, at_ms=at_ms).payload]
    assert kept == [9, 20, 40]


def test_what_cannot_be_written_again_goes_with_what_is_erased_of_it() -> None:
    payload = encode_batch(batch(T0_MS, T0_MS + 50)).replace(b'"data":{}', b'"data":{"a":1e999}')
    assert left_of(payload, [(T0_MS, T0_MS + 1)], at_ms=0) == Left(None, 4)
    assert left_of(payload, [(T0_MS + 1, T0_MS + 2)], at_ms=0) == Left(payload)
