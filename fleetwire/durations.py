"""Durations and times as people type them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import click

_UNITS: Final = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


class Duration(click.ParamType[timedelta]):
    """`90s`, `30m`, `24h`, `7d`, `2w`, within bounds; with a sign where `signed`."""

    name = "duration"

    def __init__(self, shortest: timedelta | None = None, longest: timedelta | None = None, *, signed: bool = False):
        self._shortest = shortest
        self._longest = longest
        self._signed = signed

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"([+-]?)(\d{1,9})([smhdw])", value)
        if match is None or (match[1] and not self._signed):
            self.fail(f"'{value}' is no duration; write 30m, 24h or 7d", param, ctx)
        duration = int(match[2]) * _UNITS[match[3]] * (-1 if match[1] == "-" else 1)
        if (self._shortest and duration < self._shortest) or (self._longest and duration > self._longest):
            self.fail(f"{value} is out of bounds: {_bounds(self._shortest, self._longest)}", param, ctx)
        return duration


class Instant(click.ParamType[datetime]):
    """RFC 3339; a time without an offset is UTC, a day is its beginning."""

    name = "time"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"'{value}' is no time; write 2026-01-31 or 2026-01-31T12:00:00Z", param, ctx)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _bounds(shortest: timedelta | None, longest: timedelta | None) -> str:
    parts = [f"from {_short(shortest)}" if shortest else "", f"to {_short(longest)}" if longest else ""]
    return " ".join(part for part in parts if part)


def _short(duration: timedelta) -> str:
    return f"{duration.days}d" if duration.days else f"{duration.seconds // 60}m"
