"""How sparing the agent is: more the more is used, less the more time has passed, and alarms always leave."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from edge.ways.budgets import Budgets
from edge.ways.thrift import ALARMS_ONLY, LEVELS, LONGEST_BATCH_MS, quota_level, thrift, write_age_ms
from edge.ways.usage import Usage

shares = st.floats(0, 1.5)
times = st.floats(0, 1)
levels = st.integers(0, LEVELS)
JUNE = datetime(2026, 6, 1, tzinfo=UTC)


@given(spent=shares, more=st.floats(0, 1), elapsed=times, before=levels)
def test_more_use_never_makes_it_less_sparing(spent: float, more: float, elapsed: float, before: int) -> None:
    assert quota_level(spent + more, elapsed, before=before) >= quota_level(spent, elapsed, before=before)


@given(spent=shares, elapsed=times, later=times, before=levels)
def test_passing_time_never_makes_it_more_sparing(spent: float, elapsed: float, later: float, before: int) -> None:
    first, last = sorted((elapsed, later))
    assert quota_level(spent, last, before=before) <= quota_level(spent, first, before=before)


@given(spent=shares, elapsed=times, before=levels)
def test_level_that_was_chosen_stays_while_nothing_changes(spent: float, elapsed: float, before: int) -> None:
    level = quota_level(spent, elapsed, before=before)
    assert quota_level(spent, elapsed, before=level) == level


@given(elapsed=times, spent=st.floats(0.98, 10), before=levels)
def test_last_share_of_a_quota_is_for_alarms(elapsed: float, spent: float, before: int) -> None:
    assert quota_level(spent, elapsed, before=before) == ALARMS_ONLY


@given(elapsed=times, before=levels)
def test_use_that_keeps_behind_time_costs_nothing(elapsed: float, before: int) -> None:
    assert quota_level(max(elapsed - 0.03, 0), elapsed, before=before) in (0, before if elapsed < 0.03 else 0)


def test_resolution_falls_before_anything_is_held_back() -> None:
    steps = [thrift(level) for level in range(LEVELS + 1)]
    assert [step.alarms_only for step in steps] == [False, False, False, False, True]
    assert [step.batch_age_ms for step in steps] == sorted(step.batch_age_ms for step in steps)
    assert [step.interval_ms for step in steps] == sorted(step.interval_ms for step in steps)
    assert steps[1].batch_age_ms > 0, "longer batches first"
    assert steps[1].interval_ms == 0
    assert steps[2].interval_ms > 0, "then coarser sampling"


@given(spent=shares, more=st.floats(0, 1), elapsed=times)
def test_batches_grow_with_writes_and_to_a_bound(spent: float, more: float, elapsed: float) -> None:
    age_ms = write_age_ms(spent, elapsed)
    assert 0 <= age_ms <= write_age_ms(spent + more, elapsed) <= LONGEST_BATCH_MS
    assert write_age_ms(elapsed, elapsed) == 0


@given(rate=st.floats(0.1, 20), days=st.integers(1, 30))
def test_month_of_a_vehicle_that_heeds_its_thrift_keeps_to_the_quota(rate: float, days: int) -> None:
    """It would send `rate` times the quota; each step of thrift divides that, and alarms take a hundredth of it."""
    quota, sent, now = 10**9, 0, JUNE
    budgets = Budgets(Usage(), quotas={"lte": quota}, first_day=1)
    divisors = (1, 3, 10, 50)
    for _ in range(days * 24):
        now += timedelta(hours=1)
        level = budgets.look(now, way="lte", sent={"lte": sent}, written_bytes=None).level
        full = rate * quota / 720
        sent = round(min(full / 2000, quota / 720 / 100) if level == ALARMS_ONLY else full / divisors[level])
    spent = budgets.spent("lte")
    assert spent is not None
    assert spent <= 0.98 + rate / 720 + 0.02


def test_way_without_a_quota_is_never_sparing_and_each_has_its_own() -> None:
    budgets = Budgets(Usage(), quotas={"lte": 1000}, first_day=1)
    assert budgets.look(JUNE, way="wifi", sent={"wifi": 10**9}, written_bytes=None).level == 0
    assert budgets.look(JUNE, way="lte", sent={"lte": 999}, written_bytes=None).level == ALARMS_ONLY
    assert budgets.look(JUNE, way="wifi", sent={}, written_bytes=None).level == 0
    assert budgets.spent("lte") == 0.999
    assert budgets.spent("wifi") is None


def test_writes_are_counted_from_one_look_to_the_next_and_over_restarts() -> None:
    budgets = Budgets(Usage(), quotas={}, write_budget=1000)
    for total in (100, 150, 900):
        thrift_now = budgets.look(JUNE, way="wifi", sent={}, written_bytes=total)
    assert budgets.usage.written_bytes == 900
    assert thrift_now.batch_age_ms == LONGEST_BATCH_MS
    assert not thrift_now.alarms_only
    again = Budgets(Usage.read(budgets.usage.text()), quotas={}, write_budget=1000)
    again.look(JUNE + timedelta(hours=1), way="wifi", sent={}, written_bytes=5)
    assert again.usage.written_bytes == 905
    assert again.look(JUNE + timedelta(days=1), way="wifi", sent={}, written_bytes=5).batch_age_ms == 0


def test_clock_that_is_not_right_yet_spends_as_at_the_beginning_of_a_month() -> None:
    budgets = Budgets(Usage(), quotas={"lte": 1000}, first_day=1)
    now = datetime(1970, 1, 1, tzinfo=UTC)
    assert budgets.look(now, way="lte", sent={"lte": 10}, written_bytes=None).level == 0
    assert budgets.look(now, way="lte", sent={"lte": 500}, written_bytes=None).level == ALARMS_ONLY
