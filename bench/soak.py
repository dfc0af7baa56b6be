"""python -m bench.soak: the whole system under a steady fleet for an hour, and whether its memory stays what it was.

TimescaleDB, Redis, ingest, writer and web run as in service, a browser's socket follows the fleet, and the simulator's
vehicles send with the agent's own batcher, spool and uplink. The memory of every process goes into a CSV and a picture.
"""

import asyncio
import csv
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import numpy as np

from bench.browser import browser
from bench.chart import line_chart
from bench.figure import Unavailable
from bench.processes import memory_bytes
from bench.stack import INGEST, WEB, WRITER, Stack, running
from bench.stored import stored_samples
from cloud.access.accounts import add_vehicles
from cloud.database import Pool, make_pool
from cloud.running.local import fleetwire_argv
from cloud.running.supervisor import Child, Order, Supervisor

EVERY_S: Final = 10.0
WARM_UP: Final = 0.25
"""Of the time: caches fill, pools open, the allocator takes what it keeps."""
FLAT_SHARE: Final = 0.03
FLAT_MB: Final = 3.0
"""A line is flat that rises, from its straight line after the warm-up, by less than either in an hour."""
FLEET: Final = "fleet (load)"


@dataclass(frozen=True)
class Moment:
    """`mb` by process; `stored` samples in all."""

    minute: float
    stored: int
    mb: Mapping[str, float]


@dataclass(frozen=True)
class Trend:
    """Of one process: its mean, and how its line rises."""

    mean_mb: float
    mb_per_hour: float

    @property
    def is_flat(self) -> bool:
        return self.mb_per_hour < max(FLAT_MB, FLAT_SHARE * self.mean_mb)


def trends(moments: Sequence[Moment]) -> dict[str, Trend]:
    """The least-squares line of each process after the warm-up. At least two moments must be left."""
    warm = [one for one in moments if one.minute >= WARM_UP * moments[-1].minute]
    hours = np.array([one.minute / 60 for one in warm])
    found = {}
    for name in moments[-1].mb:
        mb = np.array([one.mb[name] for one in warm])
        found[name] = Trend(float(mb.mean()), float(np.polyfit(hours, mb, 1)[0]))
    return found


async def soak(minutes: float, vehicles: int, every_s: float) -> list[Moment]:
    async with (
        running(WRITER, INGEST, WEB) as stack,
        make_pool(stack.config.database_url, size=2, name="bench") as pool,
        Supervisor(say=lambda _: None) as supervisor,
    ):
        credentials = await add_vehicles(pool, [f"soak-{number:04}" for number in range(vehicles)])
        await supervisor.start(Child(_fleet(stack, credentials)))
        pids = {**stack.pids, FLEET: supervisor.pids[FLEET]}
        async with browser(stack, credentials[0][0]):
            return await _watch(pids, pool, minutes=minutes, every_s=every_s)


async def _watch(pids: Mapping[str, int], pool: Pool, *, minutes: float, every_s: float) -> list[Moment]:
    moments: list[Moment] = []
    began_s = time.monotonic()
    while (now_s := time.monotonic() - began_s) <= minutes * 60:
        mb = {name: value / 1e6 for name, value in memory_bytes(pids).items()}
        if missing := [name for name, value in mb.items() if not value]:
            raise Unavailable(f"{', '.join(missing)} ended after {now_s:.0f} s, or its memory cannot be read")
        moments.append(Moment(now_s / 60, await stored_samples(pool), mb))
        await asyncio.sleep(every_s - (time.monotonic() - began_s) % every_s)
    return moments


def _fleet(stack: Stack, credentials: Sequence[tuple[str, str]]) -> Order:
    home = stack.config.home / "fleet"
    home.mkdir()
    tokens = home / "tokens.jsonl"
    tokens.write_text("".join(json.dumps({"vehicle": v, "token": t}) + "\n" for v, t in credentials), encoding="utf-8")
    return Order(
        FLEET,
        fleetwire_argv("simulate", "fleet", "--ingest", stack.ingest_url, "--tokens", str(tokens), "--home", str(home)),
        log=home / "fleet.log",
        env=dict(os.environ),
        ready=_at_once,
    )


async def _at_once() -> bool:
    return True


def write_csv(moments: Sequence[Moment], path: Path) -> None:
    """A line for each moment."""
    names = list(moments[0].mb)
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["minute", "stored", *(f"{name} MB" for name in names)])
        rows.writerows([f"{one.minute:.2f}", one.stored, *(f"{one.mb[name]:.2f}" for name in names)] for one in moments)


def draw(moments: Sequence[Moment], path: Path) -> None:
    """A line for each process."""
    lines = {name: [one.mb[name] for one in moments] for name in moments[0].mb}
    path.write_text(
        line_chart("Memory of each process, MB", "minutes", [one.minute for one in moments], lines), encoding="utf-8"
    )


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0.1), default=60.0, show_default=True)
@click.option("--vehicles", type=click.IntRange(min=1), default=100, show_default=True, help="About 25 samples/s each.")
@click.option("--every", "every_s", type=click.FloatRange(min=0.5), default=EVERY_S, show_default=True, help="Seconds.")
@click.option("--into", type=click.Path(path_type=Path), default=Path("."), help="Folder of soak.csv and soak.svg.")
def main(minutes: float, vehicles: int, every_s: float, into: Path) -> None:
    """Run the whole system under a steady fleet, and say of every process whether its memory stayed flat.

    Ends with 1 if one did not.
    """
    into.mkdir(parents=True, exist_ok=True)
    try:
        moments = asyncio.run(soak(minutes, vehicles, every_s))
    except Unavailable as error:
        raise click.ClickException(str(error)) from error
    write_csv(moments, into / "soak.csv")
    draw(moments, into / "soak.svg")
    span_s = 60 * (moments[-1].minute - moments[0].minute)
    rate = (moments[-1].stored - moments[0].stored) / span_s if span_s else 0.0
    print(f"{vehicles} vehicles, {moments[-1].minute:.1f} minutes, {rate:,.0f} samples/s stored")
    found = trends(moments)
    for name, trend in found.items():
        verdict = "flat" if trend.is_flat else "RISES"
        print(f"{name:14} {trend.mean_mb:7.1f} MB  {trend.mb_per_hour:+7.2f} MB/h  {verdict}")
    sys.exit(0 if all(trend.is_flat for trend in found.values()) else 1)


if __name__ == "__main__":
    main(prog_name="python -m bench.soak")
