"""Times of the history API: RFC 3339 in queries, ms since the Unix epoch in replies."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
END = datetime.max.replace(tzinfo=UTC)
"""Bounds of a query that names none, and of every cursor."""

_MICROSECOND = timedelta(microseconds=1)

# A '+' that was not percent-encoded arrives as a blank: there it can only have meant the offset.
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+\- ]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def parse_time(text: object) -> datetime:
    """An instant in UTC, to the microsecond. ValueError says what was expected."""
    if isinstance(text, datetime) and text.tzinfo is not None:
        return text
    match = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(
            f"{text!r} is no RFC 3339 time; write it like 2024-05-31T08:00:00Z or 2024-05-31T10:00:00+02:00"
        )
    day, clock, fraction, offset = match.groups()
    offset = "+00:00" if offset in "Zz" else offset.replace(" ", "+")
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0')[:6]:0<6}{offset}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no time there is: {error}") from None


def parse_day(text: object) -> date:
    """A UTC day, written as a date or as any instant of it. ValueError says what was expected."""
    if isinstance(text, date) and not isinstance(text, datetime):
        return text
    if isinstance(text, str) and _DATE.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError as error:
            raise ValueError(f"{text!r} is no day there is: {error}") from None
    try:
        return parse_time(text).date()
    except ValueError:
        raise ValueError(f"{text!r} is no day; write it like 2024-05-31") from None


def to_us(instant: datetime) -> int:
    return (instant - EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def to_ms(instant: datetime) -> int:
    return to_us(instant) // 1000


Time = Annotated[datetime, BeforeValidator(parse_time), WithJsonSchema({"type": "string", "format": "date-time"})]
Day = Annotated[date, BeforeValidator(parse_day), WithJsonSchema({"type": "string", "format": "date"})]
