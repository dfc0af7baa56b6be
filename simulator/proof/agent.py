"""The real agent as a process that can be killed, and that says what it does while it does it.

    python -m simulator.proof.agent SETTINGS.json POSITIONS CLOCK_OFFSET_S

Plays each bus from its position on. Tells on standard output, a JSON object a line: {"stream"}, {"tally"} before
anything becomes durable and every 20 ms, {"stored"} after it did. A line on standard input is a new clock offset.
"""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import structlog

from edge.agent import run_agent
from edge.agent_plan import Plan, plan_agent
from edge.batcher import Draft
from edge.config import EdgeConfig
from edge.outbox import Outbox
from edge.recordings.replay import ReplayReader
from edge.spool import Spool
from simulator.proof.account import Tally

TALLY_EVERY_S: Final = 0.02

_true_time, _true_time_ns = time.time, time.time_ns
_offset_ns = 0


def main(settings: Path, positions: Sequence[int], offset_s: float) -> None:
    """Run until everything is played and settled."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    _set_clock(offset_s)
    time.time, time.time_ns = _stepped_time, _stepped_time_ns
    config = EdgeConfig.model_validate_json(settings.read_bytes())
    asyncio.run(_run(config, positions))


async def _run(config: EdgeConfig, positions: Sequence[int]) -> None:
    plan = plan_agent(config)
    buses = []
    for bus, position in zip(plan.buses, positions, strict=True):
        assert isinstance(bus.source, ReplayReader)
        bus.source.skip(position)
        buses.append(bus)
    plan = replace(plan, buses=buses)

    def tell_tally() -> None:
        _tell({"tally": asdict(_tally(plan))})

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(sys.stdin.fileno(), _hear)
    async with asyncio.TaskGroup() as tasks:
        telling = tasks.create_task(_tell_for_ever(tell_tally), name="tell")
        await run_agent(
            config, stop, exit_when_settled=True, plan=plan, make_outbox=lambda spool: _ToldOutbox(spool, tell_tally)
        )
        telling.cancel()
    loop.remove_reader(sys.stdin.fileno())
    tell_tally()


class _ToldOutbox(Outbox):
    """The agent's own, telling what it stores."""

    def __init__(self, spool: Spool, tell_tally: Callable[[], None]) -> None:
        super().__init__(spool)
        self._told_spool = spool
        self._tell_tally = tell_tally
        self._told_stream = ""
        self._tell_stream()

    async def put(self, drafts: Sequence[Draft]) -> None:
        self._tell_tally()
        await super().put(drafts)
        self._tell_stream()
        following = next(item.next for item in self._told_spool.on_disk() if item.stream == self._told_stream)
        first = following - len(drafts)
        stored = [[first + index, draft.sample_count, len(draft.fixes)] for index, draft in enumerate(drafts)]
        _tell({"stored": stored})

    def _tell_stream(self) -> None:
        """A spool that turned out to be damaged begins another one."""
        if self._told_spool.stream != self._told_stream:
            self._told_stream = self._told_spool.stream
            _tell({"stream": self._told_stream})


def _tally(plan: Plan) -> Tally:
    counts = plan.pipeline.sampler.counts
    return Tally(
        frames=tuple(bus.source.counts.frames for bus in plan.buses),
        seen=counts.seen + counts.made,  # what is made of windows is seen when it is made
        kept=counts.kept + counts.made,
        unchanged=counts.unchanged,
        deadband=counts.deadband,
        min_interval=counts.min_interval,
        not_finite=counts.not_finite,
        not_selected=counts.not_selected,
        aggregated=counts.aggregated,
        waiting=plan.pipeline.sampler.waiting,
        fixes=plan.pipeline.fixes,
    )


async def _tell_for_ever(tell: Callable[[], None]) -> None:
    while True:
        tell()
        await asyncio.sleep(TALLY_EVERY_S)


def _tell(what: object) -> None:
    """At once and whole, so that a killed process has said it or not."""
    os.write(sys.stdout.fileno(), json.dumps(what).encode() + b"\n")


def _hear() -> None:
    if line := sys.stdin.readline():
        _set_clock(float(line))
    else:
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())


def _set_clock(offset_s: float) -> None:
    global _offset_ns
    _offset_ns = int(offset_s * 1e9)


def _stepped_time() -> float:
    return _true_time() + _offset_ns / 1e9


def _stepped_time_ns() -> int:
    return _true_time_ns() + _offset_ns


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]), float(sys.argv[3]))
