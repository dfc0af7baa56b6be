"""The reader of SocketCAN, fed over a loopback UDP socket, whose ancillary data is that of a CAN socket."""

import asyncio
import errno
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from struct import pack

import can
import pytest

from edge.buses.can_link import CanLink
from edge.buses.open_bus import open_bus
from edge.buses.socketcan import pack_filters, receive_with_times
from edge.buses.socketcan_reader import SocketCan, SocketCanReader, judge_link
from edge.can_reader import CanReader
from edge.config import CanSettings
from edge.frame import Frame
from edge.frame_source import FrameSource, ReaderError
from edge.protocols.transmit_rules import NotAllowedError, TransmitError, TransmitRules
from tests.running import eventually

LIMIT_S = 20
HAS_VCAN = Path("/sys/class/net/vcan0").exists()
needs_vcan = pytest.mark.skipif(
    not HAS_VCAN, reason="no vcan0 here: modprobe vcan, ip link add vcan0 type vcan, ip link set vcan0 up"
)
ERROR, BUS_OFF, RESTARTED = 0x20000000, 0x40, 0x100


class Loopback:
    """An interface whose frames come as datagrams: each opening is a socket of its own, or an error."""

    def __init__(self, *problems: int, buffer_bytes: int = 8_000_000) -> None:
        self._problems = list(problems)
        self._buffer_bytes = buffer_bytes
        self._receiver: socket.socket | None = None
        self.opened = asyncio.Event()
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def open(self) -> socket.socket:
        if self._problems:
            raise OSError(self._problems.pop(0), "Network is down")
        self._receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._receiver.setblocking(False)
        receive_with_times(self._receiver, self._buffer_bytes)
        self._receiver.bind(("127.0.0.1", 0))
        self.sender.connect(self._receiver.getsockname())
        self.opened.set()
        return self._receiver

    def send(self, can_id: int, data: bytes = b"") -> None:
        layout = "=IB3x8s" if len(data) <= 8 else "=IB3x64s"
        self.sender.send(pack(layout, can_id, len(data), data))

    def connect_back(self) -> None:
        """What the reader sends comes to `sender`."""
        assert self._receiver is not None
        self._receiver.connect(self.sender.getsockname())

    def fail(self) -> None:
        """The next read fails, as with an interface that goes down: the peer of a connected socket is not there."""
        assert self._receiver is not None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.bind(("127.0.0.1", 0))
            address = gone.getsockname()
        self._receiver.connect(address)
        self._receiver.send(b"")  # the answer, port unreachable, is the error


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    interface = Loopback()
    with interface.sender:
        yield interface


async def test_frames_come_in_order_with_the_kernels_time(loopback: Loopback) -> None:
    before_ns = time.time_ns()
    async with SocketCanReader(loopback, name="pt") as reader:
        for number in range(1_000):
            loopback.send(number | (0x80000000 if number % 2 else 0), number.to_bytes(2))
        frames = await _take(reader, 1_000)
    assert [(f.arbitration_id, f.is_extended, f.data, f.channel) for f in frames] == [
        (number, number % 2 == 1, number.to_bytes(2), "pt") for number in range(1_000)
    ]
    times_ns = [frame.t_ns or 0 for frame in frames]
    assert times_ns == sorted(times_ns)
    assert before_ns <= times_ns[0]
    assert times_ns[-1] <= time.time_ns()
    assert len(set(times_ns)) > 100, "each has its own time, not that of the reading"
    assert (reader.counts.frames, reader.counts.dropped) == (1_000, 0)


async def test_a_long_frame_of_can_fd_comes_whole(loopback: Loopback) -> None:
    async with SocketCanReader(loopback, name="pt") as reader:
        loopback.send(0x123, bytes(range(64)))
        loopback.send(0x124, b"\1")
        frames = await _take(reader, 2)
    assert [frame.data for frame in frames] == [bytes(range(64)), b"\1"]


async def test_what_the_kernel_drops_is_counted_exactly() -> None:
    interface = Loopback(buffer_bytes=20_000)
    async with SocketCanReader(interface, name="pt") as reader:
        for _ in range(3):
            for number in range(500):  # without a pause for the reader
                interface.send(number)
            kept = await _take(reader, 1)
            interface.send(0x7FF)  # a drop shows with the next frame that finds room
            while kept[-1].arbitration_id != 0x7FF:
                kept += await _take(reader, 1)
    counts = reader.counts
    assert counts.dropped == counts.dropped_by_kernel > 0
    assert counts.frames + counts.dropped == 3 * 501
    interface.sender.close()


async def test_what_does_not_fit_into_the_queue_is_dropped_and_counted(loopback: Loopback) -> None:
    async with SocketCanReader(loopback, name="pt", most_waiting=10) as reader:
        for number in range(200):
            loopback.send(number)
        rest = await reader.rest()
    assert [frame.arbitration_id for frame in rest] == list(range(10))
    assert (reader.counts.dropped, reader.counts.dropped_by_kernel) == (190, 0)


async def test_error_frames_are_counted_and_make_events(loopback: Loopback) -> None:
    async with SocketCanReader(loopback, name="pt") as reader:
        loopback.send(ERROR | BUS_OFF, bytes(8))
        loopback.send(0x40000123)
        loopback.send(0x123)
        await _take(reader, 1)
        (event,) = reader.take_events()
    assert (event.kind, event.data["bus"], event.data["state"]) == ("bus_off", "pt", "off")
    assert (reader.counts.error, reader.counts.remote, reader.counts.bus_offs) == (1, 1, 1)


async def test_an_interface_that_fails_is_opened_again_and_counted(loopback: Loopback) -> None:
    async with SocketCanReader(loopback, name="pt", pause_s=0) as reader:
        loopback.send(1)
        await _take(reader, 1)
        loopback.opened.clear()
        loopback.fail()
        async with asyncio.timeout(LIMIT_S):
            await loopback.opened.wait()
        (away,) = reader.take_events()
        loopback.send(2)
        assert [frame.arbitration_id for frame in await _take(reader, 1)] == [2]
    assert away.data["state"] == "away"
    assert reader.counts.restarts == 1
    assert reader.counts.last_error == "Connection refused"


async def test_an_interface_that_is_away_at_the_start_is_waited_for() -> None:
    interface = Loopback(errno.ENODEV, errno.ENODEV)
    with interface.sender:
        async with SocketCanReader(interface, name="pt", pause_s=0) as reader:
            async with asyncio.timeout(LIMIT_S):
                await interface.opened.wait()
            interface.send(1)
            assert len(await _take(reader, 1)) == 1
    assert reader.counts.restarts == 2


async def test_a_stop_gives_what_the_kernel_holds_by_then(loopback: Loopback) -> None:
    async with SocketCanReader(loopback, name="pt") as reader:
        for number in range(2_000):
            loopback.send(number)
        rest = await reader.rest()
    assert [frame.arbitration_id for frame in rest] == list(range(2_000))
    assert reader.counts.frames == 2_000


async def test_a_reader_that_stops_ends_its_frames(loopback: Loopback) -> None:
    async with SocketCanReader(loopback, name="pt") as reader:
        pass
    assert [frames async for frames in reader] == []


async def test_an_unexpected_error_reaches_the_one_who_takes_frames(loopback: Loopback) -> None:
    class Broken(Loopback):
        def open(self) -> socket.socket:
            if self.opened.is_set():
                raise ZeroDivisionError
            return super().open()

    interface = Broken()
    with interface.sender:
        async with SocketCanReader(interface, name="pt", pause_s=0) as reader:
            interface.fail()
            with pytest.raises(ZeroDivisionError):
                await _take(reader, 1)


async def test_a_controller_that_would_send_is_refused() -> None:
    interface = SocketCan("can0", bitrate=500_000, ask=lambda _: CanLink(True, "can", False, 500_000))
    with pytest.raises(ReaderError, match=r"acknowledges what it hears.*bitrate 500000 listen-only on"):
        async with SocketCanReader(interface, name="pt"):
            pass


@pytest.mark.parametrize(
    ("link", "listen_only", "is_refused"),
    [
        (CanLink(True, "can", False, None), True, True),
        (CanLink(True, "can", False, None), False, False),
        (CanLink(True, "can", True, None), True, False),
        (CanLink(False, "can", False, None), True, False),
        (CanLink(True, "vcan", None, None), True, False),
        (None, True, False),
    ],
)
def test_only_a_controller_that_says_it_sends_is_refused(
    link: CanLink | None, listen_only: bool, is_refused: bool
) -> None:
    assert (judge_link(link, listen_only=listen_only) is not None) == is_refused


@pytest.mark.parametrize(
    ("link", "is_refused"),
    [
        (CanLink(True, "can", True, None), True),
        (CanLink(True, "can", False, None), False),
        (CanLink(False, "can", True, None), False),
        (CanLink(True, "vcan", None, None), False),
        (None, False),
    ],
)
def test_only_a_controller_that_cannot_send_is_refused_for_asking(link: CanLink | None, is_refused: bool) -> None:
    assert (judge_link(link, listen_only=False, sends=True) is not None) == is_refused


async def test_request_leaves_as_a_frame_of_the_kernel_unless_the_bus_is_off(loopback: Loopback) -> None:
    request = Frame(None, "", 0x18DB33F1, True, bytes.fromhex("02010dcccccccccc"))

    async def is_off() -> int:
        return reader.counts.bus_offs

    async with SocketCanReader(loopback, name="pt", rules=TransmitRules(most_per_s=10)) as reader:
        loopback.connect_back()
        await reader.send(request)
        assert loopback.sender.recv(100) == pack("=IB3x8s", 0x98DB33F1, 8, request.data)
        with pytest.raises(NotAllowedError):
            await reader.send(request._replace(arbitration_id=0x123, is_extended=False))
        loopback.send(ERROR | BUS_OFF, bytes(8))
        await eventually(is_off)
        with pytest.raises(TransmitError, match="bus is off"):
            await reader.send(request)
    with pytest.raises(TransmitError, match="away"):
        await reader.send(request)
    async with SocketCanReader(loopback, name="pt") as reader:
        with pytest.raises(NotAllowedError, match="only listened to"):
            await reader.send(request)


def test_filters_tell_extended_from_standard_identifiers() -> None:
    filters: Sequence[dict[str, int | bool]] = [
        {"can_id": 0x123, "can_mask": 0x7FF, "extended": False},
        {"can_id": 0xF00400, "can_mask": 0xFFFF00, "extended": True},
        {"can_id": 0x5, "can_mask": 0x7},
    ]
    assert pack_filters(filters) == pack("=6I", 0x123, 0x800007FF, 0x80F00400, 0x80FFFF00, 0x5, 0x7)


@pytest.mark.parametrize(
    ("option", "problem"),
    [({"recieve_buffer": 1}, "did you mean 'receive_buffer'"), ({"fd": 1}, "fd is 1; write true or false")],
)
def test_an_option_that_it_does_not_have_is_refused(
    option: dict[str, object], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.buses.socketcan.has_socketcan", lambda: True)
    with pytest.raises(ReaderError, match=problem):
        open_bus(CanSettings.model_validate({"interface": "socketcan", "channel": "can0", **option}))


@pytest.mark.parametrize(("is_there", "reader"), [(True, SocketCanReader), (False, CanReader)])
def test_it_reads_socketcan_where_the_kernel_has_it(
    is_there: bool, reader: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.buses.socketcan.has_socketcan", lambda: is_there)
    settings = {"interface": "socketcan", "channel": "can0", "bitrate": 500_000, "fd": False, "receive_buffer": 10**6}
    assert isinstance(open_bus(CanSettings.model_validate(settings)), reader)


@needs_vcan
async def test_frames_of_a_virtual_bus_pass_the_filters_of_the_kernel() -> None:
    filters: list[dict[str, int | bool]] = [{"can_id": 0x123, "can_mask": 0x7FF, "extended": False}]
    bus = CanSettings(interface="socketcan", channel="vcan0", name="pt")
    async with open_bus(bus, filters) as reader:
        with can.Bus("vcan0", "socketcan", fd=True) as sender:
            for number in range(0x120, 0x126):
                sender.send(can.Message(arbitration_id=number, is_extended_id=False, data=b"\1"))
            sender.send(can.Message(arbitration_id=0x123, is_extended_id=False, is_fd=True, data=bytes(64)))
        assert [len(frame.data) for frame in await _take(reader, 2)] == [1, 64]


async def _take(reader: FrameSource, count: int) -> list[Frame]:
    frames: list[Frame] = []
    stream: AsyncIterator[list[Frame]] = aiter(reader)
    async with asyncio.timeout(LIMIT_S):
        while len(frames) < count:
            frames += await anext(stream)
    return frames
