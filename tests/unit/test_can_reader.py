import asyncio
import errno
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import can
import pytest

from edge.buses.open_bus import open_bus
from edge.can_reader import CanReader
from edge.config import CanSettings
from edge.frame import Frame
from edge.frame_source import ReaderError

LIMIT_S = 20
HAS_VCAN = Path("/sys/class/net/vcan0").exists()


async def test_frames_of_a_bus_come_in_order_with_the_time_of_reception() -> None:
    before_ns = time.time_ns()
    async with CanReader("virtual", "order", name="pt") as reader:
        with can.Bus("order", "virtual") as bus:
            for number in range(300):
                bus.send(can.Message(arbitration_id=number, is_extended_id=number % 2 == 1, data=bytes([number % 256])))
        frames = await _take(reader, 300)
    assert [(f.arbitration_id, f.is_extended, f.data) for f in frames] == [
        (number, number % 2 == 1, bytes([number % 256])) for number in range(300)
    ]
    assert {frame.channel for frame in frames} == {"pt"}
    assert all(before_ns - 1000 <= (frame.t_ns or 0) <= time.time_ns() for frame in frames)
    assert reader.counts.frames == 300


async def test_remote_and_error_frames_are_counted_and_not_handed_on() -> None:
    async with CanReader("virtual", "kinds") as reader:
        with can.Bus("kinds", "virtual") as bus:
            bus.send(can.Message(arbitration_id=1, is_remote_frame=True, dlc=8))
            bus.send(can.Message(is_error_frame=True))
            bus.send(can.Message(arbitration_id=2, data=b"\1"))
        (frame,) = await _take(reader, 1)
    assert frame.arbitration_id == 2
    assert (reader.counts.remote, reader.counts.error) == (1, 1)


async def test_what_does_not_fit_into_the_queue_is_dropped_and_counted() -> None:
    async with CanReader("virtual", "flood", most_waiting=10) as reader:
        with can.Bus("flood", "virtual") as bus:
            for number in range(200):
                bus.send(can.Message(arbitration_id=number, data=b""))
            bus.send(can.Message(is_error_frame=True))
        await asyncio.to_thread(_wait_for_error_frame, reader)
        frames = await _take(reader, 10)
    assert [frame.arbitration_id for frame in frames] == list(range(10))
    assert reader.counts.dropped == 190


async def test_an_interface_that_fails_is_opened_again_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(can.interfaces.BACKENDS, "flaky", (__name__, "FlakyBus"))
    FlakyBus.openings = iter([[1], OSError(errno.ENODEV, "No such device"), [2]])
    async with CanReader("flaky", "can0", first_pause_s=0) as reader:
        frames = await _take(reader, 2)
    assert [frame.arbitration_id for frame in frames] == [1, 2]
    assert reader.counts.restarts >= 2
    assert reader.counts.last_error is not None


async def test_an_interface_that_cannot_even_be_closed_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(can.interfaces.BACKENDS, "flaky", (__name__, "UnpluggedBus"))
    UnpluggedBus.openings = iter([[1], [2]])
    async with CanReader("flaky", "can0", first_pause_s=0) as reader:
        assert [frame.arbitration_id for frame in await _take(reader, 2)] == [1, 2]


async def test_a_stop_gives_what_was_received_and_not_taken() -> None:
    async with CanReader("virtual", "stop") as reader:
        with can.Bus("stop", "virtual") as bus:
            for number in range(300):
                bus.send(can.Message(arbitration_id=number, data=b""))
            rest = await reader.rest()
    assert [frame.arbitration_id for frame in rest] == list(range(300))
    assert reader.counts.frames == 300


async def test_a_backlog_comes_in_portions() -> None:
    async with CanReader("virtual", "backlog") as reader:
        with can.Bus("backlog", "virtual") as bus:
            for number in range(2_500):
                bus.send(can.Message(arbitration_id=number, data=b""))
            bus.send(can.Message(is_error_frame=True))
            await asyncio.to_thread(_wait_for_error_frame, reader)
        stream = aiter(reader)
        assert [len(await anext(stream)) for _ in range(3)] == [1_000, 1_000, 500]


async def test_a_bus_that_is_away_at_the_start_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(can.interfaces.BACKENDS, "flaky", (__name__, "FlakyBus"))
    FlakyBus.openings = iter([OSError(errno.ENODEV, "No such device"), [1]])
    async with CanReader("flaky", "can0", first_pause_s=0) as reader:
        assert len(await _take(reader, 1)) == 1


async def test_an_unexpected_error_in_the_thread_reaches_the_one_who_takes_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(can.interfaces.BACKENDS, "flaky", (__name__, "FlakyBus"))
    FlakyBus.openings = iter([[ZeroDivisionError()]])
    async with CanReader("flaky", "can0", first_pause_s=0) as reader:
        with pytest.raises(ZeroDivisionError):
            await _take(reader, 1)


@pytest.mark.parametrize(
    ("interface", "channel"),
    [("no-such-interface", "can0"), ("kvaser", "not-a-number"), ("udp_multicast", "no.such.host.invalid")],
)
async def test_settings_that_can_never_work_are_an_error(interface: str, channel: str) -> None:
    with pytest.raises(ReaderError, match=f"CAN bus pt: python-can cannot open {interface}"):
        async with CanReader(interface, channel, name="pt"):
            pass


def test_misspelt_interface_is_refused_before_anything_is_opened() -> None:
    bus = CanSettings(interface="socketcn", channel="can0", name="pt")
    with pytest.raises(ReaderError, match="CAN bus pt: python-can has no interface 'socketcn'; did you mean 'socketc"):
        open_bus(bus)


async def test_frames_come_through_udp_multicast_from_another_process() -> None:
    sender = (
        "import can, time\n"
        "with can.Bus('239.74.163.2', 'udp_multicast', port=43113, hop_limit=0) as bus:\n"
        "    for number in range(100):\n"
        "        bus.send(can.Message(arbitration_id=0x100, is_extended_id=False, data=number.to_bytes(8)))\n"
        "        time.sleep(0.001)\n"
    )
    options = {"port": 43113, "hop_limit": 0}
    async with CanReader("udp_multicast", "239.74.163.2", options=options) as reader:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", sender, stderr=subprocess.DEVNULL)
        frames = await _take(reader, 100)
        assert await process.wait() == 0
    assert [int.from_bytes(frame.data) for frame in frames] == list(range(100))


@pytest.mark.skipif(
    not HAS_VCAN, reason="no vcan0 here: modprobe vcan, ip link add vcan0 type vcan, ip link set vcan0 up"
)
async def test_socketcan_applies_the_filters_in_the_kernel() -> None:
    filters = [{"can_id": 0x123, "can_mask": 0x7FF, "extended": False}]
    async with CanReader("socketcan", "vcan0", filters=filters) as reader:
        with can.Bus("vcan0", "socketcan") as bus:
            for number in range(0x120, 0x126):
                bus.send(can.Message(arbitration_id=number, is_extended_id=False, data=b"\1"))
        (frame,) = await _take(reader, 1)
    assert frame.arbitration_id == 0x123


class FlakyBus(can.BusABC):
    """Gives the frames of one opening, then fails; an opening that is an error fails at once."""

    openings: ClassVar[Any]

    def __init__(self, channel: str, **options: object) -> None:
        super().__init__(channel)
        opening = next(self.openings, [])
        if isinstance(opening, Exception):
            self._is_shutdown = True
            raise opening
        self._frames = iter(opening)

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        item = next(self._frames, can.CanOperationError("network is down"))
        if isinstance(item, Exception):
            raise item
        return can.Message(arbitration_id=item, data=b""), True

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        raise NotImplementedError


class UnpluggedBus(FlakyBus):
    """Its closing fails too."""

    def shutdown(self) -> None:
        super().shutdown()
        raise can.CanOperationError("Could not write to serial device")


def _wait_for_error_frame(reader: CanReader) -> None:
    """Until the reader's thread has read what was sent before it."""
    deadline_s = time.monotonic() + LIMIT_S
    while not reader.counts.error and time.monotonic() < deadline_s:
        os.sched_yield()


async def _take(reader: CanReader, count: int) -> list[Frame]:
    frames: list[Frame] = []
    stream: AsyncIterator[list[Frame]] = aiter(reader)
    async with asyncio.timeout(LIMIT_S):
        while len(frames) < count:
            frames += await anext(stream)
    return frames
