"""Which samples are kept, and that none is lost without a cause."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.sampler import Sample, Sampler, SamplingPolicy, SamplingRule, policy_for

VALUES = st.sampled_from([0.0, 1.0, 1.4, 2.0, 5.0, math.nan, math.inf])
STEPS = st.sampled_from([0, 1, 10, 60, 150, 2_000])
POLICIES = st.builds(
    SamplingPolicy,
    min_interval_ms=st.sampled_from([0, 50, 100]),
    max_interval_ms=st.sampled_from([0, 500]),
    deadband=st.sampled_from([0.0, 0.5]),
    every=st.booleans(),
)


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


@given(POLICIES, st.lists(st.tuples(STEPS, VALUES)))
def test_seen_is_kept_and_filtered_by_cause(policy: SamplingPolicy, steps: list[tuple[int, float]]) -> None:
    subject = Sampler([SamplingRule("*", policy)], ["Message.Signal"])
    t_ms, kept = 0, 0
    for step, value in steps:
        t_ms += step
        kept += len(subject.offer(t_ms, (0,), (value,)))
        counts = subject.counts
        filtered = counts.unchanged + counts.deadband + counts.min_interval + counts.not_finite
        assert counts.kept == kept
        assert counts.seen == kept + filtered + subject.waiting


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
        assert abs(kept[-1][1] - finite[-1]) <= policy.deadband
    assert [t for t, _ in kept] == sorted(t for t, _ in kept)
