"""Playing onto a bus within this process: everything arrives, in order, and what does not is said."""

import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import can
import pytest
import serial

from edge.frame import Frame
from edge.nmea import NmeaParser
from edge.recordings.drive_frames import drive_frames
from simulator.bus_out import BusOut, BusPlan
from simulator.drive_maker import own_database
from simulator.errors import SimulatorError
from simulator.gps_port import UNREAD_LIMIT, GpsPort
from simulator.pacer import UNLIMITED
from simulator.replay import Played, PlayedDrive, Progress, open_played, replay
from simulator.replay_summary import drive_notes, progress_line, summary

DRIVE = {
    "format": "fleetwire-drive",
    "version": 1,
    "duration": 3,
    "signals": {"EngineData.EngineSpeed": {"t": [0, 1], "v": [800, 900]}, "Nobody.Knows": {"t": [0], "v": [1]}},
    "fixes": {"t": [0, 1, 2, "x"], "lat": [60, 60.001, 60.002, 0], "lon": [24, 24, 24, 0]},
}
CANDUMP = """\
# a comment
(1000.000000) can0 123#0102
(1000.000100) can1 124#03
(999.999900) can0 18FEF100#11223344
(1000.000300) can0 125#R
(1000.000400) can0 20000080#0000000000000000
(1000.000500) can0 126##1112233445566778899AABBCC
(1000.000600) can0 12
"""


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    path = tmp_path / "drive.json"
    path.write_text(json.dumps(DRIVE))
    return path


@pytest.fixture
def listener(request: pytest.FixtureRequest) -> Iterator[can.BusABC]:
    with can.Bus(interface="virtual", channel=request.node.name) as bus:
        yield bus


class StopsAfter(BusOut):
    """A bus that goes nowhere and stops the replay when it has seen an identifier often enough."""

    def __init__(self, arbitration_id: int, *, times: int, stop: threading.Event) -> None:
        super().__init__(BusPlan("virtual"), stop)
        self._awaited, self._times, self._event = arbitration_id, times, stop

    def send(self, frame: Frame) -> bool:
        self._times -= frame.arbitration_id == self._awaited
        if self._times == 0:
            self._event.set()
        return True


def play(
    played: Sequence[Played], bus: BusOut, stop: threading.Event, *, gps: GpsPort | None = None, loop: bool = False
) -> Progress:
    return replay(
        played, bus=bus, gps=gps, speed=0, max_rate=UNLIMITED, loop=loop, stop=stop, report=lambda progress: None
    )


def opened(*paths: Path) -> list[Played]:
    return open_played(paths, database=None, vehicle=None, longest_gap_s=600)


def received(bus: can.BusABC) -> list[can.Message]:
    return list(iter(lambda: bus.recv(0), None))


def to(listener: can.BusABC, **channels: str) -> BusPlan:
    return BusPlan("virtual", channels, None if channels else str(listener.channel_id))


def test_a_drive_arrives_as_its_frames(drive: Path, listener: can.BusABC, stop: threading.Event) -> None:
    played = opened(drive)
    with BusOut(to(listener), stop) as bus:
        progress = play(played, bus, stop)
        lines = summary(played, progress, bus=bus, gps=None)
    (one,) = played
    assert isinstance(one, PlayedDrive)
    wanted = [(frame.arbitration_id, frame.data) for frame in drive_frames(one.drive, own_database())]
    assert [(message.arbitration_id, bytes(message.data)) for message in received(listener)] == wanted
    assert progress.frames == len(wanted)
    assert "1 signals are not in the database: Nobody.Knows" in lines[1]
    assert "fix 3" in drive_notes(one)[0]


def test_a_recording_is_played_as_far_as_it_is_good(
    tmp_path: Path, listener: can.BusABC, stop: threading.Event
) -> None:
    log = tmp_path / "c.log"
    log.write_text(CANDUMP)
    played = opened(log)
    with BusOut(to(listener, can0=str(listener.channel_id)), stop) as bus:
        progress = play(played, bus, stop)
        lines = summary(played, progress, bus=bus, gps=None)
    messages = received(listener)
    assert [(m.arbitration_id, m.is_extended_id, m.is_fd, bytes(m.data)) for m in messages] == [
        (0x123, False, False, b"\x01\x02"),
        (0x18FEF100, True, False, b"\x11\x22\x33\x44"),
        (0x126, False, True, bytes.fromhex("112233445566778899AABBCC")),
    ]
    assert progress.frames == 3
    said = "\n".join(lines)
    assert "1 remote frames" in said
    assert "1 error frames" in said
    assert "the first line that is no frame: c.log, line 8" in said
    assert "1 frames with a time before that of the frame ahead" in said
    assert "1 frames of channel 'can1' have no bus" in said


def test_positions_come_out_of_the_port_as_a_receiver_sends_them(
    drive: Path, listener: can.BusABC, stop: threading.Event, tmp_path: Path
) -> None:
    link = tmp_path / "gps"
    played = opened(drive)
    with BusOut(to(listener), stop) as bus, GpsPort(link) as gps, serial.Serial(str(link), timeout=5) as port:
        progress = play(played, bus, stop, gps=gps)
        sentences = b"".join(port.readline() for _ in range(6))
    parser = NmeaParser()
    fixes = parser.feed(sentences) + parser.flush()
    # Played without a pause, all of it shares a time of day to within a few ms: epochs may fall together.
    assert {round(fix.lat, 3) for fix in fixes} <= {60.0, 60.001, 60.002}
    assert parser.counts.used == parser.counts.sentences == 6
    assert progress.fixes == 3
    assert not os.path.lexists(link)


def test_files_follow_one_another_and_rounds_too(drive: Path, stop: threading.Event, tmp_path: Path) -> None:
    log = tmp_path / "c.log"
    log.write_text("(5.000) can0 123#\n(5.250) can0 7FF#\n")
    bus = StopsAfter(0x7FF, times=3, stop=stop)
    progress = play(opened(log, drive), bus, stop, loop=True)
    assert progress.rounds == 2
    assert progress.at_ns == 2 * (250_000_000 + 3_002_000_000) + 250_000_000  # the drive's last frame is at 3.002 s
    assert "round 3" in progress_line(progress)


def test_nothing_to_loop_over_is_an_error(listener: can.BusABC, stop: threading.Event, tmp_path: Path) -> None:
    log = tmp_path / "c.log"
    log.write_text("(5.000) can0 123#\n")
    with BusOut(to(listener), stop) as bus, pytest.raises(SimulatorError, match="again and again"):
        play(opened(log), bus, stop, loop=True)


def test_a_bus_that_cannot_be_opened_is_said(stop: threading.Event) -> None:
    with (
        pytest.raises(SimulatorError, match=r"sockotcan can0 cannot be opened: .* python-can knows .*socketcan"),
        BusOut(BusPlan("sockotcan", rest="can0"), stop),
    ):
        pass


def test_an_existing_file_is_not_replaced_by_the_link(tmp_path: Path) -> None:
    path = tmp_path / "gps"
    path.write_text("mine")
    with pytest.raises(SimulatorError, match="is there already"), GpsPort(path):
        pass
    assert path.read_text() == "mine"


def test_a_link_that_a_killed_replay_left_is_taken_over(tmp_path: Path) -> None:
    link = tmp_path / "gps"
    link.symlink_to("/dev/pts/gone")
    with GpsPort(link) as port:
        assert os.readlink(link) == port.device
        link.unlink()
        link.symlink_to("/dev/pts/another")
    assert os.readlink(link) == "/dev/pts/another"


def test_a_port_that_nobody_reads_drops_the_old(tmp_path: Path) -> None:
    with GpsPort(tmp_path / "gps") as port:
        written = 0
        while not port.dropped:  # the kernel passes on what is written a moment later
            port.write(f"$SENTENCE,{written:06}\r\n".encode())
            written += 1
        reader = os.open(port.device, os.O_RDONLY | os.O_NOCTTY)  # waits for what is still on the way
        unread = os.read(reader, 100_000)
        os.close(reader)
    assert unread == f"$SENTENCE,{written - 1:06}\r\n".encode()
    assert written > UNREAD_LIMIT // 20
