"""Collect samples, fixes and events into drafts of batches, and the raw frames of captures into drafts of their own.

Pure; times are passed in. A draft is closed when it is full and its last millisecond is over, so that samples of one
millisecond stay together and in their order; when it is old enough; or when the clock was stepped: a wall clock that
falls by more than `CLOCK_STEP_MS` begins a new draft, so that no batch mixes two clocks, while a smaller fall (an
adapter with a clock of its own, a backlog) is put in order within its column. A draft has no sequence number: the
spool draws that when it is stored.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

from pydantic import JsonValue

from edge.clock.clock_label import ClockLabel
from edge.fix import Fix
from edge.flagged import flags_of
from edge.frame import Frame
from edge.sampler import Sample
from wire.model import EXTENDED_ID, LONGEST_BUS_NAME, LONGEST_STANDARD_ID, Batch, Column, Event, Fixes, FrameBlock
from wire.names import MAX_SAFE_INTEGER
from wire.quality import OUT_OF_RANGE

CLOCK_STEP_MS: Final = 60_000
MOST_OVER: Final = 4
"""A draft is never larger than so many times `max_samples`, whatever comes within one millisecond."""

MOST_FRAMES: Final = 5_000
"""Of a capture in a draft: some 100 kB of JSON."""

Bounds = tuple[float, float]
_TOLERANCE: Final = 1e-9  # of a bound: a scaled value may miss it by a rounding


@dataclass(frozen=True, slots=True)
class DraftColumn:
    """The samples of one signal, in the order of their times (Unix ms)."""

    t_ms: Sequence[int]
    v: Sequence[float]
    bounds: Bounds | None = None
    """Least and greatest good value."""


@dataclass(frozen=True, slots=True)
class Draft:
    """The content of a batch, before it has a stream and a sequence number. Its times are as `clock` says, or true."""

    columns: Mapping[str, DraftColumn] = field(default_factory=dict)
    fixes: Sequence[Fix] = ()
    events: Sequence[Event] = ()
    frames: Sequence[Frame] = ()
    catalog: str | None = None
    clock: ClockLabel | None = None

    @property
    def priority(self) -> int:
        """What is higher is sent first and evicted last: what happened goes before what was measured."""
        return 1 if self.events else 0

    @property
    def sample_count(self) -> int:
        """How many samples it carries, fixes and events not counted."""
        return sum(len(column.t_ms) for column in self.columns.values())

    def to_batch(self, *, vehicle: str, stream: str, seq: int) -> Batch:
        """The batch that this draft becomes."""
        starts = [column.t_ms[0] for column in self.columns.values()]
        starts += [fix.t_ms for fix in self.fixes[:1] if fix.t_ms is not None]
        starts += [event.t for event in self.events[:1]]
        starts += [_frame_ms(frame) for frame in self.frames[:1]]
        t0 = min(starts, default=0)
        shift_ms = 0 if self.clock is None else self.clock.shift_ms
        return Batch(
            vehicle=vehicle,
            stream=stream,
            seq=seq,
            t0=t0 + shift_ms,
            clock="trusted" if self.clock is None or self.clock.is_trusted else "untrusted",
            signals={name: _column(column, t0) for name, column in self.columns.items()},
            fixes=_fixes(self.fixes, t0) if self.fixes else None,
            events=[event.moved(shift_ms) for event in self.events],
            frames=_blocks(self.frames, t0),
            catalog=self.catalog,
        )


class Batcher:
    """Fills drafts. `names` gives a signal's name by its index and may grow; a finished draft waits in `take()`."""

    def __init__(
        self, names: Sequence[str], *, max_age_ms: int, max_samples: int, bounds: Mapping[int, Bounds] | None = None
    ) -> None:
        """`bounds` say of a signal's index what its good values are, and may grow."""
        self._bounds = {} if bounds is None else bounds
        self.catalog: str | None = None
        self.clock: ClockLabel | None = None
        """What the drafts' times are; to be changed between two drafts."""
        self.least_age_ms = 0
        """How old a draft without events becomes at least, whatever `max_age_ms` says: the vehicle is sparing."""
        self._names = names
        self._max_age_ms = max_age_ms
        self._max_samples = max_samples
        self._finished: list[Draft] = []
        self._taken = 0
        self._columns: dict[int, tuple[list[int], list[float]]] = {}
        self._fixes: list[Fix] = []
        self._events: list[Event] = []
        self._frames: list[Frame] = []
        self._frames_since_ms: int | None = None
        self._count = 0
        self._since_ms: int | None = None
        self._newest_ms = -MAX_SAFE_INTEGER
        self._is_unsorted = False
        self._is_due = False
        """Old enough: closed with the millisecond at hand, of which more may be on its way."""
        self._newest_at_tick_ms = self._newest_ms

    def add_samples(self, samples: Iterable[Sample], *, now_ms: int) -> None:
        """Take samples in the order in which they were kept; `now_ms` is the wall clock that stamped the newest."""
        self._watch_clock(now_ms)
        columns = self._columns
        for index, t_ms, value in samples:
            column = columns.get(index)
            if column is None:
                columns[index] = ([t_ms], [value])
            else:
                times = column[0]
                if t_ms < times[-1]:
                    self._is_unsorted = True
                times.append(t_ms)
                column[1].append(value)
            self._count += 1

    def add_fix(self, fix: Fix) -> None:
        """Take a fix that has been received, at `fix.t_ms`."""
        assert fix.t_ms is not None, "a fix that nobody received cannot be placed in time"
        self._watch_clock(fix.t_ms)
        if self._fixes and fix.t_ms < _fix_time(self._fixes[-1]):
            self._is_unsorted = True
        self._fixes.append(fix)
        self._count += 1

    def add_event(self, t_ms: int, kind: str, data: Mapping[str, JsonValue] | None = None) -> None:
        """Take something that happened."""
        self._events.append(Event(t=t_ms, kind=kind, data=dict(data or {})))
        self._count += 1

    def add_frames(self, frames: Sequence[Frame]) -> None:
        """Take raw frames of a capture, which have a time."""
        self._frames += frames
        while len(self._frames) >= MOST_FRAMES:
            self._finish_frames()

    def tick(self, now_ms: int) -> None:
        """Close the drafts at hand when they are old enough. `now_ms` is any clock that does not go back.

        What still grows is closed when its last millisecond is over.
        """
        self._tick_frames(now_ms)
        if not self._count:
            return
        if self._since_ms is None:
            self._since_ms = now_ms
        age_ms = self._max_age_ms if self._events else max(self._max_age_ms, self.least_age_ms)
        if now_ms - self._since_ms >= age_ms:
            if self._newest_ms == self._newest_at_tick_ms:
                self.close()
            else:
                self._is_due = True
        self._newest_at_tick_ms = self._newest_ms

    def finish(self) -> None:
        """Finish everything at hand."""
        self.close()
        if self._frames:
            self._finish_frames()

    def close(self) -> None:
        """Finish the draft of samples, fixes and events at hand, if there is anything in it."""
        if not self._count:
            return
        columns = {
            self._names[index]: DraftColumn(
                *(_in_order(t_ms, v) if self._is_unsorted else (t_ms, v)), bounds=self._bounds.get(index)
            )
            for index, (t_ms, v) in self._columns.items()
        }
        fixes = sorted(self._fixes, key=_fix_time) if self._is_unsorted else self._fixes
        events = sorted(self._events, key=_event_time)
        self._finished.append(
            Draft(columns=columns, fixes=fixes, events=events, catalog=self.catalog, clock=self.clock)
        )
        self._begin()

    @property
    def has_finished(self) -> bool:
        """Whether a draft is finished."""
        return bool(self._finished)

    def take(self) -> list[Draft]:
        """The drafts that are finished, each given once."""
        finished, self._finished = self._finished, []
        self._taken += len(finished)
        return finished

    @property
    def finished_count(self) -> int:
        """How many drafts were ever finished."""
        return self._taken + len(self._finished)

    def _tick_frames(self, now_ms: int) -> None:
        if not self._frames:
            self._frames_since_ms = None
        elif self._frames_since_ms is None:
            self._frames_since_ms = now_ms
        elif now_ms - self._frames_since_ms >= self._max_age_ms:
            self._finish_frames()

    def _finish_frames(self) -> None:
        frames = sorted(self._frames[:MOST_FRAMES], key=_frame_time)
        self._finished.append(Draft(frames=frames, catalog=self.catalog, clock=self.clock))
        del self._frames[:MOST_FRAMES]
        self._frames_since_ms = None

    def _begin(self) -> None:
        self._columns = {}
        self._fixes = []
        self._events = []
        self._count = 0
        self._since_ms = None
        self._is_unsorted = False
        self._is_due = False

    def _watch_clock(self, now_ms: int) -> None:
        if self._newest_ms - now_ms > CLOCK_STEP_MS:
            self.close()
            self._newest_ms = now_ms
        elif now_ms > self._newest_ms:
            most = MOST_OVER * self._max_samples if self.least_age_ms else self._max_samples
            if self._is_due or self._count >= most:
                self.close()
            self._newest_ms = now_ms
        elif self._count >= MOST_OVER * self._max_samples:
            self.close()


def _column(column: DraftColumn, t0: int) -> Column:
    flags = {i: flag for i, value in enumerate(column.v) if type(value) is not float and (flag := flags_of(value))}
    for index in _out_of_range(column):
        flags[index] = flags.get(index, 0) | OUT_OF_RANGE
    return Column(
        dt=[t_ms - t0 for t_ms in column.t_ms],
        v=[float(value) for value in column.v],
        q=dict(sorted(flags.items())) or None,
    )


def _out_of_range(column: DraftColumn) -> list[int]:
    if column.bounds is None:
        return []
    least, greatest = (
        bound + sign * _TOLERANCE * max(1.0, abs(bound)) for bound, sign in zip(column.bounds, (-1, 1), strict=True)
    )
    if least <= min(column.v) and max(column.v) <= greatest:
        return []
    return [index for index, value in enumerate(column.v) if not least <= value <= greatest]


def _fixes(fixes: Sequence[Fix], t0: int) -> Fixes:
    columns = {name: [getattr(fix, name) for fix in fixes] for name in ("alt", "speed", "course", "hdop", "sats")}
    present = {name: column for name, column in columns.items() if any(value is not None for value in column)}
    return Fixes(
        dt=[(fix.t_ms or 0) - t0 for fix in fixes],
        lat=[fix.lat for fix in fixes],
        lon=[fix.lon for fix in fixes],
        **present,
    )


def _blocks(frames: Sequence[Frame], t0: int) -> list[FrameBlock]:
    of_bus: dict[str, list[Frame]] = {}
    for frame in frames:
        of_bus.setdefault(frame.channel, []).append(frame)
    return [
        FrameBlock(
            bus=bus[:LONGEST_BUS_NAME],
            dt=[_frame_ms(frame) - t0 for frame in of],
            id=[_frame_id(frame) for frame in of],
            data=[frame.data.hex() for frame in of],
        )
        for bus, of in of_bus.items()
    ]


def _frame_id(frame: Frame) -> int:
    short = frame.is_extended and frame.arbitration_id <= LONGEST_STANDARD_ID
    return frame.arbitration_id | EXTENDED_ID if short else frame.arbitration_id


def _frame_time(frame: Frame) -> int:
    return frame.t_ns or 0


def _frame_ms(frame: Frame) -> int:
    return (frame.t_ns or 0) // 1_000_000


def _in_order(t_ms: list[int], v: list[float]) -> tuple[list[int], list[float]]:
    pairs = sorted(zip(t_ms, v, strict=True), key=itemgetter(0))
    return [t for t, _ in pairs], [value for _, value in pairs]


def _fix_time(fix: Fix) -> int:
    return fix.t_ms or 0


def _event_time(event: Event) -> int:
    return event.t
