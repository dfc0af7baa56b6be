"""What is counted of a month and a day, over restarts and whatever the clock says."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.ways.usage import Usage, day_elapsed, month_elapsed, month_start

moments = st.datetimes(datetime(2025, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
usages = st.builds(
    Usage,
    month=st.dates().map(str),
    sent_bytes=st.dictionaries(st.text(max_size=5), st.integers(0, 10**12), max_size=3),
    day=st.dates().map(str),
    written_bytes=st.integers(0, 10**12),
)


@given(usage=usages)
def test_what_is_kept_is_what_was_used(usage: Usage) -> None:
    assert Usage.read(usage.text()) == usage


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"month": 1}', '{"month":"x","sent":3,"day":"","written":0}'])
def test_what_is_damaged_counts_as_nothing(text: str | None) -> None:
    assert Usage.read(text) == Usage()


@given(now=moments, first_day=st.integers(1, 28))
def test_every_moment_lies_in_a_month_that_begins_on_its_day(now: datetime, first_day: int) -> None:
    start = month_start(now, first_day)
    assert start <= now < start + timedelta(days=31)
    assert start.day == first_day
    assert 0 <= month_elapsed(now, first_day) < 1
    assert 0 <= day_elapsed(now) < 1


@given(now=moments, later_s=st.floats(0, 10**7), first_day=st.integers(1, 28), sent=st.integers(1, 10**9))
def test_use_counts_until_the_month_ends(now: datetime, later_s: float, first_day: int, sent: int) -> None:
    later = now + timedelta(seconds=later_s)
    usage = Usage().at(now, first_day=first_day).add(sent={"lte": sent}, written=sent)
    after = usage.at(later, first_day=first_day)
    is_same_month = month_start(now, first_day) == month_start(later, first_day)
    assert after.sent_bytes == ({"lte": sent} if is_same_month else {})
    assert after.written_bytes == (sent if now.date() == later.date() else 0)


@given(wrong=st.datetimes(datetime(1970, 1, 1), datetime(2026, 5, 31), timezones=st.just(UTC)))  # noqa: DTZ001
def test_clock_that_is_behind_begins_no_month(wrong: datetime) -> None:
    usage = Usage().at(datetime(2026, 6, 15, tzinfo=UTC)).add(sent={"lte": 5}, written=7)
    assert usage.at(wrong, is_known=False) == usage


def test_month_that_a_clock_ahead_began_is_the_present_one() -> None:
    ahead = Usage(month="2060-01-01", sent_bytes={"lte": 5}, day="2060-01-09", written_bytes=7)
    june = ahead.at(datetime(2026, 6, 15, tzinfo=UTC))
    assert (june.month, june.sent_bytes, june.day, june.written_bytes) == ("2026-06-01", {"lte": 5}, "2026-06-15", 7)
    assert june.at(datetime(2026, 7, 1, tzinfo=UTC)).sent_bytes == {}


def test_use_before_the_time_is_known_counts() -> None:
    usage = Usage().add(sent={"lte": 5}, written=7)
    assert usage.at(datetime(2026, 6, 15, tzinfo=UTC)).sent_bytes == {"lte": 5}
