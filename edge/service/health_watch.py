"""Look at health every few seconds, and put what is seen among the vehicle's signals."""

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from edge.clock.kernel_clock import is_synchronised
from edge.service.agent_status import StatusGatherer
from edge.service.health import HealthSignals, Look
from edge.service.machine import read_machine

Samples = tuple[int, tuple[int, ...], tuple[float, ...]]


class HealthWatch:
    """`async for t_ms, indices, values in watch` never ends."""

    def __init__(
        self,
        signals: HealthSignals,
        status: StatusGatherer,
        *,
        interval_s: float,
        disk: Path,
        proc: Path = Path("/proc"),
        sys: Path = Path("/sys"),
    ) -> None:
        self._signals = signals
        self._status = status
        self._interval_s = interval_s
        self._disk = disk
        self._proc = proc
        self._sys = sys

    async def __aiter__(self) -> AsyncGenerator[Samples]:
        before = await self._look()
        while True:
            await asyncio.sleep(self._interval_s)
            after = await self._look()
            yield time.time_ns() // 1_000_000, *self._signals.samples(before, after)
            before = after

    async def _look(self) -> Look:
        machine = await asyncio.to_thread(read_machine, self._proc, self._sys)
        return Look(await self._status.gather(), machine, self._free_bytes(), is_synchronised())

    def _free_bytes(self) -> int | None:
        try:
            return shutil.disk_usage(self._disk).free
        except OSError:
            return None
