"""A month's data and a day's writes: counted, kept, and turned into how sparing the agent is to be.

Times and counts come in; nothing is looked up here.
"""

from collections.abc import Mapping
from datetime import datetime

from edge.ways.thrift import Thrift, quota_level, thrift, write_age_ms
from edge.ways.usage import EARLIEST, Usage, day_elapsed, month_elapsed


class Budgets:
    """`quotas` are bytes a month by the way's name; `write_budget` bytes a day, None if there is none."""

    def __init__(
        self, usage: Usage, *, quotas: Mapping[str, int], first_day: int = 1, write_budget: int | None = None
    ) -> None:
        self.usage = usage
        self.quotas = quotas
        self.write_budget = write_budget
        self.thrift = Thrift()
        self._first_day = first_day
        self._levels: dict[str, int] = {}
        self._written_before = 0

    def look(
        self,
        now: datetime,
        *,
        way: str,
        sent: Mapping[str, int],
        written_bytes: int | None,
        is_known: bool = True,
    ) -> Thrift:
        """What holds from now on: `way` is in use, `sent` was sent since the last look by the way's name.

        Only where the time `is_known` a new month begins.
        `written_bytes` counts from the process's start, None where that is not known.
        """
        written = 0 if written_bytes is None else max(written_bytes - self._written_before, 0)
        self._written_before = written_bytes or self._written_before
        present = self.usage.at(now, first_day=self._first_day, is_known=is_known)
        self.usage = present.add(sent=sent, written=written)
        self.thrift = thrift(self._quota_level(now, way), write_age_ms=self._write_age_ms(now))
        return self.thrift

    def spent(self, way: str) -> float | None:
        """The share of a way's quota that is used, None if it has none."""
        quota = self.quotas.get(way)
        return None if quota is None else self.usage.sent_bytes.get(way, 0) / quota

    def _quota_level(self, now: datetime, way: str) -> int:
        spent = self.spent(way)
        if spent is None:
            return 0
        elapsed = month_elapsed(now, self._first_day) if now >= EARLIEST else 0.0
        level = quota_level(spent, elapsed, before=self._levels.get(way, 0))
        self._levels[way] = level
        return level

    def _write_age_ms(self, now: datetime) -> int:
        if self.write_budget is None:
            return 0
        elapsed = day_elapsed(now) if now >= EARLIEST else 0.0
        return write_age_ms(self.usage.written_bytes / self.write_budget, elapsed)
