"""Parameters are taken exactly, or refused with words that help."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict
from pydantic import TypeAdapter

from cloud.api.cursor import read_cursor, write_cursor
from cloud.api.query import DailyQuery, EventsQuery, Query, SeriesQuery, TrackQuery, VehiclesQuery, parse_query
from cloud.api.reports import span
from cloud.api.series import bucket_width
from cloud.api.times import from_us, parse_time, to_ms, to_us
from cloud.problem import Problem


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-05-31T08:00:00Z", datetime(2024, 5, 31, 8, tzinfo=UTC)),
        ("2024-05-31t10:00:00.25+02:00", datetime(2024, 5, 31, 8, 0, 0, 250_000, tzinfo=UTC)),
        ("2024-05-31T10:00:00 02:00", datetime(2024, 5, 31, 8, tzinfo=UTC)),
        ("2024-05-31T08:00:00.1234567Z", datetime(2024, 5, 31, 8, 0, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_times_are_rfc_3339(text: str, instant: datetime) -> None:
    assert parse_time(text) == instant


@pytest.mark.parametrize(
    "text",
    ["", "1717142400000", "2024-05-31", "2024-05-31T08:00:00", "2024-02-30T00:00:00Z", "0001-01-01T00:00:00+01:00"],
)
def test_other_times_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(Problem, match=r"from: .*(like 2024-05-31T08:00:00Z|no time there is)"):
        parse_query(TrackQuery, MultiDict({"from": text}))


@pytest.mark.parametrize(
    ("model", "parameters", "words"),
    [
        (VehiclesQuery, {"limt": "5"}, "no parameter 'limt' here; did you mean 'limit'"),
        (Query, {"x": "1"}, "it takes none"),
        (VehiclesQuery, {"limit": "1001"}, "limit: .*less than or equal to 1000"),
        (VehiclesQuery, {"limit": "many"}, "limit: .*integer"),
        (SeriesQuery, {}, "signal: .*required"),
        (SeriesQuery, {"signal": "a", "limit": "5"}, "add raw=true"),
        (SeriesQuery, {"signal": "a", "raw": "true", "points": "5"}, "choose one"),
        (TrackQuery, {"format": "shp"}, "format: .*'geojson'"),
        (EventsQuery, {"from": "2024-01-02T00:00:00Z", "to": "2024-01-01T00:00:00Z"}, "from must lie before to"),
        (DailyQuery, {"from": "2024-01-02", "to": "2024-01-01"}, "from must not lie after to"),
        (DailyQuery, {"from": "yesterday"}, "like 2024-05-31"),
    ],
)
def test_wrong_parameters_are_refused_by_name(model: type[Query], parameters: dict[str, str], words: str) -> None:
    with pytest.raises(Problem, match=words) as refusal:
        parse_query(model, MultiDict(parameters))
    assert refusal.value.status == 400


def test_only_lists_can_be_repeated() -> None:
    assert parse_query(SeriesQuery, MultiDict([("signal", "a"), ("signal", "b")])).signal == ["a", "b"]
    with pytest.raises(Problem, match="'limit' is given 2 times"):
        parse_query(VehiclesQuery, MultiDict([("limit", "1"), ("limit", "2")]))


def test_day_may_be_given_as_a_time_within_it() -> None:
    query = parse_query(DailyQuery, MultiDict({"from": "2021-07-26", "to": "2021-07-26T23:30:00-01:00"}))
    assert (query.from_, query.to) == (date(2021, 7, 26), date(2021, 7, 27))


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
def test_times_survive_the_way_to_integers(instant: datetime) -> None:
    assert from_us(to_us(instant)) == instant
    assert to_ms(instant) <= instant.timestamp() * 1000 + 1


@given(st.lists(st.integers()) | st.text() | st.integers())
def test_cursors_come_back_as_they_went(place: object) -> None:
    assert read_cursor(write_cursor(place), TypeAdapter(type(place))) == place


@pytest.mark.parametrize("text", ["%", "e30", "bnVsbA", "ä", "MTI"])
def test_foreign_cursors_are_refused(text: str) -> None:
    with pytest.raises(Problem, match="is no cursor of this list"):
        read_cursor(text, TypeAdapter(tuple[int, int]))


@given(st.integers(1, 10**15), st.integers(1, 10_000))
def test_buckets_reach_the_end_and_are_no_wider_than_needed(span_us: int, points: int) -> None:
    start = datetime(2000, 1, 1, tzinfo=UTC)
    width = bucket_width(start, start + timedelta(microseconds=span_us), points)
    assert width * points >= timedelta(microseconds=span_us)
    assert width == timedelta(milliseconds=1) or (width - timedelta(milliseconds=1)) * points < timedelta(
        microseconds=span_us
    )


def test_report_covers_a_week_by_default_and_a_year_at_most() -> None:
    today = date(2024, 5, 31)
    assert span(None, None, today) == (date(2024, 5, 25), today)
    assert span(None, date(2021, 7, 26), today) == (date(2021, 7, 20), date(2021, 7, 26))
    with pytest.raises(Problem, match="more than 366 days"):
        span(date(2021, 7, 26), None, today)
