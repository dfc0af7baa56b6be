"""What an open spool file holds, row by row, and its mirror in memory; every change is made to both.

What changes rows is to be called within a transaction of the file. When that failed, `read` mirrors the file again.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from edge.clock.clock_label import ClockLabel
from edge.disk.spool_clock import SpoolClock
from edge.disk.spool_file import SpoolDamagedError, SpoolFile
from edge.disk.spool_rows import LostRow, StreamRow, read_lost_row, read_stream_row
from edge.errors import SpoolError
from wire.ranges import EMPTY, RangeSet
from wire.stream_id import new_stream

MOST_QUARANTINED: Final = 100

_INSERT: Final = "INTO batches VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch as it is stored; `payload` is its JSON, compressed."""

    stream: str
    seq: int
    samples: int
    fixes: int
    events: int
    payload: bytes
    priority: int

    def columns(self) -> tuple[object, ...]:
        """In the table's order."""
        return (self.stream, self.seq, self.samples, self.fixes, self.events, self.payload, self.priority)


@dataclass(slots=True)
class HeldStream:
    """One stream: what was drawn, is held, is settled, left to make room, and was declared lost by cause."""

    next: int = 0
    held: RangeSet = EMPTY
    done: RangeSet = EMPTY
    evicted: RangeSet = EMPTY
    lost: dict[str, RangeSet] = field(default_factory=dict)
    priorities: dict[int, RangeSet] = field(default_factory=dict)
    """What of `held` has one above 0."""
    is_overtaken: bool = False
    """The cloud has more of it than was ever drawn here, which was told."""

    @property
    def urgent(self) -> RangeSet:
        """What of `held` goes first."""
        urgent = EMPTY
        for seqs in self.priorities.values():
            urgent = urgent | seqs
        return urgent

    @property
    def all_lost(self) -> RangeSet:
        """What was declared lost, for whatever cause."""
        lost = EMPTY
        for seqs in self.lost.values():
            lost = lost | seqs
        return lost

    def of_priority(self, priority: int) -> RangeSet:
        """What of `held` has this one."""
        return self.priorities.get(priority, EMPTY) if priority else self.held - self.urgent

    def drop(self, seqs: RangeSet) -> None:
        """`seqs` are not held any more."""
        self.held -= seqs
        self.done -= seqs
        self.priorities = {priority: left for priority, old in self.priorities.items() if (left := old - seqs)}


class Contents:
    """The rows of one file."""

    def __init__(self, file: SpoolFile, *, vehicle: str) -> None:
        self.file = file
        self.vehicle = vehicle
        self.present = ""
        """The stream that this opening draws from."""
        self.before: str | None = None
        """The stream that the opening before drew from."""
        self.streams: dict[str, HeldStream] = {}
        self.clock = SpoolClock(file)

    @property
    def present_stream(self) -> HeldStream:
        """What is held of the stream that this opening draws from."""
        return self.streams[self.present]

    def claim(self) -> None:
        """Make an empty file the vehicle's. Raises SpoolError for another vehicle's, SpoolDamagedError."""
        owner = self.file.value("SELECT value FROM meta WHERE name = 'vehicle'")
        if owner is None:
            rows = [("vehicle", self.vehicle), ("vehicle_crc", _seal(self.vehicle))]
            with self.file.transaction():
                self.file.execute_many("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)
        elif owner != self.vehicle:
            seal = self.file.value("SELECT value FROM meta WHERE name = 'vehicle_crc'")
            if seal is not None and seal != _seal(str(owner)):
                raise SpoolDamagedError(f"{self.file.path}: damaged: the vehicle is not what was written")
            raise SpoolError(
                f"{self.file.path}: holds data of vehicle {owner!r}, not of {self.vehicle!r}: "
                "give this vehicle another spool.path"
            )

    def read(self) -> None:
        """Mirror what is on the disk; walks all of the batches' index, which shows whether that is whole.

        Raises SpoolDamagedError.
        """
        self.clock.read()
        self.streams = {}
        for columns in self.file.rows("SELECT * FROM streams ORDER BY stream"):
            row = read_stream_row(columns)
            if row is None:
                raise SpoolDamagedError(f"{self.file.path}: damaged: a stream is not what was written")
            if row.next or row.stream == self.present:
                self.streams[row.stream] = HeldStream(next=row.next, done=row.done, evicted=row.evicted)
        held = self._numbers("SELECT stream, seq, 0 FROM batches ORDER BY stream, seq")
        for (name, _), seqs in held.items():
            state = self._known(name)
            if seqs.ranges[0][0] < 0 or seqs.head >= state.next:
                raise SpoolDamagedError(f"{self.file.path}: damaged: a batch that was never drawn")
            state.held = seqs
        for (name, priority), seqs in self._numbers(
            "SELECT stream, seq, priority FROM batches WHERE priority > 0 ORDER BY stream, seq"
        ).items():
            self._known(name).priorities[priority] = seqs
        for columns in self.file.rows("SELECT * FROM losses"):
            lost = read_lost_row(columns)
            if lost is None:
                raise SpoolDamagedError(f"{self.file.path}: damaged: a loss is not what was written")
            self._known(lost.stream).lost[lost.cause] = lost.seqs
        for (name,) in self.file.rows("SELECT value FROM meta WHERE name LIKE 'overtaken:%'"):
            if name in self.streams:
                self.streams[name].is_overtaken = True
        self.streams = {name: self.streams[name] for name in self._as_begun()}

    def begin_stream(self, now_ms: int) -> None:
        """Draw a new stream, in a transaction of its own."""
        drawn_before: str | None = self.file.value("SELECT value FROM meta WHERE name = 'present'")
        self.before = drawn_before or next(reversed(self.streams), None)
        self.present = new_stream(now_ms)
        with self.file.transaction():
            self.file.execute("INSERT OR REPLACE INTO meta VALUES ('present', ?)", (self.present,))
            self.file.execute("DELETE FROM streams WHERE next = 0")
            if not any(state.held - state.done for state in self.streams.values()):
                self.file.execute("DELETE FROM catalogs")  # nothing waits that names one; else they pile up for ever
            self.streams[self.present] = HeldStream()
            self.write_stream(self.present)

    def store(self, rows: Sequence[BatchRow], labels: Sequence[ClockLabel | None]) -> None:
        """Batches of the present stream, with the numbers that come next and the clocks they were recorded with."""
        self.file.execute_many(f"INSERT {_INSERT}", (row.columns() for row in rows))
        state = self.present_stream
        state.next += len(rows)
        state.held |= RangeSet.of(row.seq for row in rows)
        for row in rows:
            if row.priority:
                state.priorities[row.priority] = state.priorities.get(row.priority, EMPTY) | RangeSet.of([row.seq])
        for row, label in zip(rows, labels, strict=True):
            if label is not None and label.waits:
                self.clock.add(row.stream, row.seq, label)
        self.write_stream(self.present)

    def replace(self, name: str, seq: int, payload: bytes) -> None:
        """Another payload for a batch that waited for the clock."""
        self.file.execute("UPDATE batches SET payload = ? WHERE stream = ? AND seq = ?", (payload, name, seq))

    def restore(self, row: BatchRow) -> None:
        """A batch that was saved from a damaged file; to be mirrored by `read`."""
        self.file.execute(f"INSERT OR IGNORE {_INSERT}", row.columns())

    def know(self, row: StreamRow) -> None:
        """Merge what a version of a stream's row says. What was done then may not be any more: the cloud knows."""
        state = self.streams.setdefault(row.stream, HeldStream())
        state.next = max(state.next, row.next)
        state.evicted |= row.evicted
        self.write_stream(row.stream)

    def write_stream(self, name: str) -> None:
        """The row of a stream, as the mirror has it."""
        state = self.streams[name]
        row = StreamRow(name, state.next, state.done, state.evicted)
        self.file.execute("INSERT OR REPLACE INTO streams VALUES (?, ?, ?, ?, ?)", row.columns())

    def set_done(self, name: str, done: RangeSet) -> None:
        """What of the stream is settled."""
        state = self.streams[name]
        state.done = done & state.held
        self.write_stream(name)

    def add_loss(self, name: str, seqs: RangeSet, cause: str) -> None:
        """Declare."""
        lost = self.streams[name].lost
        lost[cause] = lost.get(cause, EMPTY) | seqs
        row = LostRow(name, cause, lost[cause])
        self.file.execute("INSERT OR REPLACE INTO losses VALUES (?, ?, ?, ?)", row.columns())

    def drop(self, name: str, seqs: RangeSet, *, cause: str) -> None:
        """Delete batches; what of them was not settled is declared lost for `cause`."""
        state = self.streams[name]
        lost = seqs - state.done - state.all_lost
        self.delete(name, seqs)
        state.drop(seqs)
        if lost:
            self.add_loss(name, lost, cause)

    def delete(self, name: str, seqs: RangeSet) -> None:
        """The rows alone."""
        for low, high in seqs.ranges:
            self.file.execute("DELETE FROM batches WHERE stream = ? AND seq BETWEEN ? AND ?", (name, low, high))

    def quarantine(self, name: str, seq: int, problem: str) -> None:
        """Put a batch aside that the cloud refused; the newest are kept."""
        self.file.execute(
            "INSERT INTO quarantine SELECT NULL, stream, seq, ?, payload FROM batches WHERE stream = ? AND seq = ?",
            (problem, name, seq),
        )
        newest = "SELECT id FROM quarantine ORDER BY id DESC LIMIT ?"
        self.file.execute(f"DELETE FROM quarantine WHERE id NOT IN ({newest})", (MOST_QUARANTINED,))
        self.delete(name, RangeSet.of([seq]))
        self.streams[name].drop(RangeSet.of([seq]))

    def note_overtaken(self, name: str) -> None:
        """It is told once that a stream went on elsewhere."""
        self.streams[name].is_overtaken = True
        self.file.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"overtaken:{name}", name))

    def forget(self, name: str) -> None:
        """A stream of which nothing is held and nothing is owed."""
        self.clock.take_all(lambda row: row.stream == name)
        del self.streams[name]
        self.file.execute("DELETE FROM meta WHERE name = ?", (f"overtaken:{name}",))
        for table in ("streams", "losses"):
            self.file.execute(f"DELETE FROM {table} WHERE stream = ?", (name,))

    def _numbers(self, query: str) -> dict[tuple[str, int], RangeSet]:
        numbers: dict[tuple[str, int], list[int]] = {}
        for name, seq, priority in self.file.rows(query):
            if not isinstance(seq, int) or not isinstance(priority, int):
                raise SpoolDamagedError(f"{self.file.path}: damaged: a batch without a number")
            numbers.setdefault((name, priority), []).append(seq)
        return {key: RangeSet.of(seqs) for key, seqs in numbers.items()}

    def _as_begun(self) -> list[str]:
        """The streams in the order in which they were begun: a clock at 1970 may have named one of them.

        Their batches' ids tell it; those of which none is held, and which have nothing to wait for, come first.
        """
        rows = self.file.rows("SELECT stream, min(id) FROM batches GROUP BY stream")
        first_ids: dict[str, int] = dict(rows)
        return sorted(self.streams, key=lambda name: (name == self.present, first_ids.get(name, 0), name))

    def _known(self, name: str) -> HeldStream:
        state = self.streams.get(name)
        if state is None:
            raise SpoolDamagedError(f"{self.file.path}: damaged: it lacks the row of stream {name}")
        return state


def _seal(vehicle: str) -> str:
    return str(zlib.crc32(vehicle.encode()))
