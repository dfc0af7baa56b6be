"""python -m bench.sustained: the whole pipeline at a steady rate for minutes: CPU a sample, lag, memory, all stored.

The load comes in batches of 400 samples, each in a request of its own, at a rate that is kept whatever the answers
take; so lag is the system's own. Everything runs as in service, and a browser's socket follows the fleet.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import click

from bench.browser import browser
from bench.figure import Unavailable, rounded
from bench.load import Connection, Sender
from bench.pipeline import CORES, SAMPLES_A_SIGNAL
from bench.processes import Spent, memory_bytes
from bench.series import Series
from bench.stack import INGEST, WEB, WRITER, running
from bench.stored import stored_samples, until_stored
from bench.synthetic import START_MS, Second
from cloud.access.accounts import add_vehicles
from cloud.database import Pool, make_pool

VEHICLES: Final = 100
EVERY_S: Final = 1.0
WARM_UP: Final = 0.2
PATIENCE_S: Final = 120.0


@dataclass
class Load:
    """What was sent, in samples; `late_s` is how far behind its time the latest request went out."""

    sent: int = 0
    late_s: float = 0.0


@dataclass
class Seen:
    """One look each second."""

    lag_s: list[float] = field(default_factory=list)
    memory: list[Mapping[str, int]] = field(default_factory=list)


async def sustained(seconds: float, rate: float, vehicles: int) -> dict[str, object]:
    """The figure, ready to be printed."""
    second = Second(samples=SAMPLES_A_SIGNAL)
    async with (
        running(WRITER, INGEST, WEB) as stack,
        make_pool(stack.config.database_url, size=2, name="bench") as pool,
    ):
        senders = Sender.of(await add_vehicles(pool, [f"sustained-{number}" for number in range(vehicles)]))
        series = [Series(sender, second.draft(number), t0_ms=START_MS) for number, sender in enumerate(senders)]
        load, seen, spent = Load(), Seen(), Spent()
        async with browser(stack, senders[0].vehicle):
            began = time.monotonic()
            with spent.on(stack.pids):
                looking = asyncio.create_task(_look(pool, load, seen, stack.pids, rate), name="looking")
                every_s = vehicles * second.count / rate
                async with asyncio.TaskGroup() as tasks:
                    for number, one in enumerate(series):
                        begin = began + number * every_s / vehicles
                        tasks.create_task(_drive(stack.ingest_url, one, load, begin, every_s, began + seconds))
                await _until_all_stored(pool, load.sent)
                took_s = time.monotonic() - began
            looking.cancel()
        rows = await pool.fetchval("SELECT count(*) FROM samples")
        if rows != load.sent:
            raise Unavailable(f"{load.sent:,} samples were sent, and {rows:,} are stored")
    lags = sorted(seen.lag_s)
    return {
        "name": "pipeline.sustained",
        "value": rounded(CORES * load.sent / spent.totals_s[0]),
        "unit": "samples/s of two cores' CPU",
        "seconds": round(took_s),
        "offered": rate,
        "samples": load.sent,
        "samples_a_second": rounded(load.sent / took_s),
        "lag_s": {
            "median": rounded(lags[len(lags) // 2]),
            "p99": rounded(lags[len(lags) * 99 // 100]),
            "max": rounded(lags[-1]),
        },
        "generator_late_s": rounded(load.late_s),
        "cpu_shares": {name: rounded(share) for name, share in spent.shares.items()},
        "memory_mb": _memory(seen.memory),
    }


async def _drive(url: str, series: Series, load: Load, at: float, every_s: float, until: float) -> None:
    """One vehicle: a request at each of its times, over its own connection, as soon as the one before was answered."""
    connection = await Connection.open(url)
    seq = 0
    while at < until:
        await asyncio.sleep(at - time.monotonic())
        load.late_s = max(load.late_s, time.monotonic() - at)
        await connection.post(series.request(seq))
        load.sent += series.samples
        seq += 1
        at += every_s
    connection.close()


async def _look(pool: Pool, load: Load, seen: Seen, pids: Mapping[str, int], rate: float) -> None:
    """Lag is how many seconds of the load are taken and not yet stored."""
    while True:
        taken = load.sent
        seen.lag_s.append(max(0, taken - await stored_samples(pool)) / rate)
        seen.memory.append(memory_bytes(pids))
        await asyncio.sleep(EVERY_S)


async def _until_all_stored(pool: Pool, samples: int) -> None:
    """Raises TimeoutError when what was taken is not stored soon."""
    async with asyncio.timeout(PATIENCE_S):
        await until_stored(pool, samples)


def _memory(seen: Sequence[Mapping[str, int]]) -> dict[str, str]:
    """Of each process after the warm-up and at the end, and its most."""
    warm = seen[int(WARM_UP * len(seen)) :]
    return {
        name: f"{warm[0][name] / 1e6:.0f} to {warm[-1][name] / 1e6:.0f}, at most {max(o[name] for o in warm) / 1e6:.0f}"
        for name in warm[0]
    }


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), default=20.0, show_default=True)
@click.option("--rate", type=click.FloatRange(min=400), default=50_000.0, show_default=True, help="Samples a second.")
@click.option("--vehicles", type=click.IntRange(min=1), default=VEHICLES, show_default=True)
def main(seconds: float, rate: float, vehicles: int) -> None:
    """Offer the whole system a steady load and print one JSON line.

    \b
    value           samples a second of two cores of CPU, spent by everything but the load
    lag_s           how many seconds of the load are taken and not yet stored, looked at each second
    memory_mb       of each process, after the warm-up and at the end, without PostgreSQL's shared buffers
    """
    try:
        found = asyncio.run(sustained(seconds, rate, vehicles))
    except Unavailable as error:
        raise click.ClickException(str(error)) from error
    print(json.dumps(found))
    sys.exit(0)


if __name__ == "__main__":
    main(prog_name="python -m bench.sustained")
