"""Which samples are kept, and that none is lost without a cause."""

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.campaigns.aggregator import SampleNames
from edge.sampler import Sample, Sampler, SamplingPolicy, SamplingRule, policy_for

VALUES = st.sampled_from([0.0, 1.0, 1.4, 2.0, 5.0, math.nan, math.inf])
STEPS = st.sampled_from([0, 1, 10, 60, 150, 2_000])
POLICIES = st.builds(
    SamplingPolicy,
    min_interval_ms=st.sampled_from([0, 50, 100]),
    max_interval_ms=st.sampled_from([0, 500]),
    deadband=st.sampled_from([0.0, 0.5]),
    every=st.booleans(),
) | st.builds(
    SamplingPolicy,
    deadband=st.sampled_from([0.0, 0.5]),
    deadband_percent=st.sampled_from([0.0, 20.0]),
    max_interval_ms=st.sampled_from([0, 500]),
)
ASIDE = st.sampled_from([SamplingPolicy(off=True), SamplingPolicy(aggregate=("count", "last"), window_ms=100)])


def sampler(**policy: float) -> Sampler:
    return Sampler([SamplingRule("*", SamplingPolicy(**policy))], ["Message.Signal"])


def run(sampler: Sampler, points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    kept: list[Sample] = []
    for t_ms, value in points:
        kept += sampler.due(t_ms)
        kept += sampler.offer(t_ms, (0,), (value,))
    return [(t_ms, value) for _, t_ms, value in kept + sampler.flush()]


def test_first_matching_rule_wins_and_the_default_is_last() -> None:
    first, second, default = SamplingPolicy(1), SamplingPolicy(2), SamplingPolicy(3)
    rules = [SamplingRule("EEC1.*Speed", first), SamplingRule("EEC1.*", second), SamplingRule("*", default)]
    assert policy_for("EEC1.EngineSpeed", rules) is first
    assert policy_for("EEC1.Torque", rules) is second
    assert policy_for("eec1.Torque", rules) is default


def test_every_changed_value_is_kept_without_interval_and_deadband() -> None:
    points = [(0, 1.0), (0, 2.0), (1, 2.0), (2, 1.0), (3, 1.0)]
    assert run(sampler(min_interval_ms=0, max_interval_ms=0), points) == [(0, 1.0), (0, 2.0), (2, 1.0)]


def test_every_keeps_unchanged_values_too() -> None:
    points = [(0, 1.0), (0, 1.0), (1, 1.0)]
    assert run(sampler(every=True), points) == points


def test_unchanged_value_is_repeated_at_the_longest_interval() -> None:
    points = [(t, 7.0) for t in range(0, 2_500, 100)]
    assert run(sampler(min_interval_ms=100, max_interval_ms=1_000), points) == [(0, 7.0), (1_000, 7.0), (2_000, 7.0)]


def test_change_within_the_shortest_interval_is_kept_when_it_ends() -> None:
    subject = sampler(min_interval_ms=100)
    assert subject.offer(0, (0,), (1.0,)) == [(0, 0, 1.0)]
    assert subject.offer(30, (0,), (2.0,)) == []
    assert subject.offer(60, (0,), (3.0,)) == []
    assert subject.due(99) == []
    assert subject.due(100) == [(0, 60, 3.0)]
    assert subject.counts.min_interval == 1


def test_waiting_change_keeps_the_time_when_its_value_was_first_seen() -> None:
    assert run(sampler(min_interval_ms=100), [(0, 1.0), (30, 2.0), (60, 2.0), (90, 2.0)]) == [(0, 1.0), (30, 2.0)]


def test_rate_never_exceeds_the_shortest_interval() -> None:
    points = [(t, float(t)) for t in range(0, 10_000, 7)]
    assert len(run(sampler(min_interval_ms=100), points)) <= 10_000 / 100 + 1


def test_slow_drift_leaves_the_deadband_in_the_end() -> None:
    points = [(t * 1_000, t * 0.3) for t in range(10)]
    kept = run(sampler(min_interval_ms=0, max_interval_ms=0, deadband=1.0), points)
    assert [value for _, value in kept] == pytest.approx([0.0, 1.2, 2.4])


def test_clock_that_goes_back_does_not_silence_a_signal() -> None:
    subject = sampler(min_interval_ms=100)
    subject.offer(3_600_000, (0,), (1.0,))
    assert subject.offer(10, (0,), (1.0,)) == [(0, 10, 1.0)]
    assert subject.offer(200, (0,), (2.0,)) == [(0, 200, 2.0)]


def test_value_that_is_not_finite_is_dropped_and_counted() -> None:
    subject = sampler(every=True)
    assert run(subject, [(0, math.nan), (1, math.inf), (2, 3.0)]) == [(2, 3.0)]
    assert subject.counts.not_finite == 2


def test_relative_deadband_grows_with_the_value_that_was_kept() -> None:
    subject = sampler(min_interval_ms=0, max_interval_ms=0, deadband=1.0, deadband_percent=10)
    points = [(0, 5.0), (1, 6.0), (2, 6.1), (3, 100.0), (4, 109.0), (5, 111.0), (6, -100.0), (7, -91.0), (8, -89.0)]
    assert [value for _, value in run(subject, points)] == [5.0, 6.1, 100.0, 111.0, -100.0, -89.0]


def test_signal_that_is_off_is_counted_and_not_kept() -> None:
    subject = sampler(off=True)
    assert run(subject, [(0, 1.0), (1, 2.0), (2, math.nan)]) == []
    assert (subject.counts.not_selected, subject.counts.not_finite) == (2, 1)


def test_windows_are_told_when_they_are_over() -> None:
    subject = sampler(aggregate=("count", "min", "max", "mean", "last"), window_ms=1_000)
    for t_ms, value in ((1_100, 4.0), (1_500, 1.0), (1_999, 7.0)):
        assert subject.offer(t_ms, (0,), (value,)) == []
    assert subject.due(1_999) == []
    names = SampleNames()
    names.extend(["M.S"])
    assert [(names[index], t_ms, value) for index, t_ms, value in subject.due(2_000)] == [
        ("M.S:count", 1_000, 3),
        ("M.S:min", 1_000, 1.0),
        ("M.S:max", 1_000, 7.0),
        ("M.S:mean", 1_000, 4.0),
        ("M.S", 1_999, 7.0),
    ]
    assert subject.due(9_000) == []
    assert (subject.counts.aggregated, subject.counts.made, subject.counts.kept) == (3, 5, 0)


def test_value_of_the_next_window_ends_the_one_before_and_so_does_a_clock_that_goes_back() -> None:
    subject = sampler(aggregate=("count",), window_ms=1_000)
    told = [subject.offer(t_ms, (0,), (1.0,)) for t_ms in (5_000, 5_001, 6_000, 10, 11)]
    assert [[(t_ms, value) for _, t_ms, value in samples] for samples in told] == [
        [],
        [],
        [(5_000, 2)],
        [(6_000, 1)],
        [],
    ]
    assert [(t_ms, value) for _, t_ms, value in subject.flush()] == [(0, 2)]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_mean_is_finite_and_between_least_and_greatest(values: list[float]) -> None:
    subject = sampler(aggregate=("min", "mean", "max"), window_ms=1_000)
    for value in values:
        subject.offer(0, (0,), (value,))
    least, mean, greatest = (value for _, _, value in subject.flush())
    assert least <= mean <= greatest
    assert (least, greatest) == (min(values), max(values))
    if greatest - least < 1e300:
        exact = sum(value / len(values) for value in values)
        assert mean == pytest.approx(exact, rel=1e-6, abs=1e-9 * max(1, abs(least), abs(greatest)))


@given(POLICIES | ASIDE, st.lists(st.tuples(STEPS, VALUES)))
def test_seen_is_kept_and_filtered_by_cause(policy: SamplingPolicy, steps: list[tuple[int, float]]) -> None:
    subject = Sampler([SamplingRule("*", policy)], ["Message.Signal"])
    t_ms, told = 0, 0
    for step, value in steps:
        t_ms += step
        told += len(subject.offer(t_ms, (0,), (value,)))
        counts = subject.counts
        filtered = counts.unchanged + counts.deadband + counts.min_interval + counts.not_finite
        aside = counts.not_selected + counts.aggregated
        assert counts.kept + counts.made == told
        assert counts.seen == counts.kept + filtered + aside + subject.waiting


@given(st.lists(st.tuples(st.sampled_from([-700, *range(0, 300, 37)]), VALUES)))
def test_windows_count_every_value_once(steps: list[tuple[int, float]]) -> None:
    subject = sampler(aggregate=("count",), window_ms=100)
    t_ms, told = 10_000, 0.0
    for step, value in steps:
        t_ms += step
        told += sum(count for _, _, count in subject.due(t_ms))
        told += sum(count for _, _, count in subject.offer(t_ms, (0,), (value,)))
    told += sum(count for _, _, count in subject.flush())
    assert told == subject.counts.aggregated == sum(math.isfinite(value) for _, value in steps)


@given(POLICIES, st.lists(st.tuples(STEPS, VALUES)))
def test_change_is_never_lost(policy: SamplingPolicy, steps: list[tuple[int, float]]) -> None:
    """What was kept last is within the deadband of what was seen last, and kept times do not fall."""
    subject = Sampler([SamplingRule("*", policy)], ["Message.Signal"])
    t_ms, points = 0, []
    for step, value in steps:
        t_ms += step
        points.append((t_ms, value))
    kept = run(subject, points)
    finite = [value for _, value in points if math.isfinite(value)]
    assert bool(kept) == bool(finite)
    if finite:
        assert abs(kept[-1][1] - finite[-1]) <= policy.band(kept[-1][1])
    assert [t for t, _ in kept] == sorted(t for t, _ in kept)


def test_sparing_vehicle_samples_coarsely_and_still_keeps_the_last_change() -> None:
    for policy in ({"every": True}, {"min_interval_ms": 100}):
        subject = sampler(**policy)
        subject.least_interval_ms = 1000
        kept = run(subject, [(t_ms, float(t_ms)) for t_ms in range(0, 10_000, 10)])
        assert len(kept) <= 12
        assert all(later - earlier >= 990 for (earlier, _), (later, _) in pairwise(kept[:-1]))
        assert kept[-1] == (9_990, 9_990.0)
        counts = subject.counts
        assert counts.seen == counts.kept + counts.unchanged + counts.deadband + counts.min_interval
        subject.least_interval_ms = 0
        assert len(run(subject, [(t_ms, float(t_ms)) for t_ms in range(20_000, 30_000, 100)])) >= 99


def test_sparing_vehicle_repeats_an_unchanged_value_no_oftener() -> None:
    subject = sampler(every=True)
    subject.least_interval_ms = 1000
    assert len(run(subject, [(t_ms, 5.0) for t_ms in range(0, 5_000, 10)])) == 1
