"""Facts by their times: nothing is lost or made up by taking them apart, and a part is a batch that says the same."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cloud.telemetry.fact_parts import batch_of, counts_of, rows_where, shifted
from cloud.telemetry.facts import Facts, facts_of
from cloud.telemetry.plausible import EARLIEST_MS, MOST_AHEAD_MS, part_by_time, without_spans
from wire.codec import decode_batch, encode_batch
from wire.model import Batch, Column, Event, Fixes, FrameBlock

NOW_MS = 1_700_000_000_000
STREAM = "01890a5d-ac96-774b-bcce-b302099a8057"
NAMES = {"vehicle": "truck-1", "stream": STREAM, "seq": 7, "catalog": None}

times = st.sampled_from(
    [0, 1, EARLIEST_MS - 1, EARLIEST_MS, NOW_MS, NOW_MS + MOST_AHEAD_MS, NOW_MS + MOST_AHEAD_MS + 1]
)
dts = st.lists(times, max_size=6).map(sorted)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def columns(draw: st.DrawFn) -> Column:
    dt = draw(dts)
    v = draw(st.lists(numbers, min_size=len(dt), max_size=len(dt)))
    q = draw(st.dictionaries(st.integers(0, len(dt) - 1), st.integers(1, 32767))) if dt else None
    return Column(dt=dt, v=v, q=q)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    fix_dt, frame_dt = draw(dts), draw(dts)
    count = len(fix_dt)
    fixes = Fixes(
        dt=fix_dt,
        lat=draw(st.lists(st.floats(-90, 90), min_size=count, max_size=count)),
        lon=draw(st.lists(st.floats(-180, 180), min_size=count, max_size=count)),
        speed=draw(st.lists(st.none() | numbers, min_size=count, max_size=count)),
        sats=draw(st.lists(st.none() | st.integers(0, 255), min_size=count, max_size=count)),
    )
    return Batch(
        **NAMES,
        t0=0,
        clock=draw(st.sampled_from(["trusted", "untrusted"])),
        signals=draw(st.dictionaries(st.sampled_from(["a", "b", "c"]), columns())),
        fixes=fixes if count else None,
        events=[Event(t=t, kind="k", data={"n": [1, None, "ä"]}) for t in draw(st.lists(times, max_size=4))],
        frames=[FrameBlock(bus="pt", dt=frame_dt, id=[5] * len(frame_dt), data=["00ff"] * len(frame_dt))],
    )


def rows(facts: Facts) -> list[tuple[object, ...]]:
    """Every fact by itself, in an order of their own."""
    names = np.repeat(np.array(facts.names, object), facts.counts)
    samples = zip(names, facts.t_ms, facts.tie, facts.values, facts.flags, strict=True)
    fixes = zip(facts.fix_t_ms, facts.fix_tie, *(map(str, column) for column in facts.fixes), strict=True)
    found = [("s", *map(str, one)) for one in samples] + [("f", facts.fix_flag, *map(str, one)) for one in fixes]
    found += [("e", str(one)) for one in facts.events] + [("r", str(one)) for one in facts.frames]
    return sorted(found)


@given(batches())
def test_every_row_is_either_possible_or_aside_for_one_cause(batch: Batch) -> None:
    facts = facts_of(batch)
    possible, aside = part_by_time(facts, NOW_MS)
    parts = [possible, *(one.facts for one in aside)]
    assert sorted(row for part in parts for row in rows(part)) == rows(facts)
    assert part_by_time(possible, NOW_MS) == (possible, ())
    for one in aside:
        assert one.facts.span_ms is not None
        low, high = one.facts.span_ms
        assert high < EARLIEST_MS if one.cause == "before_2010" else low > NOW_MS + MOST_AHEAD_MS
    if possible.span_ms:
        assert EARLIEST_MS <= possible.span_ms[0] <= possible.span_ms[1] <= NOW_MS + MOST_AHEAD_MS


@given(batches())
def test_part_is_a_batch_that_says_the_same(batch: Batch) -> None:
    facts = facts_of(batch)
    for part in (facts, rows_where(facts, lambda t_ms: t_ms >= EARLIEST_MS)):
        again = facts_of(decode_batch(encode_batch(batch_of(part, **NAMES))))
        assert rows(again) == rows(part)


@given(batches(), st.lists(st.tuples(times, times).filter(lambda span: span[0] < span[1]), max_size=3))
def test_what_lies_in_an_erased_span_is_gone_and_the_rest_is_left(batch: Batch, erased: list[tuple[int, int]]) -> None:
    facts = facts_of(batch)
    left = without_spans(facts, erased)

    def is_erased(t_ms: int) -> bool:
        return any(low <= t_ms < high for low, high in erased)

    for kept, all_of in ((left.t_ms, facts.t_ms), (left.fix_t_ms, facts.fix_t_ms)):
        assert kept.tolist() == [t_ms for t_ms in all_of.tolist() if not is_erased(t_ms)]
    assert left.events == tuple(event for event in facts.events if not is_erased(event.t_ms))
    assert sum(left.counts) == len(left.t_ms)


@given(batches(), st.integers(-(10**9), 10**9))
def test_shifted_there_and_back_is_the_same(batch: Batch, by_ms: int) -> None:
    facts = facts_of(batch)
    moved = shifted(facts, by_ms)
    assert counts_of(moved) == counts_of(facts)
    assert rows(shifted(moved, -by_ms)) == rows(facts)


def test_plain_facts_are_passed_on_as_they_are() -> None:
    facts = facts_of(Batch(**NAMES, t0=NOW_MS, signals={"a": Column(dt=[0, 5], v=[1, 2])}))
    assert part_by_time(facts, NOW_MS)[0] is facts
    assert without_spans(facts, [(NOW_MS + 6, NOW_MS + 9)]) is facts
