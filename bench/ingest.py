"""ingest: requests a second of the real ingest process, against an empty aiohttp handler that reads the same bodies.

Each request carries one vehicle's batch of 1 s, as the agent makes it of a simulated drive and sends it while it is
watched, over the vehicle's own connection. Both servers are processes of their own and get the same requests from the
same client. TimescaleDB and Redis run, the writer does not; but the ledger knows a part of every stream, as it does of
a vehicle's that has been sending for a while.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from statistics import median
from typing import Final

from bench.drafts import DEFAULT, drafts
from bench.figure import Figure, faster_is_better, interleaved_async
from bench.load import Sender, lanes, request, send
from bench.processes import Spent
from bench.recordings import simulated
from bench.stack import INGEST, running
from cloud.access.accounts import add_vehicles
from cloud.config import CloudConfig
from cloud.database import connect
from cloud.running.local import address, answers_ready
from cloud.running.supervisor import Child, Order, Supervisor
from cloud.services.ports import next_free_port
from edge.batcher import Draft

RUNS: Final = 5
VEHICLES: Final = 256
BATCHES: Final = 30
_STORED_BEFORE: Final = """
INSERT INTO ledger (vehicle_id, stream, received, lost, next)
SELECT id, $2, '{[0,7),[9,100)}', '{[7,9)}', 100 FROM vehicles WHERE ident = $1
"""
_FIRST: Final = 60
"""By then the simulated vehicle is on its way."""


def ingest(*, vehicles: int = VEHICLES, batches: int = BATCHES, runs: int = RUNS) -> Figure:
    """A run of either server before those that count."""
    source = list(islice(drafts(simulated(), DEFAULT, max_age_ms=1000), _FIRST, _FIRST + batches))
    return asyncio.run(_ingest(source, vehicles, runs))


async def _ingest(source: Sequence[Draft], vehicles: int, runs: int) -> Figure:
    async with running(INGEST) as stack, Supervisor(say=_quiet) as supervisor:
        config = stack.config
        empty_port = next_free_port(25_000)
        await supervisor.start(Child(_empty_handler(config, empty_port)))
        connection = await connect(config.database_url)
        credentials = await add_vehicles(connection, [f"ingest-{number}" for number in range(vehicles)])
        rounds = [_Round(Sender.of(credentials), source) for _ in range(runs + 1)]
        for one in rounds:
            await connection.executemany(_STORED_BEFORE, [(sender.vehicle, sender.stream) for sender in one.senders])
        await connection.close()
        ours, baseline = iter(rounds), iter(rounds)

        spent, empty = Spent(), Spent()

        async def run_ours() -> float:
            with spent.on({INGEST: stack.pids[INGEST]}):
                return await next(ours).rate(stack.ingest_url)

        async def run_baseline() -> float:
            with empty.on(supervisor.pids):
                return await next(baseline).rate(address(config, empty_port))

        await run_ours()
        await run_baseline()
        spent.forget()
        empty.forget()
        rates = await interleaved_async(run_ours, run_baseline, runs=runs)
    samples = sum(draft.sample_count for draft in source) / len(source)
    size = sum(len(one) for lane in rounds[0].lanes for one in lane) / rounds[0].count
    ours_us, empty_us = (median(of.totals_s) / rounds[0].count * 1e6 for of in (spent, empty))
    note = (
        f"{rounds[0].count:,} requests a run over {len(rounds[0].lanes)} connections, each one batch of about "
        f"{samples:.0f} samples, {size:.0f} bytes with its head; {ours_us:.0f} us CPU a request, {empty_us:.0f} the "
        "empty one's"
    )
    return faster_is_better("ingest", rates, unit="requests/s", note=note)


class _Round:
    """The requests of one run: every vehicle begins a new stream."""

    def __init__(self, senders: Sequence[Sender], source: Sequence[Draft]) -> None:
        self.senders = senders
        by_vehicle = [[request(sender, draft, seq) for seq, draft in enumerate(source, 100)] for sender in senders]
        self.lanes = lanes(by_vehicle, len(senders))
        self.count = sum(map(len, self.lanes))

    async def rate(self, url: str) -> float:
        return self.count / await send(url, self.lanes)


def _empty_handler(config: CloudConfig, port: int) -> Order:
    return Order(
        "empty handler",
        [sys.executable, "-m", "bench.empty_handler", str(port)],
        log=config.home / "logs" / "empty-handler.log",
        env=dict(os.environ),
        ready=answers_ready(address(config, port)),
    )


def _quiet(line: str) -> None:
    """Progress is not what is measured."""


FIGURES: Final[Mapping[str, Callable[[], Figure]]] = {"ingest": ingest}
