"""Vehicles on the stage: the agent's own spool, outbox and uplink, with content of which every sample is known."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import aiohttp

from bench.faults.stage import eventually
from edge.batcher import Draft, DraftColumn
from edge.fix import Fix
from edge.outbox import Outbox
from edge.spool import Spool
from edge.uplink import Uplink
from edge.ways.pacing import Timings
from edge.ways.transport import Transport
from edge.ways.uplink_http import HttpTransport
from wire.model import Event

SPOOL_BYTES: Final = 200_000_000
SIGNALS: Final = ("Engine.Speed", "Engine.Load", "Brakes.Pedal")
SAMPLES: Final = 7
"""Of each signal in a batch."""

BETWEEN_PUTS_S: Final = (0.02, 0.12)
TIMEOUT_S: Final = 3.0
TIMINGS: Final = Timings(poll_first_s=0.2, poll_limit_s=1.0, retry_first_s=0.2, retry_limit_s=1.0)

Sample = tuple[str, int, float]
"""Signal, Unix ms, value. No two of a vehicle are equal."""

Wrap = Callable[[Transport, Random], Transport]


@dataclass
class Recorded:
    """What the spool called stored."""

    batches: int = 0
    samples: list[Sample] = field(default_factory=list)
    fixes: int = 0
    events: int = 0


class StagedVehicle:
    """Records all the time, and sends."""

    def __init__(self, ident: str, outbox: Outbox, uplink: Uplink, dice: Random, *, start_ms: int) -> None:
        self.ident = ident
        self.recorded = Recorded()
        self.outbox = outbox
        self._uplink = uplink
        self._dice = dice
        self._at_ms = start_ms

    async def live(self) -> None:
        """Put batch after batch into the spool until cancelled; one that is under way is finished and counted."""
        while True:
            put = asyncio.ensure_future(self.put())
            try:
                await asyncio.shield(put)
            finally:
                await put
            await asyncio.sleep(self._dice.uniform(*BETWEEN_PUTS_S))

    async def put(self) -> None:
        """One batch; it counts once it is on the disk."""
        draft = self._draft()
        await self.outbox.put([draft])
        recorded = self.recorded
        recorded.batches += 1
        recorded.fixes += len(draft.fixes)
        recorded.events += len(draft.events)
        for name, column in draft.columns.items():
            recorded.samples += [(name, t_ms, value) for t_ms, value in zip(column.t_ms, column.v, strict=True)]

    async def send(self) -> None:
        """Uplink for ever."""
        await self._uplink.run()

    async def until_settled(self, batches: int) -> None:
        """Returns when so many batches are settled."""
        await eventually(lambda: self.outbox.counts.settled >= batches)

    def _draft(self) -> Draft:
        times = range(self._at_ms, self._at_ms + SAMPLES)
        self._at_ms += SAMPLES
        columns = {name: DraftColumn(times, [float(self._dice.getrandbits(40)) for _ in times]) for name in SIGNALS}
        fixes = [Fix(times[0], lat=self._dice.uniform(-80, 80), lon=self._dice.uniform(-170, 170))]
        events = [Event(t=times[0], kind="fault_bench")] if self._dice.random() < 0.1 else []
        return Draft(columns=columns, fixes=fixes, events=events)


@asynccontextmanager
async def on_stage(
    credentials: Sequence[tuple[str, str]],
    url: str,
    folder: Path,
    dice: Random,
    *,
    wrap: Wrap | None = None,
    late_ms: int = 0,
) -> AsyncIterator[list[StagedVehicle]]:
    """Vehicles with empty spools in `folder`, none of which does anything yet; what they record is `late_ms` old."""
    start_ms = time.time_ns() // 1_000_000 - late_ms - 60_000
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        yield [
            _vehicle(stack, session, ident, token, url, folder, Random(dice.getrandbits(64)), wrap, start_ms)
            for ident, token in credentials
        ]


def _vehicle(
    stack: AsyncExitStack,
    session: aiohttp.ClientSession,
    ident: str,
    token: str,
    url: str,
    folder: Path,
    dice: Random,
    wrap: Wrap | None,
    start_ms: int,
) -> StagedVehicle:
    spool = Spool.open(folder / f"{ident}.db", vehicle=ident, max_bytes=SPOOL_BYTES, now_ms=start_ms)
    stack.callback(spool.close)
    outbox = Outbox(spool)
    transport: Transport = HttpTransport(session, url=url, token=lambda: token, timeout_s=TIMEOUT_S)
    if wrap is not None:
        transport = wrap(transport, Random(dice.getrandbits(64)))
    uplink = Uplink(outbox, transport, token=lambda: token, timings=TIMINGS, dice=Random(dice.getrandbits(64)))
    return StagedVehicle(ident, outbox, uplink, dice, start_ms=start_ms)
