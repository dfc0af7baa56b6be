"""pipeline, pipeline.cpu: samples a second from HTTP to the hypertable with everything running, against a bare COPY.

TimescaleDB, Redis, ingest, writer and web run as in service, a browser's socket follows the fleet, and many vehicles
send batches of 1 s as fast as they are answered. The clock runs from the first request until the last sample is
committed. The requests are made beforehand; the client that sends them shares the cores with everything else.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Final

from bench.browser import browser
from bench.figure import Figure, Medians, faster_is_better, interleaved_async
from bench.load import Sender, lanes, request, send
from bench.processes import Spent
from bench.stack import INGEST, WEB, WRITER, running
from bench.stored import until_stored
from bench.synthetic import Second
from bench.write import Baseline, Shape
from cloud.access.accounts import add_vehicles
from cloud.database import make_pool

RUNS: Final = 3
VEHICLES: Final = 100
BATCHES: Final = 12
SAMPLES_A_SIGNAL: Final = 20
"""Of 20 signals: 400 in a batch."""
CORES: Final = 2
POSTGRES: Final = "postgres"


@dataclass(frozen=True)
class Measured:
    """Medians of the runs."""

    rates: Medians
    """Samples a second of the clock."""
    cpu_rates: Medians
    """Samples a second of two cores' CPU; for COPY alone PostgreSQL's, for ours that of all but the client."""
    shares: Mapping[str, float]
    """Of the CPU, by process."""
    note: str


def pipeline() -> Figure:
    """Samples a second of the clock, the client on the same cores."""
    found = _measured()
    return faster_is_better("pipeline", found.rates, unit="samples/s", note=f"{found.note}; the baseline is COPY alone")


def pipeline_cpu() -> Figure:
    """Samples a second of two cores of CPU, without the client's."""
    found = _measured()
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found.shares.items())
    note = f"{found.note}; CPU of all but the client: {shares}; the baseline is PostgreSQL's for COPY alone"
    return faster_is_better("pipeline.cpu", found.cpu_rates, unit="samples/s", note=note)


@cache
def _measured() -> Measured:
    """One measuring serves both figures."""
    return measure()


def measure(*, vehicles: int = VEHICLES, batches: int = BATCHES, runs: int = RUNS) -> Measured:
    """A run before those that count."""
    return asyncio.run(_measure(Second(samples=SAMPLES_A_SIGNAL), vehicles, batches, runs))


async def _measure(second: Second, vehicles: int, batches: int, runs: int) -> Measured:
    async with (
        running(WRITER, INGEST, WEB) as stack,
        make_pool(stack.config.database_url, size=2, name="bench") as pool,
    ):
        names = [f"pipeline-{number}" for number in range(vehicles)]
        credentials = await add_vehicles(pool, names)
        shape = Shape(groups=batches, vehicles=vehicles, second=second)
        rounds = iter([_lanes(Sender.of(credentials), second, batches, begin=run) for run in range(runs + 1)])
        spent = Spent()
        copying = Spent()
        stored = 0

        async def run_ours() -> float:
            nonlocal stored
            stored += shape.rows
            with spent.on(stack.pids):
                began = time.perf_counter()
                await send(stack.ingest_url, next(rounds))
                await until_stored(pool, stored)
                return shape.rows / (time.perf_counter() - began)

        async def run_baseline() -> float:
            with copying.on({POSTGRES: stack.pids[POSTGRES]}):
                return await baseline.run()

        async with browser(stack, names[0]):
            await run_ours()
            baseline = await Baseline.prepare(pool, shape)
            await run_baseline()
            spent.forget()
            copying.forget()
            rates = await interleaved_async(run_ours, run_baseline, runs=runs)
    note = (
        f"{vehicles} vehicles, {shape.rows:,} samples a run in batches of 1 s ({second.count} samples), one in each "
        "request"
    )
    ours, alone = (CORES * shape.rows / median(of.totals_s) for of in (spent, copying))
    return Measured(rates, Medians(ours, alone, runs), spent.shares, note)


def _lanes(senders: Sequence[Sender], second: Second, batches: int, *, begin: int) -> list[list[bytes]]:
    """All requests of a run, each vehicle going on where it was in the run before."""
    by_vehicle = []
    for number, sender in enumerate(senders):
        draft = second.draft(number)
        shifts_ms = [1000 * (begin * batches + seq) for seq in range(batches)]
        by_vehicle.append([request(sender, draft, seq, shift_ms=shift) for seq, shift in enumerate(shifts_ms)])
    return lanes(by_vehicle)


FIGURES: Final[Mapping[str, Callable[[], Figure]]] = {"pipeline": pipeline, "pipeline.cpu": pipeline_cpu}
