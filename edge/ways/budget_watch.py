"""Once a second: what was sent and written, how sparing that asks to be, and those told who can be."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from pydantic import JsonValue

from edge.outbox import Outbox
from edge.pipeline import Pipeline
from edge.service.machine import written_bytes
from edge.uplink import Uplink
from edge.ways.budgets import Budgets
from edge.ways.uplink_ways import Ways

LOOK_S: Final = 1.0
KEEP_EVERY: Final = timedelta(minutes=5)
"""How much of the use a power cut may make forgotten; each time costs the card a page."""

log = structlog.get_logger(__name__)


class BudgetWatch:
    """One agent's."""

    def __init__(
        self,
        budgets: Budgets,
        ways: Ways,
        *,
        pipeline: Pipeline,
        uplink: Uplink,
        outbox: Outbox,
        steady_ms: Callable[[], int],
        true_ms: Callable[[], int | None],
        proc: Path = Path("/proc"),
    ) -> None:
        """`steady_ms` is the time with which events are stamped, `true_ms` Unix time as far as it is known."""
        self.budgets = budgets
        self._ways = ways
        self._pipeline = pipeline
        self._uplink = uplink
        self._outbox = outbox
        self._steady_ms = steady_ms
        self._true_ms = true_ms
        self._proc = proc
        self._kept = datetime.now(UTC)

    async def run(self) -> None:
        """For ever."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self, *, is_last: bool = False) -> None:
        """What holds from now on. The use is kept with the last look, and now and then before."""
        true_ms = self._true_ms()
        now = datetime.now(UTC) if true_ms is None else datetime.fromtimestamp(true_ms / 1000, UTC)
        before, usage = self.budgets.thrift, self.budgets.usage
        thrift = self.budgets.look(
            now,
            way=self._ways.ways[self._ways.present].name,
            sent=self._ways.take_used(),
            written_bytes=written_bytes(self._proc),
            is_known=true_ms is not None,
        )
        if self.budgets.usage != usage and (is_last or now - self._kept >= KEEP_EVERY or now < self._kept):
            self._kept = now
            self._outbox.keep_usage(self.budgets.usage.text())
        self._pipeline.be_sparing(batch_age_ms=thrift.batch_age_ms, interval_ms=thrift.interval_ms)
        self._uplink.thrift = thrift
        if thrift.level != before.level:
            way = self._ways.ways[self._ways.present].name
            log.warning("thrift", level=thrift.level, before=before.level, way=way, spent=self.budgets.spent(way))
            data: dict[str, JsonValue] = {"level": thrift.level, "before": before.level, "way": way}
            self._pipeline.take_event(self._steady_ms(), "thrift", data)
