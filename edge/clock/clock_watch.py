"""The agent's clock: looked at whenever something is stamped, and what waits for the truth about it is seen to."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from edge.clock.clock_trust import KnownTime, Reading
from edge.clock.timekeeper import ClockEvent, Timekeeper
from edge.fix import Fix
from edge.frame import Frame
from edge.outbox import Outbox
from edge.pipeline import Pipeline
from edge.spool import Spool
from edge.uplink import UplinkCounts

SETTLE_S: Final = 0.5
_WORTH_KEEPING: Final = ("ntp", "gps")

log = structlog.get_logger(__name__)


class Clock(Protocol):
    """The computer's clocks (edge.clock.kernel_clock)."""

    boot_id: str
    keeps_time: bool

    def read(self) -> Reading: ...


class ClockWatch:
    """Between the sources, which stamp with the system clock, and the pipeline, whose time is steady."""

    def __init__(
        self, clock: Clock, keeper: Timekeeper, pipeline: Pipeline, outbox: Outbox, uplink: UplinkCounts
    ) -> None:
        self._clock = clock
        self._keeper = keeper
        self._pipeline = pipeline
        self._outbox = outbox
        self._uplink = uplink
        self._kept: KnownTime | None = None
        pipeline.set_clock(keeper.label)

    async def run(self) -> None:
        """Until it is cancelled."""
        await self.settle_earlier_boots()
        while True:
            await self.settle()
            await asyncio.sleep(SETTLE_S)

    async def settle_earlier_boots(self) -> None:
        """Freeze what earlier boots left waiting: a power cut may have come after one's time became known."""
        remembered = await self._outbox.ask(Spool.remembered_clock)
        if remembered is not None and remembered[0] != self._keeper.boot_id:
            await self._outbox.relabel(*remembered)
        await self._outbox.stop_waiting(but_of_boot=self._keeper.boot_id)

    async def settle(self) -> None:
        """Freeze what waits, if the truth is known by now, or is waited for no longer."""
        keeper, outbox = self._keeper, self._outbox
        if (known := keeper.known) is not None:
            if known != self._kept and known.source in _WORTH_KEEPING:
                await outbox.keep_clock(keeper.boot_id, known)
                self._kept = known
            if outbox.withheld:
                if batches := await outbox.relabel(keeper.boot_id, known):
                    log.info("relabelled", batches=batches, source=known.source)
                await outbox.stop_waiting(but_of_boot=keeper.boot_id)  # where the disk was full at the start
        elif not keeper.label.waits and outbox.withheld:
            log.warning("sent_untrusted", batches=await outbox.stop_waiting())

    def look(self) -> int:
        """Notice what happened to the clock; steady time in ns."""
        uplink = self._uplink
        is_online = uplink.last_reply_ms is not None and uplink.problem is None
        reading = self._clock.read()
        self._take(self._keeper.look(reading, is_online=is_online))
        return self._keeper.now_ns(reading)

    def stamp(self, frames: Sequence[Frame]) -> tuple[Sequence[Frame], int]:
        """The frames with steady times, and that of now in ns."""
        now_ns = self.look()
        return self._keeper.steady(frames), now_ns

    def stamp_fix(self, fix: Fix) -> Fix:
        """The fix with steady time; what it says of the time is heard."""
        self.look()
        self._take(self._keeper.hear(fix))
        return fix if fix.t_ms is None else fix._replace(t_ms=self._keeper.steady_ms(fix.t_ms))

    def steady_ms(self, stamp_ms: int) -> int:
        """The steady time of a stamp."""
        self.look()
        return self._keeper.steady_ms(stamp_ms)

    def now_ms(self) -> int:
        """Steady time."""
        return self.look() // 1_000_000

    def true_ms(self) -> int | None:
        """Unix time; None while it is not known."""
        now_ms = self.now_ms()
        return None if self._keeper.known is None else now_ms + self._keeper.label.shift_ms

    def _take(self, events: Sequence[ClockEvent]) -> None:
        self._pipeline.set_clock(self._keeper.label)
        for event in events:
            log.warning(event.kind, **event.data)
            self._pipeline.take_event(event.t_ms, event.kind, event.data)
