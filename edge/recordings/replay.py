"""Play recordings and drives to the agent itself, in their own time and without a bus.

Frames carry the time at which they would have been received: when they are due, or at speed 0 when they are taken. A
replay waits for the one who takes its frames and drops nothing; if it falls behind, it goes on later.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Final, Protocol, Self

import structlog

from edge.buses.bus_event import BusEvent
from edge.frame import Frame
from edge.frame_source import ReaderCounts
from edge.protocols.transmit_rules import NotAllowedError
from edge.recordings.drive import is_drive, load_drive
from edge.recordings.drive_frames import drive_database, drive_frames
from edge.recordings.recording import Recording, open_recording
from edge.recordings.timeline import UNTIMED_STEP_NS, Timeline

_MOST_AT_ONCE: Final = 500
_READ_AT_ONCE: Final = 5000
_TICK_S: Final = 0.002  # frames that are due within it come together
_TOLERATED_LAG_NS: Final = 250_000_000
_CLOCK_STEP_NS: Final = 1_000_000
_LONGEST_GAP_S: Final = 60.0  # a longer pause in the recording is not waited for

_log = structlog.get_logger(__name__)


class Clock(Protocol):
    """The time, and waiting."""

    def time_ns(self) -> int: ...

    def monotonic_ns(self) -> int: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's own."""

    def time_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ReplayReader:
    """A FrameSource. `speed` 0 is as fast as frames are taken; `log_channel` plays that channel of the log only."""

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        name: str,
        speed: float = 1.0,
        loop: bool = False,
        log_channel: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.counts = ReaderCounts()
        self._paths = paths
        self._speed = speed
        self._loop = loop
        self._log_channel = log_channel
        self._clock = clock or SystemClock()
        self._timeline = Timeline(longest_gap_s=_LONGEST_GAP_S)
        self._skipped = 0

    def skip(self, frames: int) -> None:
        """Leave out so many frames of the first round, before it begins."""
        self._skipped = frames

    async def __aenter__(self) -> Self:
        """Raises RecordingError or DriveError for what cannot be played."""
        self._parts = await asyncio.to_thread(lambda: [_open(path, self.name) for path in self._paths])
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        return None

    async def __aiter__(self) -> AsyncIterator[list[Frame]]:
        pacer = _Pacer(self._clock, self._speed)
        is_first = True
        while is_first or self._loop:
            before = self.counts.frames
            self._timeline.begin(0 if is_first else self._timeline.last_ns + UNTIMED_STEP_NS)
            frames = _of_channel(chain.from_iterable(self._parts), self._log_channel)
            if is_first:
                frames = islice(frames, self._skipped, None)
            is_first = False
            while chunk := await asyncio.to_thread(_take, frames):
                async for batch in self._paced(chunk, pacer):
                    self.counts.frames += len(batch)
                    yield batch
            self._tell_problems()
            if self.counts.frames == before:
                return

    async def rest(self) -> list[Frame]:
        """Nothing: a frame is received when it is taken."""
        return []

    async def send(self, frame: Frame) -> None:
        """See FrameSource."""
        raise NotAllowedError(f"{self.name}: a recording cannot be asked")

    def take_events(self) -> Sequence[BusEvent]:
        """Nothing is told of this kind of bus."""
        return ()

    async def _paced(self, frames: Iterable[Frame], pacer: "_Pacer") -> AsyncIterator[list[Frame]]:
        """The frames in lists, each list when its last frame is due."""
        pacer.look()  # it took a while to read them
        batch: list[Frame] = []
        for t_ns, _, arbitration_id, is_extended, data in frames:
            due_ns = self._timeline.due_ns(t_ns)
            if len(batch) == _MOST_AT_ONCE or not pacer.is_due(due_ns):
                if batch:
                    yield batch
                batch = []
                await pacer.wait(due_ns)
            batch.append(Frame(pacer.stamp_ns(due_ns), self.name, arbitration_id, is_extended, data))
        if batch:
            yield batch

    def _tell_problems(self) -> None:
        for path, part in zip(self._paths, self._parts, strict=True):
            if not isinstance(part, Recording):
                continue
            self.counts.remote += part.counts.remote
            self.counts.error += part.counts.error
            for problem in part.counts.problems():
                _log.warning("recording_problem", bus=self.name, file=path.name, problem=problem)


class _Pacer:
    """When a frame of the replay's own time is due on the clock, and the Unix time that this is."""

    def __init__(self, clock: Clock, speed: float) -> None:
        self._clock = clock
        self._speed = speed
        self._to_unix_ns = 0
        self.look()
        self._started_ns = self._now_ns

    def is_due(self, due_ns: int) -> bool:
        return not self._speed or self._at_ns(due_ns) <= self._now_ns

    async def wait(self, due_ns: int) -> None:
        """Until the frame is due. One that is late by now moves all that follow."""
        self.look()
        if not self._speed:
            return
        ahead_ns = self._at_ns(due_ns) - self._now_ns
        if ahead_ns > 0:
            await self._clock.sleep(max(ahead_ns / 1e9, _TICK_S))
            self.look()
        elif ahead_ns < -_TOLERATED_LAG_NS:
            self._started_ns -= ahead_ns

    def stamp_ns(self, due_ns: int) -> int:
        """When the frame was received."""
        return self._to_unix_ns + (self._at_ns(due_ns) if self._speed else self._now_ns)

    def _at_ns(self, due_ns: int) -> int:
        return self._started_ns + int(due_ns / self._speed)

    def look(self) -> None:
        """What time it is from now on."""
        before_ns = self._clock.monotonic_ns()
        unix_ns = self._clock.time_ns()
        self._now_ns = self._clock.monotonic_ns()
        to_unix_ns, took_ns = unix_ns - self._now_ns, self._now_ns - before_ns
        if abs(to_unix_ns - self._to_unix_ns) > _CLOCK_STEP_NS + took_ns:  # less may be the time between the readings
            self._to_unix_ns = to_unix_ns


def measure(paths: Sequence[Path], *, log_channel: str | None = None) -> tuple[int, float]:
    """How many frames a replay of these files plays, and how many seconds it takes at speed 1."""
    timeline = Timeline(longest_gap_s=_LONGEST_GAP_S)
    timeline.begin(0)
    count = 0
    for frame in _of_channel(chain.from_iterable(_open(path, "") for path in paths), log_channel):
        timeline.due_ns(frame.t_ns)
        count += 1
    return count, timeline.last_ns / 1e9


def _of_channel(frames: Iterable[Frame], channel: str | None) -> Iterator[Frame]:
    return iter(frames) if channel is None else (frame for frame in frames if frame.channel == channel)


def _open(path: Path, channel: str) -> Iterable[Frame]:
    return _DriveFrames(path, channel) if is_drive(path) else open_recording(path)


class _DriveFrames:
    """A drive's frames, made while it is played: a day has millions. Raises DriveError for what cannot be played."""

    def __init__(self, path: Path, channel: str) -> None:
        self._drive = load_drive(path)
        self._database = drive_database(self._drive, path)
        self._channel = channel
        next(iter(self), None)

    def __iter__(self) -> Iterator[Frame]:
        return drive_frames(self._drive, self._database, channel=self._channel)


def _take(frames: Iterator[Frame]) -> list[Frame]:
    return list(islice(frames, _READ_AT_ONCE))
