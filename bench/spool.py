"""drain.spool…: a vehicle that comes back after weeks without a network.

Its spool holds 10 million samples in 100,000 batches. What is measured is how long the agent takes to open it, and how
fast batches go through `prepare` and `replied` while it is full, against the same batches out of a spool that holds
nothing else. The cloud settles at once, so that the agent is what is measured. The page cache is warm.

And how large a spool grows whose bound is reached several times over while nothing is settled, with what SQLite keeps
beside it.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Final

from bench.figure import Figure, Medians, faster_is_better, interleaved, interleaved_async, smaller_is_better
from edge.batcher import Draft, DraftColumn
from edge.outbox import Outbox
from edge.spool import Spool
from wire.envelope import BatchRef, Reply, Settled
from wire.ranges import EMPTY, RangeSet

VEHICLE: Final = "truck-0001"
SPOOL_BYTES: Final = 10**9
BOUND: Final = 16 * 10**6
OVER_BOUND: Final = 100_000
BACKLOG: Final = 100_000
SAMPLES: Final = 100
SIGNALS: Final = 10
AT_ONCE: Final = 500
DRAINED: Final = 6_400
MOST_BATCHES, MOST_BYTES = 64, 1_000_000
T0_MS: Final = 1_700_000_000_000


def spool_open() -> Figure:
    """From the start of the opening until the first request is planned; the baseline is an empty spool."""
    with _folder() as folder:
        full, empty = folder / "full.db", folder / "empty.db"
        _fill(full, BACKLOG)
        _fill(empty, 0)
        times = interleaved(lambda: _open_s(full), lambda: _open_s(empty), runs=7)
    note = f"{BACKLOG * SAMPLES:,} samples in {BACKLOG:,} batches; the baseline is an empty spool"
    return smaller_is_better("drain.spool_open", times, unit="s", note=note)


def spool_drain() -> Figure:
    """Batches a second, with all that the agent does for them but the network."""
    with _folder() as folder:
        _fill(folder / "full.db", BACKLOG)
        with closing(_open(folder / "full.db")) as full:
            rates = asyncio.run(_rates(full, folder))
    note = f"of {BACKLOG:,} batches, {MOST_BATCHES} in a request; the baseline is a spool of {DRAINED:,}"
    return faster_is_better("drain.spool", rates, unit="batches/s", note=note)


def spool_bound() -> Figure:
    """The most bytes on the disk; the baseline is the bound."""
    most, batches = 0, 0
    drafts = [_draft(number, Random(number)) for number in range(AT_ONCE)]
    with _folder() as folder, closing(_open(folder / "spool.db", max_bytes=BOUND)) as spool:
        while batches < OVER_BOUND:
            spool.put(drafts)
            batches += len(drafts)
            most = max(most, sum(path.stat().st_size for path in folder.glob("spool.db*")))
        (stream,) = spool.on_disk()
        assert len(stream.held) + len(stream.lost["evicted"]) == batches == stream.next
        note = f"{batches:,} batches, {len(stream.held):,} held and the others declared lost; the baseline is max_bytes"
    return smaller_is_better("drain.spool_bound", Medians(most, BOUND, 1), unit="bytes", note=note)


async def _rates(full: Spool, folder: Path) -> Medians:
    outbox, cloud = Outbox(full), _Cloud()

    async def ours() -> float:
        return await _drain(outbox, cloud)

    async def baseline() -> float:
        path = folder / f"small-{time.monotonic_ns()}.db"
        _fill(path, DRAINED)
        with closing(_open(path)) as spool:
            return await _drain(Outbox(spool), _Cloud())

    return await interleaved_async(ours, baseline, runs=5)


class _Cloud:
    """Settles all that it gets."""

    def __init__(self) -> None:
        self.settled: dict[str, RangeSet] = {}

    def reply(self, keys: tuple[tuple[str, int], ...], streams: list[str]) -> Reply:
        for stream in streams:
            seqs = RangeSet.of(seq for name, seq in keys if name == stream)
            self.settled[stream] = self.settled.get(stream, EMPTY) | seqs
        return Reply(
            accepted=tuple(BatchRef(stream=stream, seq=seq) for stream, seq in keys),
            settled=tuple(Settled.describe(stream, self.settled[stream]) for stream in streams),
            bus="bus",
            epoch="epoch",
        )


async def _drain(outbox: Outbox, cloud: _Cloud) -> float:
    sent = 0
    began = time.perf_counter()
    while sent < DRAINED:
        shipment = await outbox.prepare(0.0, most_batches=MOST_BATCHES, most_bytes=MOST_BYTES)
        streams = [claim.stream for claim in shipment.plan.claims]
        await outbox.replied(shipment.plan, cloud.reply(shipment.plan.batches, streams), 0.0)
        assert outbox.seconds_until_due(0.0) in {0.0, None}
        sent += len(shipment.plan.batches)
    return sent / (time.perf_counter() - began)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _open(path: Path, *, max_bytes: int = SPOOL_BYTES) -> Spool:
    return Spool.open(path, vehicle=VEHICLE, max_bytes=max_bytes, now_ms=T0_MS)


def _open_s(path: Path) -> float:
    began = time.perf_counter()
    with closing(_open(path)) as spool:
        outbox = Outbox(spool)
        outbox.seconds_until_due(0.0)
        return time.perf_counter() - began


def _fill(path: Path, batches: int) -> None:
    dice = Random(1)
    drafts = [_draft(number, dice) for number in range(AT_ONCE)]
    with closing(_open(path)) as spool:
        for _ in range(batches // AT_ONCE):
            spool.put(drafts)
        spool.put(drafts[: batches % AT_ONCE])


def _draft(number: int, dice: Random) -> Draft:
    t0_ms = T0_MS + 1000 * number
    times = [t0_ms + 100 * step for step in range(SAMPLES // SIGNALS)]
    return Draft(
        columns={
            f"M.S{signal}": DraftColumn(times, [float(dice.randrange(1000)) for _ in times])
            for signal in range(SIGNALS)
        }
    )


FIGURES: Final[Mapping[str, Callable[[], Figure]]] = {
    "drain.spool_open": spool_open,
    "drain.spool": spool_drain,
    "drain.spool_bound": spool_bound,
}
