"""vehicles_10k: what a sample costs in a fleet of 10,000 vehicles, beside one of 10.

TimescaleDB, Redis, ingest, writer and web run as in service. Fleets of 10, 100, 1,000 and 10,000 vehicles send as many
batches of equal size as one another, each vehicle one after the other; what is compared is the processor time of
everything but the client that sends them. Each fleet has sent once before.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from statistics import median
from typing import Final

from bench.browser import browser
from bench.figure import Figure, Medians, smaller_is_better
from bench.load import Sender, lanes, request, send
from bench.processes import Spent
from bench.stack import INGEST, WEB, WRITER, running
from bench.stored import until_stored
from bench.synthetic import Second
from cloud.access.accounts import add_vehicles
from cloud.database import make_pool

SIZES: Final = (10, 100, 1_000, 10_000)
BATCHES: Final = 20_000
RUNS: Final = 3
SECOND: Final = Second(signals=20, samples=5)
US: Final = 1e6


def vehicles_10k() -> Figure:
    """CPU of a sample among 10,000 vehicles; the baseline is among 10."""
    spent = _measured()
    us = {size: median(of.totals_s) / (BATCHES * SECOND.count) * US for size, of in spent.items()}
    each = ", ".join(f"{size:,} vehicles {cost:.2f}" for size, cost in us.items())
    shares = ", ".join(f"{name} {share:.0%}" for name, share in spent[SIZES[-1]].shares.items())
    note = f"us of CPU a sample in batches of {SECOND.count}: {each}; at {SIZES[-1]:,}: {shares}"
    return smaller_is_better("vehicles_10k", Medians(us[SIZES[-1]], us[SIZES[0]], RUNS), unit="us/sample", note=note)


@cache
def _measured() -> Mapping[int, Spent]:
    return asyncio.run(_measure())


async def _measure() -> dict[int, Spent]:
    spent = {size: Spent() for size in SIZES}
    async with (
        running(WRITER, INGEST, WEB) as stack,
        make_pool(stack.config.database_url, size=2, name="bench") as pool,
    ):
        fleets = {size: Sender.of(await add_vehicles(pool, [f"of-{size}-{n}" for n in range(size)])) for size in SIZES}
        stored = 0
        async with browser(stack, fleets[SIZES[0]][0].vehicle):
            for run in range(RUNS + 1):
                for size, senders in fleets.items():
                    batches = BATCHES // size if run else 1
                    first = 1 + (run - 1) * batches if run else 0
                    requests = _lanes(senders, range(first, first + batches))
                    stored += size * batches * SECOND.count
                    with spent[size].on(stack.pids):
                        await send(stack.ingest_url, requests)
                        await until_stored(pool, stored)
                    if not run:
                        spent[size].forget()
    return spent


def _lanes(senders: Sequence[Sender], seqs: range) -> list[list[bytes]]:
    drafts = [SECOND.draft(number) for number in range(SIZES[0])]
    return lanes(
        [
            [request(sender, drafts[number % len(drafts)], seq, shift_ms=1000 * seq) for seq in seqs]
            for number, sender in enumerate(senders)
        ]
    )


FIGURES: Final[Mapping[str, Callable[[], Figure]]] = {"vehicles_10k": vehicles_10k}
