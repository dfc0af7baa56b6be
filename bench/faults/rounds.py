"""Rounds: so many strikes of one kind at random moments, while vehicles record and send; then every row is counted."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from bench.faults.rows import ROWS, Row, Unsettled
from bench.faults.stage import Stage, stage
from bench.faults.vehicles import StagedVehicle, on_stage
from bench.faults.verdict import Result, judge
from cloud.access.accounts import add_vehicles
from cloud.database import Pool, make_pool
from simulator.bad_link import bad_link

VEHICLES: Final = 4
PAUSE_S: Final = 0.6
"""At most so long the system is left alone between two faults; the moment of the next is drawn from it."""

SETTLE_S: Final = 180.0


@dataclass(frozen=True)
class Round:
    """What is to be run."""

    name: str
    seed: int
    trials: int


async def run_rounds(
    rounds: Sequence[Round], note: Callable[[Round, Result], None], *, home: Path | None = None
) -> None:
    """Run all of them on one stage, whose data lie in `home` if that is given. Raises Unsettled."""
    if not rounds:
        return
    with tempfile.TemporaryDirectory(prefix="fleetwire-faults-") as folder:
        data = home or Path(folder) / "home"
        async with stage(data) as hurt, make_pool(hurt.config.database_url, size=2, name="faults") as pool:
            for one in rounds:
                with tempfile.TemporaryDirectory(dir=folder) as spools:
                    note(one, await _round(one, ROWS[one.name], hurt, pool, Path(spools)))


async def _round(one: Round, row: Row, hurt: Stage, pool: Pool, spools: Path) -> Result:
    dice = Random(f"{one.name}:{one.seed}")
    credentials = await add_vehicles(pool, [f"{one.name}-{one.seed}-{number}" for number in range(VEHICLES)])
    recovery_s: list[float] = []
    async with (
        bad_link(hurt.config.host, hurt.config.ingest_port) as (link, port),
        on_stage(credentials, f"http://127.0.0.1:{port}", spools, dice, wrap=row.wrap, late_ms=row.late_ms) as vehicles,
        _running([vehicle.send for vehicle in vehicles]),
    ):
        async with _running([vehicle.live for vehicle in vehicles]):
            for _ in range(one.trials):
                await asyncio.sleep(dice.uniform(0.0, PAUSE_S))
                began_s = time.monotonic()
                await row.strike(hurt, link, dice)
                await _settled(one, vehicles, beyond=1)
                recovery_s.append(time.monotonic() - began_s)
        await _settled(one, vehicles)
        hurt.note_memory()
        return await judge(pool, vehicles, recovery_s, hurt.peak_rss)


async def _settled(one: Round, vehicles: Sequence[StagedVehicle], *, beyond: int = 0) -> None:
    """Until all that each vehicle has recorded by now is settled, and so many batches more."""
    try:
        async with asyncio.timeout(SETTLE_S):
            await asyncio.gather(*(vehicle.until_settled(vehicle.recorded.batches + beyond) for vehicle in vehicles))
    except TimeoutError:
        raise Unsettled(f"{one.name}, seed {one.seed}: not settled after {SETTLE_S:.0f} s") from None


@asynccontextmanager
async def _running(runs: Sequence[Callable[[], Awaitable[None]]]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_run(run), name="vehicle") for run in runs]
        yield
        for task in tasks:
            task.cancel()


async def _run(run: Callable[[], Awaitable[None]]) -> None:
    await run()
