"""Reads two loopback buses as the agent does, in a process that holds nothing else, and says what it took.

    python -m bench.full_bus DBC COUNT     < frames of 16 bytes each, which are sent again and again

python-can imports asammdf where there is one, and pandas with it. The agent's own installation has none.
"""

import sys

if __name__ == "__main__":
    sys.modules["asammdf"] = None  # type: ignore[assignment]

import asyncio
import json
import os
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench.loopback import END_ID, FULL_BUS, LoopbackInterface, sending
from edge.buses.socketcan_reader import SocketCanReader
from edge.dbc import load_database
from edge.decoder import Decoder, SignalTable
from edge.frame_source import FrameSource
from edge.pipeline import Pipeline
from edge.sampler import SamplingPolicy, SamplingRule

BUSES: Final = 2
_TICK_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Taken:
    """What a run took. Memory is that of the whole process, after the first second and at the end."""

    frames: int
    dropped: int
    samples: int
    cpu_s: float
    wall_s: float
    first_rss_mb: float
    rss_mb: float
    signals: int


def make_pipeline(table: SignalTable) -> Pipeline:
    """With the agent's default settings."""
    return Pipeline(table.signals, [SamplingRule("*", SamplingPolicy())], max_age_ms=1_000, max_samples=5_000)


async def read_bus(source: FrameSource, decoder: Decoder, pipeline: Pipeline) -> None:
    """As edge.agent does it, until the frame that ends a run; what is ready goes nowhere."""
    async for frames in source:
        is_last = frames[-1].arbitration_id == END_ID
        pipeline.take_frames(decoder, frames[:-1] if is_last else frames, time.time_ns())
        if pipeline.is_ready:
            pipeline.take()
        if is_last:
            return
        await asyncio.sleep(0)


async def tick(pipeline: Pipeline) -> None:
    """As edge.agent does it."""
    while True:
        await asyncio.sleep(_TICK_S)
        pipeline.tick(wall_ms=time.time_ns() // 1_000_000, monotonic_ms=time.monotonic_ns() // 1_000_000)


async def run(dbc: Path, packed: bytes, count: int) -> Taken:
    """Two buses of the same database, each of them full."""
    table = SignalTable()
    database = load_database(dbc, strict=False)
    pipeline = make_pipeline(table)
    async with AsyncExitStack() as opened:
        buses = []
        ports = []
        for number in range(BUSES):
            interface = LoopbackInterface()
            ports.append(interface.port)
            reader = await opened.enter_async_context(SocketCanReader(interface, name=f"can{number}"))
            buses.append((reader, Decoder([database], bus=f"can{number}", table=table)))
        opened.enter_context(sending(packed, ports, rate=BUSES * FULL_BUS, count=count))
        cpu_s, wall_s = time.process_time(), time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            first_rss = tasks.create_task(_rss_after_a_second(), name="rss")
            ticking = tasks.create_task(tick(pipeline), name="tick")
            reading = [
                tasks.create_task(read_bus(reader, decoder, pipeline), name=reader.name) for reader, decoder in buses
            ]
            await asyncio.wait(reading)
            ticking.cancel()
        return Taken(
            frames=pipeline.frames,
            dropped=sum(reader.counts.dropped for reader, _ in buses),
            samples=pipeline.sampler.counts.seen,
            cpu_s=time.process_time() - cpu_s,
            wall_s=time.monotonic() - wall_s,
            first_rss_mb=first_rss.result(),
            rss_mb=_rss_mb(),
            signals=len(table.signals) // BUSES,
        )


async def _rss_after_a_second() -> float:
    await asyncio.sleep(1)
    return _rss_mb()


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(run(Path(sys.argv[1]), sys.stdin.buffer.read(), int(sys.argv[2]))))))
