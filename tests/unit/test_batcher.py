"""Samples, fixes and events to drafts, and drafts to batches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.batcher import Batcher, Draft
from edge.fix import Fix
from wire.codec import decode_batch, encode_batch
from wire.model import Batch
from wire.quality import INEXACT

STREAM = "01890000-0000-7000-8000-000000000000"
NAMES = ["M.A", "M.B", "M.C"]
T0 = 1_700_000_000_000


def batcher(*, max_age_ms: int = 1_000, max_samples: int = 1_000) -> Batcher:
    return Batcher(NAMES, max_age_ms=max_age_ms, max_samples=max_samples)


def as_batch(draft: Draft) -> Batch:
    return draft.to_batch(vehicle="v1", stream=STREAM, seq=7)


def test_columns_count_from_the_earliest_time() -> None:
    subject = batcher()
    subject.add_samples([(0, T0 + 5, 1.0), (1, T0 + 5, 2)], now_ms=T0 + 5)
    subject.add_samples([(0, T0 + 9, 1.5)], now_ms=T0 + 9)
    subject.add_fix(Fix(T0 + 2, 48.1, 11.5, speed=12.0, sats=7))
    subject.add_event(T0 + 8, "button", {"which": 1})
    subject.close()
    (draft,) = subject.take()
    batch = as_batch(draft)
    assert (batch.t0, batch.stream, batch.seq, batch.sample_count) == (T0 + 2, STREAM, 7, 3)
    assert (batch.signals["M.A"].dt, batch.signals["M.A"].v) == ([3, 7], [1.0, 1.5])
    assert (batch.signals["M.B"].dt, batch.signals["M.B"].v) == ([3], [2.0])
    assert batch.fixes is not None
    assert (batch.fixes.dt, batch.fixes.lat, batch.fixes.speed, batch.fixes.alt) == ([0], [48.1], [12.0], None)
    assert [event.kind for event in batch.events] == ["button"]
    assert decode_batch(encode_batch(batch)) == batch


def test_draft_is_given_once_and_nothing_gives_none() -> None:
    subject = batcher()
    subject.close()
    subject.tick(10**9)
    assert subject.take() == []
    subject.add_event(T0, "start")
    subject.close()
    assert len(subject.take()) == 1
    assert subject.take() == []


def test_full_draft_is_closed_when_its_last_millisecond_is_over() -> None:
    subject = batcher(max_samples=3)
    for _ in range(3):
        subject.add_samples([(0, T0, 1.0), (1, T0, 1.0)], now_ms=T0)
    assert subject.take() == []
    subject.add_samples([(0, T0 + 1, 1.0)], now_ms=T0 + 1)
    assert [draft.sample_count for draft in subject.take()] == [6]


def test_endless_millisecond_is_cut() -> None:
    subject = batcher(max_samples=3)
    for _ in range(100):
        subject.add_samples([(0, T0, 1.0)], now_ms=T0)
    assert {draft.sample_count for draft in subject.take()} == {12}


def test_old_draft_is_closed_by_the_tick() -> None:
    subject = batcher(max_age_ms=1_000)
    subject.tick(0)
    subject.add_samples([(0, T0, 1.0)], now_ms=T0)
    subject.tick(5_000)
    subject.tick(5_999)
    assert subject.take() == []
    subject.tick(6_000)
    assert len(subject.take()) == 1


def test_samples_of_one_millisecond_keep_their_order() -> None:
    subject = batcher()
    values = [3.0, 1.0, 2.0, 1.0]
    subject.add_samples([(0, T0, value) for value in values], now_ms=T0)
    subject.add_samples([(0, T0 - 1, 9.0)], now_ms=T0 - 1)
    subject.close()
    assert as_batch(subject.take()[0]).signals["M.A"].v == [9.0, *values]


def test_late_release_of_one_signal_is_no_clock_step() -> None:
    subject = batcher(max_age_ms=60_000)
    subject.add_samples([(0, T0 + 5_000, 1.0)], now_ms=T0 + 5_000)
    subject.add_samples([(1, T0 + 100, 2.0)], now_ms=T0 + 5_000)
    subject.close()
    assert len(subject.take()) == 1


def test_buses_whose_clocks_differ_share_a_batch() -> None:
    subject = batcher(max_age_ms=60_000)
    for t_ms in range(T0, T0 + 1_000, 100):
        subject.add_samples([(0, t_ms, 1.0)], now_ms=t_ms)
        subject.add_samples([(1, t_ms - 3_000, 2.0)], now_ms=t_ms - 3_000)
    subject.close()
    assert [draft.sample_count for draft in subject.take()] == [20]


def test_clock_step_back_begins_a_new_batch() -> None:
    subject = batcher(max_age_ms=60_000)
    subject.add_samples([(0, T0, 1.0)], now_ms=T0)
    subject.add_samples([(0, T0 - 3_600_000, 2.0)], now_ms=T0 - 3_600_000)
    subject.add_samples([(0, T0 - 3_599_000, 3.0)], now_ms=T0 - 3_599_000)
    subject.close()
    assert [as_batch(draft).t0 for draft in subject.take()] == [T0, T0 - 3_600_000]


def test_integer_beyond_doubles_is_rounded_and_flagged() -> None:
    subject = batcher()
    subject.add_samples([(0, T0, 1), (0, T0, 2**53), (0, T0, 2**53 + 1), (0, T0, -(2**64))], now_ms=T0)
    subject.close()
    column = as_batch(subject.take()[0]).signals["M.A"]
    assert column.v == [1.0, 2.0**53, 2.0**53, -(2.0**64)]
    assert column.q == {2: INEXACT, 3: INEXACT}


def test_catalog_of_the_time_of_closing_is_named() -> None:
    subject = batcher()
    subject.catalog = "ab" * 32
    subject.add_event(T0, "start")
    subject.close()
    assert as_batch(subject.take()[0]).catalog == "ab" * 32


SAMPLES = st.tuples(st.integers(0, 2), st.integers(T0 - 3_000, T0 + 3_000), st.floats(allow_nan=False, width=32))


@given(st.lists(SAMPLES.filter(lambda sample: abs(sample[2]) < 1e9)), st.integers(1, 10))
def test_nothing_is_lost_or_doubled_and_every_batch_is_valid(samples: list, max_samples: int) -> None:
    subject = batcher(max_samples=max_samples)
    for sample in samples:
        subject.add_samples([sample], now_ms=sample[1])
    subject.close()
    got = [
        (name, batch.t0 + dt, value)
        for batch in map(as_batch, subject.take())
        for name, column in batch.signals.items()
        for dt, value in zip(column.dt, column.v, strict=True)
    ]
    assert sorted(got) == sorted((NAMES[index], t_ms, value) for index, t_ms, value in samples)


def test_fix_that_nobody_received_is_refused() -> None:
    with pytest.raises(AssertionError, match="received"):
        batcher().add_fix(Fix(None, 0.0, 0.0))


def test_sparing_vehicle_closes_batches_later_but_not_those_with_events() -> None:
    subject = batcher(max_age_ms=1_000, max_samples=10)
    subject.least_age_ms = 30_000
    for number in range(30):
        subject.add_samples([(0, T0 + number, 1.0)], now_ms=T0 + number)
    subject.tick(0)
    subject.tick(29_999)
    assert not subject.has_finished
    subject.tick(30_000)
    assert [draft.sample_count for draft in subject.take()] == [30]
    subject.add_samples([(0, T0 + 100, 1.0)], now_ms=T0 + 100)
    subject.tick(40_000)
    subject.add_event(T0 + 200, "alarm")
    subject.tick(41_000)
    assert subject.has_finished


def test_batch_of_a_sparing_vehicle_has_a_bound_too() -> None:
    subject = batcher(max_samples=10)
    subject.least_age_ms = 30_000
    for number in range(100):
        subject.add_samples([(0, T0 + number, 1.0)], now_ms=T0 + number)
    assert {draft.sample_count for draft in subject.take()} == {40}


def test_draft_that_still_grows_is_closed_between_two_milliseconds() -> None:
    subject = Batcher(["A"], max_age_ms=1_000, max_samples=1_000)
    subject.add_samples([(0, 100, 1.0)], now_ms=100)
    subject.tick(0)
    subject.add_samples([(0, 1_100, 2.0)], now_ms=1_100)
    subject.tick(1_000)
    subject.add_samples([(0, 1_100, 3.0)], now_ms=1_100)
    assert subject.take() == []
    subject.add_samples([(0, 1_101, 4.0)], now_ms=1_101)
    (draft,) = subject.take()
    assert list(draft.columns["A"].v) == [1.0, 2.0, 3.0]


def test_draft_that_is_due_is_closed_by_the_next_tick_where_nothing_comes() -> None:
    subject = Batcher(["A"], max_age_ms=1_000, max_samples=1_000)
    subject.tick(0)
    subject.add_samples([(0, 100, 1.0)], now_ms=100)
    subject.tick(0)
    subject.add_samples([(0, 1_100, 2.0)], now_ms=1_100)
    subject.tick(1_000)
    assert subject.take() == []
    subject.tick(1_050)
    assert len(subject.take()) == 1
