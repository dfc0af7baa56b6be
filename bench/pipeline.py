"""pipeline: samples a second from HTTP to the hypertable with everything running, against a bare COPY of such rows.

TimescaleDB, Redis, ingest, writer and web run as in service, a browser's socket follows the fleet, and many vehicles
send batches of 1 s as fast as they are answered. The clock runs from the first request until the last sample is
committed. The requests are made beforehand; the client that sends them shares the cores with everything else.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bench.browser import browser
from bench.figure import Figure, faster_is_better, interleaved_async
from bench.load import Sender, lanes, request, send
from bench.stack import INGEST, WEB, WRITER, running
from bench.synthetic import Second
from bench.write import Baseline, Shape
from cloud.accounts import add_vehicles
from cloud.database import Pool, make_pool

RUNS: Final = 3
VEHICLES: Final = 100
BATCHES: Final = 12
POLL_S: Final = 0.05


def pipeline(*, vehicles: int = VEHICLES, batches: int = BATCHES, runs: int = RUNS) -> Figure:
    """A run before those that count."""
    return asyncio.run(_pipeline(Second(), vehicles, batches, runs))


async def _pipeline(second: Second, vehicles: int, batches: int, runs: int) -> Figure:
    async with (
        running(WRITER, INGEST, WEB) as stack,
        make_pool(stack.config.database_url, size=2, name="bench") as pool,
    ):
        names = [f"pipeline-{number}" for number in range(vehicles)]
        credentials = await add_vehicles(pool, names)
        shape = Shape(groups=batches, vehicles=vehicles, second=second)
        rounds = iter([_lanes(Sender.of(credentials), second, batches, begin=run) for run in range(runs + 1)])
        stored = 0

        async def run_ours() -> float:
            nonlocal stored
            stored += shape.rows
            began = time.perf_counter()
            await send(stack.ingest_url, next(rounds))
            await _until_stored(pool, stored)
            return shape.rows / (time.perf_counter() - began)

        async with browser(stack, names[0]):
            await run_ours()
            baseline = await Baseline.prepare(pool, shape)
            await baseline.run()
            rates = await interleaved_async(run_ours, baseline.run, runs=runs)
    note = (
        f"{vehicles} vehicles, {shape.rows:,} samples a run in batches of 1 s ({second.count} samples), one in each "
        "request; the baseline is COPY alone"
    )
    return faster_is_better("pipeline", rates, unit="samples/s", note=note)


def _lanes(senders: Sequence[Sender], second: Second, batches: int, *, begin: int) -> list[list[bytes]]:
    """All requests of a run, each vehicle going on where it was in the run before."""
    by_vehicle = []
    for number, sender in enumerate(senders):
        draft = second.draft(number)
        shifts_ms = [1000 * (begin * batches + seq) for seq in range(batches)]
        by_vehicle.append([request(sender, draft, seq, shift_ms=shift) for seq, shift in enumerate(shifts_ms)])
    return lanes(by_vehicle)


async def _until_stored(pool: Pool, samples: int) -> None:
    """The ledger's counters are written in the transaction that stores the samples."""
    while True:
        if await pool.fetchval("SELECT coalesce(sum(samples), 0)::bigint FROM ledger") >= samples:
            return
        await asyncio.sleep(POLL_S)


FIGURES: Final[Mapping[str, Callable[[], Figure]]] = {"pipeline": pipeline}
