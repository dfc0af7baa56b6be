"""The vehicle's disk: every batch until the cloud has committed it, and after that for as long as there is room.

`put` returns when the batches are durable; what it stored is encoded and compressed once and never changes. Every
opening draws a new stream, so that neither a restored image nor a row that the flash forgot can put new content under a
used sequence number. The file stays within `max_bytes`, and does not grow while less than `min_free_bytes` are free on
its disk: batches that are done go first, then the oldest of the lowest priority, and those are declared lost.

On a full disk SQLite cannot even delete. A reserve beside the file is given up then, and what cannot be stored even so
is declared lost: `put` never fails for want of room. A damaged file is set aside, what can be read of it is saved, and
a fresh one is begun; `SpoolDamagedError` asks for `heal()`, which does so while the agent runs.

Blocking: `edge.outbox` calls it from threads. Not to be used by two threads at once.
"""

import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, Self, TypeVar

import zstandard

from edge.batcher import Draft
from edge.delivery import CAUSE_DAMAGED, CAUSE_EVICTED, Key, Outcome, StreamOnDisk
from edge.errors import SpoolError
from edge.reserve import Reserve
from edge.salvage import PAGE_BYTES, Pages, Salvage, SavedBatch, batches, unpack
from edge.spool_file import IN_MEMORY, WAL_BYTES, DiskFullError, SpoolDamagedError, SpoolFile, set_aside
from edge.spool_rows import LostRow, StreamRow, read_lost_row, read_stream_row
from wire.codec import decode_batch, encode_batch
from wire.ranges import EMPTY, RangeSet
from wire.stream_id import new_stream

COMPRESSION_LEVEL: Final = 3
EVICT_AT_ONCE: Final = 32
MOST_QUARANTINED: Final = 100
LEAST_BYTES: Final = 5_000_000
"""A nearly full disk does not make the spool smaller than that; a full one may."""

_SAVED_AT_ONCE: Final = 500
_SPARE_BYTES: Final = 100_000
"""What is evicted on a full disk beside what is needed."""

_ROW_BYTES: Final = 200
"""What a row takes beside its payload, generously."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored:
    """What one `put` did: the sequence numbers it gave, and what had to leave the disk, by stream."""

    stream: str
    seqs: Sequence[int]
    evicted: Mapping[str, RangeSet]
    urgent: RangeSet = EMPTY


@dataclass(frozen=True, slots=True)
class Loaded:
    """Batches as JSON, in the order asked for, as many as fitted; what cannot be read any more is `damaged`."""

    batches: Sequence[tuple[Key, bytes]]
    damaged: Sequence[Key]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A batch that the cloud refused, its JSON, and why."""

    stream: str
    seq: int
    problem: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Repair:
    """What became of a damaged file."""

    set_aside: Path | None
    """Where it is; None if only its write-ahead log was damaged, or there was no room to keep it."""
    saved: int
    """Batches that could still be read."""
    missing: int
    """Batches that were there as far as is known, and could not."""


@dataclass(slots=True)
class _Held:
    """One stream on the disk, mirrored in memory."""

    next: int = 0
    held: RangeSet = EMPTY
    done: RangeSet = EMPTY
    evicted: RangeSet = EMPTY
    lost: dict[str, RangeSet] = field(default_factory=dict)
    priorities: dict[int, RangeSet] = field(default_factory=dict)
    """What of `held` has one above 0."""

    @property
    def urgent(self) -> RangeSet:
        urgent = EMPTY
        for seqs in self.priorities.values():
            urgent = urgent | seqs
        return urgent

    @property
    def all_lost(self) -> RangeSet:
        lost = EMPTY
        for seqs in self.lost.values():
            lost = lost | seqs
        return lost

    def of_priority(self, priority: int) -> RangeSet:
        return self.priorities.get(priority, EMPTY) if priority else self.held - self.urgent

    def drop(self, seqs: RangeSet) -> None:
        self.held -= seqs
        self.done -= seqs
        self.priorities = {priority: left for priority, old in self.priorities.items() if (left := old - seqs)}


class Spool:
    """The open spool of one vehicle. Raises SpoolError where a person has to act."""

    def __init__(
        self,
        path: Path | str,
        *,
        vehicle: str,
        max_bytes: int,
        min_free_bytes: int = 0,
        reserve_bytes: int = 0,
    ) -> None:
        """Use `Spool.open`."""
        self.stream = ""
        self.repair: Repair | None = None
        """What was done at the opening, or last, about damage."""
        self._path = Path(path)
        self._vehicle = vehicle
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        in_memory = str(path) == IN_MEMORY
        self._folder = None if in_memory else self._path.parent
        self._reserve = Reserve(self._path.with_name(f"{self._path.name}.reserve"), 0 if in_memory else reserve_bytes)
        self._file: SpoolFile
        self._streams: dict[str, _Held] = {}
        self._evicted: dict[str, RangeSet] = {}
        """Since the last `put` told of it."""
        self._skipped: RangeSet = EMPTY
        """Drawn in the present stream while nothing could be written, and not on the disk yet."""
        self._is_full = False
        """There was no room for the file to grow, and is none since."""
        self._catalogs: dict[str, bytes] = {}
        """What the disk had no room for."""

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        vehicle: str,
        max_bytes: int,
        now_ms: int,
        min_free_bytes: int = 0,
        reserve_bytes: int = 0,
    ) -> Self:
        """Open or create the spool at `path` (or ":memory:"), and begin a stream."""
        spool = cls(
            path,
            vehicle=vehicle,
            max_bytes=max_bytes,
            min_free_bytes=min_free_bytes,
            reserve_bytes=reserve_bytes,
        )
        spool._open(now_ms)
        return spool

    def close(self) -> None:
        """Let go of the file."""
        if self._skipped:
            with suppress(DiskFullError):
                self._write(_nothing, room=0)
        self._file.close()

    def heal(self, now_ms: int) -> None:
        """Begin anew after a SpoolDamagedError, with what could be saved."""
        self._file.close()
        set_aside(self._path, now_ms)
        self._streams, self._evicted, self._skipped = {}, {}, EMPTY
        self._open(now_ms)

    @property
    def set_aside(self) -> Path | None:
        """Where a damaged file went, None if all was well."""
        return None if self.repair is None else self.repair.set_aside

    @property
    def epoch(self) -> str | None:
        """The database's epoch that `done` belongs to."""
        epoch: str | None = self._file.value("SELECT value FROM meta WHERE name = 'epoch'")
        return epoch

    @property
    def used_bytes(self) -> int:
        """How much of the disk the batches take."""
        return self._file.used_bytes

    def on_disk(self) -> list[StreamOnDisk]:
        """What is held of each stream, for `edge.delivery`."""
        return [
            StreamOnDisk(name, state.next, state.held, state.done, state.evicted, dict(state.lost), state.urgent)
            for name, state in self._streams.items()
        ]

    def put(self, drafts: Sequence[Draft]) -> Stored:
        """Give the drafts their sequence numbers and store them; they are durable on return."""
        state = self._streams[self.stream]
        seqs = range(state.next, state.next + len(drafts))
        rows = [self._row(draft, seq) for draft, seq in zip(drafts, seqs, strict=True)]
        urgent = EMPTY
        self._keep_reserve()
        try:
            self._write(lambda: self._store(rows, seqs), room=sum(_room(row) for row in rows))
            urgent = self._streams[self.stream].urgent & RangeSet.of(seqs)
        except DiskFullError:
            self._skip(RangeSet.of(seqs))
        evicted, self._evicted = self._evicted, {}
        return Stored(self.stream, seqs, evicted, urgent)

    def load(self, keys: Iterable[Key], *, max_bytes: int) -> Loaded:
        """Read batches until their JSON reaches `max_bytes`, but at least one; what left the disk is skipped."""
        whole: list[tuple[Key, bytes]] = []
        damaged: list[Key] = []
        room = max_bytes
        for key in keys:
            stored = self._file.value("SELECT payload FROM batches WHERE stream = ? AND seq = ?", key)
            if stored is None and not self._holds(key):
                continue
            payload = None if stored is None else unpack(stored, *key)
            if payload is None:
                damaged.append(key)
                continue
            if whole and len(payload) > room:
                break
            whole.append((key, payload))
            room -= len(payload)
        if damaged:
            self._drop_damaged(damaged)
        return Loaded(whole, damaged)

    def begins_ms(self, key: Key) -> int | None:
        """When a batch begins (Unix ms); None for what is not held or cannot be read."""
        stored = self._file.value("SELECT payload FROM batches WHERE stream = ? AND seq = ?", key)
        payload = None if stored is None else unpack(stored, *key)
        return None if payload is None else decode_batch(payload).t0

    def write_down(self, outcome: Outcome, epoch: str | None) -> None:
        """Keep what a reply changed, as far as its streams are known.

        Where the disk has no room for it, the cloud will say it again.
        """
        with suppress(DiskFullError):
            self._write(lambda: self._apply(outcome, epoch), room=0)

    def quarantine(self) -> list[Quarantined]:
        """What the cloud refused, oldest first, as far as it is kept."""
        rows = self._file.rows("SELECT stream, seq, problem, payload FROM quarantine ORDER BY id")
        return [
            Quarantined(stream, seq, problem, payload)
            for stream, seq, problem, stored in rows
            if (payload := unpack(stored, stream, seq)) is not None
        ]

    def keep_catalog(self, name: str, body: bytes) -> None:
        """Keep a catalog, for the cloud may ask for it."""
        self._catalogs[name] = body
        with suppress(DiskFullError):
            self._write(self._store_catalogs, room=len(body))
            self._catalogs.clear()

    def catalog(self, name: str) -> bytes | None:
        """The body of a catalog, None if this vehicle never had it."""
        if name in self._catalogs:
            return self._catalogs[name]
        body: bytes | None = self._file.value("SELECT body FROM catalogs WHERE hash = ?", (name,))
        return body

    def _open(self, now_ms: int) -> None:
        try:
            self._try_to_open(now_ms)
        except SpoolDamagedError:
            set_aside(self._path, now_ms)
            self._try_to_open(now_ms)
        except DiskFullError:
            self._is_full = True
            self._reserve.give_up()
            self._try_to_open(now_ms)
        self._keep_reserve()

    def _try_to_open(self, now_ms: int) -> None:
        self._file = SpoolFile.open(self._path, now_ms=now_ms)
        try:
            self._claim()
            self._read_streams()
            self._repair()
            self._begin_stream(now_ms)
        except BaseException:
            self._file.close()
            raise

    def _claim(self) -> None:
        owner = self._file.value("SELECT value FROM meta WHERE name = 'vehicle'")
        if owner is None:
            rows = [("vehicle", self._vehicle), ("vehicle_crc", _seal(self._vehicle))]
            with self._file.transaction():
                self._file.execute_many("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)
        elif owner != self._vehicle:
            seal = self._file.value("SELECT value FROM meta WHERE name = 'vehicle_crc'")
            if seal is not None and seal != _seal(str(owner)):
                raise SpoolDamagedError(f"{self._file.path}: damaged: the vehicle is not what was written")
            raise SpoolError(
                f"{self._file.path}: holds data of vehicle {owner!r}, not of {self._vehicle!r}: "
                "give this vehicle another spool.path"
            )

    def _read_streams(self) -> None:
        """Mirror what is on the disk; walks all of the batches' index, which shows whether that is whole."""
        self._streams = {}
        for columns in self._file.rows("SELECT * FROM streams ORDER BY stream"):
            row = read_stream_row(columns)
            if row is None:
                raise SpoolDamagedError(f"{self._file.path}: damaged: a stream is not what was written")
            if row.next or row.stream == self.stream:
                self._streams[row.stream] = _Held(next=row.next, done=row.done, evicted=row.evicted)
        held = self._numbers("SELECT stream, seq, 0 FROM batches ORDER BY stream, seq")
        for (name, _), seqs in held.items():
            state = self._held(name)
            if seqs.ranges[0][0] < 0 or seqs.head >= state.next:
                raise SpoolDamagedError(f"{self._file.path}: damaged: a batch that was never drawn")
            state.held = seqs
        for (name, priority), seqs in self._numbers(
            "SELECT stream, seq, priority FROM batches WHERE priority > 0 ORDER BY stream, seq"
        ).items():
            self._held(name).priorities[priority] = seqs
        for columns in self._file.rows("SELECT * FROM losses"):
            lost = read_lost_row(columns)
            if lost is None:
                raise SpoolDamagedError(f"{self._file.path}: damaged: a loss is not what was written")
            self._held(lost.stream).lost[lost.cause] = lost.seqs
        if (present := self._streams.pop(self.stream, None)) is not None:
            self._streams[self.stream] = present  # the newest, whatever the clock said when it was begun

    def _numbers(self, query: str) -> dict[tuple[str, int], RangeSet]:
        numbers: dict[tuple[str, int], list[int]] = {}
        for name, seq, priority in self._file.rows(query):
            if not isinstance(seq, int) or not isinstance(priority, int):
                raise SpoolDamagedError(f"{self._file.path}: damaged: a batch without a number")
            numbers.setdefault((name, priority), []).append(seq)
        return {key: RangeSet.of(seqs) for key, seqs in numbers.items()}

    def _held(self, name: str) -> _Held:
        state = self._streams.get(name)
        if state is None:
            raise SpoolDamagedError(f"{self._file.path}: damaged: it lacks the row of stream {name}")
        return state

    def _begin_stream(self, now_ms: int) -> None:
        self.stream = new_stream(now_ms)
        with self._file.transaction():
            self._file.execute("DELETE FROM streams WHERE next = 0")
            if not any(state.held - state.done for state in self._streams.values()):
                self._file.execute("DELETE FROM catalogs")  # nothing waits that names one; else they pile up for ever
            self._streams[self.stream] = _Held()
            self._write_stream(self.stream)

    def _repair(self) -> None:
        """Take over what is left of damaged files, and of a write-ahead log that ends too early."""
        aside: Path | None = None
        sources: list[tuple[Path | None, bytes]] = [(None, self._file.torn_log)] if self._file.torn_log else []
        for beside in self._set_aside_files(are_saved=False):
            sources.append((beside, _read(beside.with_name(f"{beside.name}-wal"))))
            aside = beside
        if not sources:
            return
        before = sum(len(state.held) for state in self._streams.values())
        for path, log in sources:
            found = Salvage()
            try:
                with closing(Pages(path, log)) as pages:
                    self._save(batches(pages, self._vehicle, found), found)
            except DiskFullError:
                self._read_streams()
            if path is not None:
                with self._file.transaction():
                    self._file.execute("INSERT OR REPLACE INTO meta VALUES (?, 'saved')", (path.name,))
        for old in self._set_aside_files(are_saved=True)[:-1]:
            _remove(old)
        after = sum(len(state.held) for state in self._streams.values())
        self.repair = Repair(aside, after - before, missing=self._missing())

    def _missing(self) -> int:
        return sum(
            len(RangeSet([(0, state.next - 1)]) - state.held - state.evicted - state.all_lost)
            for state in self._streams.values()
            if state.next
        )

    def _save(self, rows: Iterator[SavedBatch], found: Salvage) -> None:
        """Batches as they come; then what is known of their streams, which says what of it was to be gone."""
        insert = "INSERT OR IGNORE INTO batches VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)"
        nexts: dict[str, int] = {}
        while chunk := list(islice(rows, _SAVED_AT_ONCE)):
            with self._file.transaction():
                for row in chunk:
                    self._file.execute(
                        insert, (row.stream, row.seq, row.samples, row.fixes, row.events, row.payload, row.priority)
                    )
                    nexts[row.stream] = max(nexts.get(row.stream, 0), row.seq + 1)
                for name, following in nexts.items():
                    self._know(StreamRow(name, following, EMPTY, EMPTY))
        with self._file.transaction():
            for stream in found.streams:
                if stream.next:
                    self._know(stream)
            for lost in found.losses:
                if lost.stream in self._streams:
                    self._add_loss(lost.stream, lost.seqs, lost.cause)
            for name, body in found.catalogs.items():
                self._file.execute("INSERT OR IGNORE INTO catalogs VALUES (?, ?)", (name, body))
            for name, state in self._streams.items():
                self._delete(name, state.evicted | state.all_lost)
        self._read_streams()
        with self._file.transaction():
            self._make_room(0)

    def _know(self, row: StreamRow) -> None:
        """Merge what a version of a stream's row says. What was done then may not be any more: the cloud knows."""
        state = self._streams.setdefault(row.stream, _Held())
        state.next = max(state.next, row.next)
        state.evicted |= row.evicted
        self._write_stream(row.stream)

    def _set_aside_files(self, *, are_saved: bool) -> list[Path]:
        if self._folder is None:
            return []
        saved = {name for (name,) in self._file.rows("SELECT name FROM meta WHERE value = 'saved'")}
        found = self._folder.glob(f"{self._path.name}.damaged-*")
        files = sorted(path for path in found if not path.name.endswith(("-wal", "-shm")))
        return [path for path in files if (path.name in saved) == are_saved]

    def _write(self, work: Callable[[], T], *, room: int) -> T:
        """Do `work` in a transaction that has `room` bytes; where the disk is full, give up what can be given up."""
        try:
            with self._file.transaction():
                self._make_room(room)
                done = work()
                self._write_skipped()
            self._skipped = EMPTY
            return done
        except DiskFullError:
            self._restore()
        self._give_up_room()
        try:
            with self._file.transaction():
                self._evict_bytes(room + _SPARE_BYTES)
            with self._file.transaction():
                done = work()
                self._write_skipped()
            self._skipped = EMPTY
            return done
        except DiskFullError:
            self._restore()
            raise

    def _restore(self) -> None:
        """A transaction did not happen: mirror the disk again."""
        self._read_streams()
        for name, state in self._streams.items():
            if name in self._evicted and (back := self._evicted[name] & state.held):
                self._evicted[name] -= back
        self._apply_skipped(self._streams[self.stream])

    def _skip(self, seqs: RangeSet) -> None:
        """Nothing could be written: the numbers are drawn, and what they stood for is lost."""
        self._skipped |= seqs
        self._apply_skipped(self._streams[self.stream])
        self._evicted[self.stream] = self._evicted.get(self.stream, EMPTY) | seqs

    def _apply_skipped(self, state: _Held) -> None:
        if self._skipped:
            state.next = max(state.next, self._skipped.head + 1)
            state.evicted |= self._skipped
            state.lost[CAUSE_EVICTED] = state.lost.get(CAUSE_EVICTED, EMPTY) | self._skipped

    def _write_skipped(self) -> None:
        if self._skipped:
            self._write_stream(self.stream)
            self._add_loss(self.stream, self._skipped, CAUSE_EVICTED)

    def _store(self, rows: Sequence[tuple[object, ...]], seqs: range) -> None:
        insert = "INSERT INTO batches VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)"
        self._file.execute_many(insert, rows)
        state = self._streams[self.stream]
        state.next = seqs.stop
        state.held |= RangeSet.of(seqs)
        for seq, row in zip(seqs, rows, strict=True):
            priority = row[-1]
            if isinstance(priority, int) and priority:
                state.priorities[priority] = state.priorities.get(priority, EMPTY) | RangeSet([(seq, seq)])
        self._write_stream(self.stream)

    def _apply(self, outcome: Outcome, epoch: str | None) -> None:
        known = self._streams
        for name, seqs in outcome.reopened.items():
            if name in known:
                self._set_done(name, known[name].done - seqs)
        for name, seqs in outcome.done.items():
            if name in known:
                self._set_done(name, known[name].done | seqs)
        for name, seqs, cause in outcome.lost:
            if name in known:
                self._add_loss(name, seqs, cause)
        for name, seq, problem in outcome.rejected:
            if name in known:
                self._quarantine(name, seq, problem)
        for name in outcome.forgotten:
            if name in known:
                self._forget(name)
        if epoch is not None and epoch != self.epoch:
            self._file.execute("INSERT OR REPLACE INTO meta VALUES ('epoch', ?)", (epoch,))

    def _store_catalogs(self) -> None:
        rows = list(self._catalogs.items())
        self._file.execute_many("INSERT OR REPLACE INTO catalogs VALUES (?, ?)", rows)

    def _holds(self, key: Key) -> bool:
        state = self._streams.get(key[0])
        return state is not None and key[1] in state.held

    def _row(self, draft: Draft, seq: int) -> tuple[object, ...]:
        batch = draft.to_batch(vehicle=self._vehicle, stream=self.stream, seq=seq)
        compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_checksum=True)
        payload = compressor.compress(encode_batch(batch))
        return (self.stream, seq, draft.sample_count, len(draft.fixes), len(draft.events), payload, draft.priority)

    def _make_room(self, room: int) -> None:
        """Evict until there is room within the bounds; as long as there is something to evict."""
        limit = self._max_bytes - 3 * WAL_BYTES
        if self._is_full:
            limit = min(limit, self._file.size_bytes)
        elif self._free_bytes() < self._min_free_bytes:
            limit = min(limit, max(self._file.size_bytes, LEAST_BYTES))
        self._evict_bytes(self._file.used_bytes + room - limit)

    def _evict_bytes(self, wanted: int) -> None:
        enough = self._file.used_bytes - wanted
        while self._file.used_bytes > enough and (victims := self._victims()) is not None:
            self._evict(*victims)

    def _victims(self) -> tuple[str, RangeSet] | None:
        """The oldest batches that are done, or else the oldest of the lowest priority."""
        for name, state in self._streams.items():
            if state.done:
                return name, _first(state.done)
        priorities = {0}.union(*(state.priorities for state in self._streams.values()))
        for priority in sorted(priorities):
            for name, state in self._streams.items():
                if seqs := state.of_priority(priority):
                    return name, _first(seqs)
        return None

    def _evict(self, name: str, seqs: RangeSet) -> None:
        state = self._streams[name]
        lost = seqs - state.done - state.all_lost
        self._delete(name, seqs)
        state.drop(seqs)
        state.evicted |= seqs
        self._evicted[name] = self._evicted.get(name, EMPTY) | seqs
        self._write_stream(name)
        if lost:
            self._add_loss(name, lost, CAUSE_EVICTED)

    def _free_bytes(self) -> int:
        if self._folder is None:
            return self._min_free_bytes
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize

    def _keep_reserve(self) -> None:
        """Take the reserve back as soon as there is room for it twice."""
        if self._is_full and self._free_bytes() > self._min_free_bytes + 2 * self._reserve.size + WAL_BYTES:
            self._is_full = False
        if not self._is_full:
            self._reserve.keep()

    def _give_up_room(self) -> None:
        """The reserve, and what was set aside and is of no use any more."""
        self._is_full = True
        self._reserve.give_up()
        for path in self._set_aside_files(are_saved=True):
            _remove(path)

    def _drop_damaged(self, keys: Sequence[Key]) -> None:
        def drop() -> None:
            for name, seq in keys:
                seqs = RangeSet([(seq, seq)])
                self._delete(name, seqs)
                lost = seqs - self._streams[name].done - self._streams[name].all_lost
                self._streams[name].drop(seqs)
                if lost:
                    self._add_loss(name, lost, CAUSE_DAMAGED)

        with suppress(DiskFullError):  # it will be found again
            self._write(drop, room=0)

    def _delete(self, name: str, seqs: RangeSet) -> None:
        for low, high in seqs.ranges:
            self._file.execute("DELETE FROM batches WHERE stream = ? AND seq BETWEEN ? AND ?", (name, low, high))

    def _set_done(self, name: str, done: RangeSet) -> None:
        state = self._streams[name]
        state.done = done & state.held
        self._write_stream(name)

    def _write_stream(self, name: str) -> None:
        state = self._streams[name]
        row = StreamRow(name, state.next, state.done, state.evicted)
        self._file.execute("INSERT OR REPLACE INTO streams VALUES (?, ?, ?, ?, ?)", row.columns())

    def _add_loss(self, name: str, seqs: RangeSet, cause: str) -> None:
        lost = self._streams[name].lost
        lost[cause] = lost.get(cause, EMPTY) | seqs
        row = LostRow(name, cause, lost[cause])
        self._file.execute("INSERT OR REPLACE INTO losses VALUES (?, ?, ?, ?)", row.columns())

    def _quarantine(self, name: str, seq: int, problem: str) -> None:
        self._file.execute(
            "INSERT INTO quarantine SELECT NULL, stream, seq, ?, payload FROM batches WHERE stream = ? AND seq = ?",
            (problem, name, seq),
        )
        newest = "SELECT id FROM quarantine ORDER BY id DESC LIMIT ?"
        self._file.execute(f"DELETE FROM quarantine WHERE id NOT IN ({newest})", (MOST_QUARANTINED,))
        self._delete(name, RangeSet.of([seq]))
        self._streams[name].drop(RangeSet.of([seq]))

    def _forget(self, name: str) -> None:
        del self._streams[name]
        for table in ("streams", "losses"):
            self._file.execute(f"DELETE FROM {table} WHERE stream = ?", (name,))


def _first(seqs: RangeSet) -> RangeSet:
    low, high = seqs.ranges[0]
    return RangeSet([(low, min(high, low + EVICT_AT_ONCE - 1))])


def _room(row: Sequence[object]) -> int:
    payload = row[5]
    assert isinstance(payload, bytes)
    return (
        len(payload) + _ROW_BYTES if len(payload) < PAGE_BYTES // 4 else (len(payload) // PAGE_BYTES + 2) * PAGE_BYTES
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _remove(path: Path) -> None:
    """A file that was set aside, and what lies beside it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _seal(vehicle: str) -> str:
    return str(zlib.crc32(vehicle.encode()))


def _nothing() -> None:
    """There is nothing else to write."""
