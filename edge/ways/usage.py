"""What was used of a month's data and of a day's writes; kept in the spool, so that a restart forgets nothing. Pure.

A new month, or day, begins when the true time is known to say so: a vehicle that wakes in 1970, or jumps to 2060, goes
on counting in the month that it was in. One that a wrong clock began is the present one under a wrong name.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Self

EARLIEST: Final = datetime(2025, 1, 1, tzinfo=UTC)
"""No clock is right that says less."""

_LAST_DAY: Final = 28


@dataclass(frozen=True, slots=True)
class Usage:
    """`sent_bytes` by the name of the way since `month` began, `written_bytes` since `day` did; both ISO dates."""

    month: str = ""
    sent_bytes: Mapping[str, int] = field(default_factory=dict)
    day: str = ""
    written_bytes: int = 0

    @classmethod
    def read(cls, text: str | None) -> Self:
        """Of what `text` gave; nothing used where that is not there or damaged."""
        try:
            value = json.loads(text or "{}")
            sent = {str(name): int(count) for name, count in value["sent"].items()}
            return cls(str(value["month"]), sent, str(value["day"]), int(value["written"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def text(self) -> str:
        """To be kept."""
        value = {"month": self.month, "sent": dict(self.sent_bytes), "day": self.day, "written": self.written_bytes}
        return json.dumps(value, separators=(",", ":"))

    def at(self, now: datetime, *, first_day: int = 1, is_known: bool = True) -> Self:
        """As it counts now: nothing yet in a new month, which begins on `first_day`, or on a new day.

        `is_known` says whether `now` is more than what some clock says.
        """
        if now < EARLIEST or not is_known:
            return self
        month, day = month_start(now, first_day).date().isoformat(), now.date().isoformat()
        is_new_month = self.month != "" and month > self.month
        is_new_day = self.day != "" and day > self.day
        return replace(
            self,
            month=month,
            sent_bytes={} if is_new_month else self.sent_bytes,
            day=day,
            written_bytes=0 if is_new_day else self.written_bytes,
        )

    def add(self, *, sent: Mapping[str, int] | None = None, written: int = 0) -> Self:
        """More was used."""
        total = dict(self.sent_bytes)
        for name, count in (sent or {}).items():
            total[name] = total.get(name, 0) + count
        return replace(self, sent_bytes=total, written_bytes=self.written_bytes + written)


def month_start(now: datetime, first_day: int) -> datetime:
    """When the month that `now` lies in began; it begins on the 28th at the latest, which every month has."""
    day = min(first_day, _LAST_DAY)
    start = datetime(now.year, now.month, day, tzinfo=UTC)
    if start <= now:
        return start
    before = datetime(now.year, now.month, 1, tzinfo=UTC) - timedelta(days=1)
    return datetime(before.year, before.month, day, tzinfo=UTC)


def month_elapsed(now: datetime, first_day: int) -> float:
    """How much of the month has passed, 0 to 1."""
    start = month_start(now, first_day)
    end = month_start(start + timedelta(days=32), first_day)
    return (now - start) / (end - start)


def day_elapsed(now: datetime) -> float:
    """How much of the day has passed, 0 to 1 (UTC)."""
    return (now - datetime(now.year, now.month, now.day, tzinfo=UTC)) / timedelta(days=1)
