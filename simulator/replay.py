"""Play recordings and drives onto buses in their own time, and a drive's positions onto a GPS port."""

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from threading import Event
from typing import Final, NamedTuple

from cantools.database.can import Database

from edge.frame import Frame
from edge.recordings.drive import Drive, is_drive, load_drive
from edge.recordings.drive_fix import DriveFix
from edge.recordings.drive_frames import EncodeCounts, drive_database, drive_frames
from edge.recordings.drive_nmea import drive_positions, nmea_sentences
from edge.recordings.recording import Recording, open_recording
from edge.recordings.timeline import Timeline
from simulator.bus_out import BusOut
from simulator.errors import SimulatorError
from simulator.gps_port import GpsPort
from simulator.pacer import Pacer

NS_PER_MS: Final = 1_000_000
REPORT_EVERY_S: Final = 1.0


class Due(NamedTuple):
    """What happens `at_ns` of the replay's own time: a frame goes out, or the GPS receiver speaks."""

    at_ns: int
    frame: Frame | None = None
    fix: DriveFix | None = None


@dataclass(frozen=True, slots=True)
class PlayedDrive:
    """A drive ready to be played, and what could not be taken from it."""

    path: Path
    drive: Drive
    database: Database
    counts: EncodeCounts = field(default_factory=EncodeCounts)

    def play(self, begin_ns: int) -> Iterator[Due]:
        """What the drive does when its first moment is at `begin_ns`."""
        start_ns = (self.drive.start_ms or 0) * NS_PER_MS - begin_ns
        frames = (
            Due((frame.t_ns or 0) - start_ns, frame=frame)
            for frame in drive_frames(self.drive, self.database, counts=self.counts)
        )
        fixes = (Due(begin_ns + t_ms * NS_PER_MS, fix=fix) for t_ms, fix in drive_positions(self.drive))
        yield from heapq.merge(frames, fixes, key=attrgetter("at_ns"))

    @property
    def length_ns(self) -> int:
        """How long it takes in its own time."""
        return self.drive.duration_ms * NS_PER_MS


@dataclass(frozen=True, slots=True)
class PlayedRecording:
    """Recordings in a row, ready to be played."""

    recording: Recording
    timeline: Timeline

    def play(self, begin_ns: int) -> Iterator[Due]:
        """What they hold, the first frame at `begin_ns`."""
        self.timeline.begin(begin_ns)
        for frame in self.recording:
            yield Due(self.timeline.due_ns(frame.t_ns), frame=frame)


Played = PlayedDrive | PlayedRecording


@dataclass(slots=True)
class Progress:
    """How far the replay is."""

    frames: int = 0
    fixes: int = 0
    rounds: int = 0  # complete ones
    at_ns: int = 0  # in the replay's own time
    behind_s: float = 0.0


def open_played(
    paths: Sequence[Path], *, database: Database | None, vehicle: str | None, longest_gap_s: float
) -> list[Played]:
    """Read what is to be played: each drive by itself, recordings that follow one another as one."""
    played: list[Played] = []
    for drives, group in groupby(paths, key=is_drive):
        if drives:
            for path in group:
                drive = load_drive(path, vehicle=vehicle)
                played.append(PlayedDrive(path, drive, database or drive_database(drive, path)))
        else:
            played.append(PlayedRecording(open_recording(list(group)), Timeline(longest_gap_s=longest_gap_s)))
    return played


def replay(
    played: Sequence[Played],
    *,
    bus: BusOut,
    gps: GpsPort | None,
    speed: float,
    max_rate: float,
    loop: bool,
    stop: Event,
    report: Callable[[Progress], None],
) -> Progress:
    """Play everything, once or until `stop`. Raises SimulatorError when a bus takes no frames."""
    progress = Progress()
    started_s = time.monotonic()
    pacer = Pacer(speed=speed, max_rate=max_rate, started_s=started_s)
    reported_s = started_s
    for due in _rounds(played, progress, loop=loop):
        now_s = time.monotonic()
        while not stop.is_set():
            if now_s - reported_s >= REPORT_EVERY_S:
                reported_s = now_s
                report(progress)
            wait_s = pacer.wait_s(due.at_ns, now_s)
            if wait_s <= 0:
                break
            stop.wait(min(wait_s, reported_s + REPORT_EVERY_S - now_s))
            now_s = time.monotonic()
        if stop.is_set():
            break
        progress.at_ns, progress.behind_s = due.at_ns, pacer.behind_s(due.at_ns, now_s)
        if due.frame is None:
            progress.fixes += _speak(gps, due.fix)
        elif bus.send(due.frame):
            pacer.sent(now_s)
            progress.frames += 1
    return progress


def _speak(gps: GpsPort | None, fix: DriveFix | None) -> int:
    if gps is None:
        return 0
    gps.write(nmea_sentences(fix, datetime.now(UTC)))
    return int(fix is not None)


def _rounds(played: Sequence[Played], progress: Progress, *, loop: bool) -> Iterator[Due]:
    begin_ns = 0
    while True:
        before_ns = begin_ns
        for one in played:
            last_ns = begin_ns
            for due in one.play(begin_ns):
                last_ns = due.at_ns
                yield due
            begin_ns = max(last_ns, begin_ns + one.length_ns) if isinstance(one, PlayedDrive) else last_ns
        progress.rounds += 1
        if not loop:
            return
        if begin_ns == before_ns:
            raise SimulatorError("there is nothing in these files that could be played again and again")
