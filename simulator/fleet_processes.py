"""A fleet in one process or a few. A process ends when it is told to, and when its parent is gone."""

import asyncio
import logging
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final

import structlog

from edge.errors import EdgeError
from simulator.errors import SimulatorError
from simulator.fleet import FleetCounts, run_fleet
from simulator.fleet_plan import FleetPlan

Report = Callable[[FleetCounts], None]
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
LAST_WAIT_S: Final = 15.0


def run_plans(plans: Sequence[FleetPlan], *, report: Report) -> None:
    """Run until SIGTERM or SIGINT. Raises SimulatorError or EdgeError."""
    if len(plans) == 1:
        report(asyncio.run(_run_until_signal(plans[0], None, report=report)))
    else:
        _run_children(plans, report)


async def _run_until_signal(plan: FleetPlan, parent: Connection | None, *, report: Report) -> FleetCounts:
    # A cloud that is away would be said once for each vehicle; the report counts it instead.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    if parent is not None:
        loop.add_reader(parent.fileno(), stop.set)  # readable: the parent closed it, or died
    try:
        return await run_fleet(plan, stop, report=report)
    finally:
        if parent is not None:
            loop.remove_reader(parent.fileno())


def _run_children(plans: Sequence[FleetPlan], report: Report) -> None:
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    children: list[BaseProcess] = [
        context.Process(target=_child, args=(plan, theirs, report), name=f"fleet-{index}")
        for index, plan in enumerate(plans)
    ]
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: ours.close())
    for child in children:
        child.start()
    theirs.close()
    wait([child.sentinel for child in children])  # the first one ends when all were told to, or by a fault of its own
    ours.close()
    for child in children:
        child.join(LAST_WAIT_S)
    failed = [child.name for child in children if child.exitcode != 0]
    if failed:
        raise SimulatorError(f"{', '.join(failed)} ended with an error, and the others were stopped")


def _child(plan: FleetPlan, parent: Connection, report: Report) -> None:
    try:
        report(asyncio.run(_run_until_signal(plan, parent, report=report)))
    except (EdgeError, SimulatorError) as error:
        raise SystemExit(f"Error: {error}") from error
