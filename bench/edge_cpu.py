"""edge_cpu, edge_full_bus: what samples of a full bus cost, against python-can and cantools in a plain loop.

Both get the same frames over a loopback socket, in portions of what a full bus brings in 25 ms, one portion after the
other; what is measured is the processor time of reading, decoding and, in ours, sampling and making batches. With
`paced`, another process sends them, 4,000 a second, and the time of waking up is counted too.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import cycle, islice
from statistics import median
from typing import Final, NamedTuple

import can
from can.interfaces.socketcan import SocketcanBus
from can.interfaces.socketcan.constants import SO_TIMESTAMPNS
from cantools.database import DecodeError
from cantools.database.can import Database

from bench.decode import fifteen_signals
from bench.figure import Figure, interleaved, rounded, smaller_is_better
from bench.full_bus import BUSES, Taken, make_pipeline, read_bus, tick
from bench.loopback import END_ID, FULL_BUS, LoopbackInterface, pack_frames, sending
from bench.recordings import KONA_DATABASE, Recorded, kona, simulated
from edge.buses.socketcan import FULL_BYTES, FrameSocket
from edge.buses.socketcan_frames import SO_TIMESTAMPNS as OURS
from edge.buses.socketcan_frames import parse_slots
from edge.buses.socketcan_reader import SocketCanReader
from edge.decoder import Decoder, SignalTable
from edge.frame import Frame

FRAMES: Final = 12_000
RUNS: Final = 3
FULL_BUS_S: Final = 10.0
PORTION: Final = FULL_BUS // 40


def edge_cpu(name: str, recorded: Callable[[], Recorded], *, frames: int = FRAMES, runs: int = RUNS) -> Figure:
    """Microseconds of processor time a frame."""
    database, chosen = _choose(recorded, frames)
    stages: list[_Stages] = []

    def ours() -> float:
        stages.append(_run_ours(database, chosen))
        return 1e6 * stages[-1].all_s / frames

    times = interleaved(ours, lambda: 1e6 * _run_plain(database, chosen) / frames, runs=runs)
    read_us, pipeline_us = (1e6 * median(stage) / frames for stage in zip(*stages, strict=True))
    note = f"{frames:,} frames; us a frame: {read_us:.2f} to read, {pipeline_us:.2f} to decode, sample and batch"
    return smaller_is_better(name, times, unit="us/frame", note=note)


def edge_cpu_paced(
    name: str, recorded: Callable[[], Recorded], *, frames: int = FRAMES, runs: int = RUNS, rate: int = FULL_BUS
) -> Figure:
    """The same at the pace of a full bus."""
    database, chosen = _choose(recorded, frames)
    times = interleaved(
        lambda: 1e6 * asyncio.run(_run_ours_paced(database, chosen, rate)) / frames,
        lambda: 1e6 * _run_plain_paced(database, chosen, rate) / frames,
        runs=runs,
    )
    return smaller_is_better(name, times, unit="us/frame", note=f"{frames:,} frames at {rate:,}/s, with waking up")


def edge_full_bus(*, rate: int = FULL_BUS) -> Figure:
    """Percent of a core that two full buses take. FLEETWIRE_BENCH_FULL_BUS_S says for how long, 10 s if it does not."""
    duration_s = float(os.environ.get("FLEETWIRE_BENCH_FULL_BUS_S", FULL_BUS_S))
    count = int(duration_s * BUSES * rate)
    taken = _take_full_bus(pack_frames(kona().frames), count)
    percent = 100 * taken.cpu_s / taken.wall_s
    note = (
        f"{taken.frames:,} of {count:,} frames in {taken.wall_s:.0f} s, {taken.dropped} dropped; "
        f"{taken.samples:,} samples seen; a database of {taken.signals} signals; "
        f"RSS {taken.first_rss_mb:.0f} MB after 1 s, {taken.rss_mb:.0f} MB at the end; read, decode, sample, batch"
    )
    return Figure("edge_full_bus", rounded(percent), "% of a core", None, None, 1, note)


def unchanged() -> Recorded:
    """One frame of 15 signals, again and again."""
    return fifteen_signals(1)


class PlainBus(SocketcanBus):
    """python-can's SocketCAN over a loopback socket: everything but the opening is its own."""

    def __init__(self, interface: LoopbackInterface) -> None:
        self.socket = interface.socket
        self.channel = "can0"
        self._is_filtered = False
        self._bcm_sockets = {}
        self._task_id = 0
        self._periodic_tasks = []
        self._filters = None
        self.socket.setsockopt(1, OURS, 0)
        self.socket.setsockopt(1, SO_TIMESTAMPNS, 1)


class _Stages(NamedTuple):
    """Seconds to read, and to make samples of what was read."""

    read_s: float
    pipeline_s: float

    @property
    def all_s(self) -> float:
        return self.read_s + self.pipeline_s


def _choose(recorded: Callable[[], Recorded], frames: int) -> tuple[Database, list[Frame]]:
    work = recorded()
    (database,) = work.databases
    return database, list(islice(cycle(work.frames), frames))


def _portions(interface: LoopbackInterface, frames: Sequence[Frame]) -> Iterator[None]:
    """What a full bus brings in 25 ms, then the next of it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", interface.port))
        for begin in range(0, len(frames), PORTION):
            for frame in frames[begin : begin + PORTION]:
                sender.send(pack_frames([frame]))
            yield


def _run_ours(database: Database, frames: Sequence[Frame]) -> _Stages:
    table = SignalTable()
    decoder = _warm(Decoder([database], table=table), frames)
    pipeline = make_pipeline(table)
    interface = LoopbackInterface()
    read_s = pipeline_s = 0.0
    with FrameSocket(interface.open()) as source:
        for _ in _portions(interface, frames):
            is_full = True
            while is_full:
                began_s = time.thread_time()
                slots = source.read()
                is_full = len(slots) == FULL_BYTES
                received, *_ = parse_slots(slots, "can0", 0)
                read_s += time.thread_time() - began_s
                began_s = time.thread_time()
                pipeline.take_frames(decoder, received, 0)
                pipeline_s += time.thread_time() - began_s
    assert pipeline.frames == len(frames), f"{len(frames) - pipeline.frames} frames were lost"
    return _Stages(read_s, pipeline_s)


def _run_plain(database: Database, frames: Sequence[Frame]) -> float:
    interface = LoopbackInterface()
    bus = PlainBus(interface)
    took_s = 0.0
    count = 0
    for _ in _portions(interface, frames):
        began_s = time.thread_time()
        while (message := bus.recv(0)) is not None:
            count += 1
            _decode_plainly(database, message)
        took_s += time.thread_time() - began_s
    bus.shutdown()
    assert count == len(frames), f"{len(frames) - count} frames were lost"
    return took_s


async def _run_ours_paced(database: Database, frames: Sequence[Frame], rate: int) -> float:
    table = SignalTable()
    decoder = _warm(Decoder([database], table=table), frames)
    pipeline = make_pipeline(table)
    interface = LoopbackInterface()
    async with SocketCanReader(interface, name="can0") as reader:
        ticking = asyncio.create_task(tick(pipeline), name="tick")
        with sending(pack_frames(frames), [interface.port], rate=rate):
            began_s = time.process_time()
            await read_bus(reader, decoder, pipeline)
            took_s = time.process_time() - began_s
        ticking.cancel()
        assert pipeline.frames == len(frames), f"{len(frames) - pipeline.frames} frames were lost"
    return took_s


def _run_plain_paced(database: Database, frames: Sequence[Frame], rate: int) -> float:
    interface = LoopbackInterface()
    bus = PlainBus(interface)
    count = 0
    with sending(pack_frames(frames), [interface.port], rate=rate):
        began_s = time.process_time()
        for message in bus:
            if message.arbitration_id == END_ID:
                break
            count += 1
            _decode_plainly(database, message)
        took_s = time.process_time() - began_s
    bus.shutdown()
    assert count == len(frames), f"{len(frames) - count} frames were lost"
    return took_s


def _decode_plainly(database: Database, message: can.Message) -> None:
    with suppress(KeyError, DecodeError):
        database.decode_message(message.arbitration_id, bytes(message.data), decode_choices=False)


def _warm(decoder: Decoder, frames: Sequence[Frame]) -> Decoder:
    """Its functions are compiled when they are first needed."""
    for frame in frames:
        decoder.decode(frame.arbitration_id, frame.is_extended, frame.data)
        if (slot := decoder.slot(frame.arbitration_id, frame.is_extended)) is not None and slot.length >= 0:
            _ = slot.reader.changes
    return decoder


def _take_full_bus(packed: bytes, count: int) -> Taken:
    """In a process of its own, which holds nothing that an agent has not."""
    command = [sys.executable, "-m", "bench.full_bus", str(KONA_DATABASE), str(count)]
    done = subprocess.run(command, input=packed, stdout=subprocess.PIPE, check=True)
    return Taken(**json.loads(done.stdout.splitlines()[-1]))


FIGURES: Final[Mapping[str, Callable[[], Figure]]] = {
    "edge_cpu.kona": partial(edge_cpu, "edge_cpu.kona", kona),
    "edge_cpu.simulated": partial(edge_cpu, "edge_cpu.simulated", simulated),
    "edge_cpu.unchanged": partial(edge_cpu, "edge_cpu.unchanged", unchanged),
    "edge_cpu.kona.paced": partial(edge_cpu_paced, "edge_cpu.kona.paced", kona),
    "edge_full_bus": edge_full_bus,
}
