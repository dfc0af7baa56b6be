"""The vehicle's disk: every batch until the cloud has committed it, and after that for as long as there is room.

`put` returns when the batches are durable; what it stored is encoded and compressed once and never changes. Every
opening draws a new stream, so that neither a restored image nor a row that the flash forgot can put new content under a
used sequence number. The file stays within `max_bytes`: batches that are done go first, then the oldest, and those are
declared lost.

Blocking: `edge.outbox` calls it from threads. Not to be used by two threads at once.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import zstandard

from edge.batcher import Draft
from edge.delivery import CAUSE_DAMAGED, CAUSE_EVICTED, Key, Outcome, StreamOnDisk
from edge.errors import SpoolError
from edge.spool_file import WAL_BYTES, SpoolFile
from wire.codec import encode_batch
from wire.ranges import EMPTY, RangeSet
from wire.stream_id import new_stream

COMPRESSION_LEVEL: Final = 3
EVICT_AT_ONCE: Final = 32
MOST_QUARANTINED: Final = 100


@dataclass(frozen=True, slots=True)
class Stored:
    """What one `put` did: the sequence numbers it gave, and what had to leave the disk, by stream."""

    stream: str
    seqs: Sequence[int]
    evicted: Mapping[str, RangeSet]


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


@dataclass(slots=True)
class _Held:
    """One stream on the disk, mirrored in memory."""

    next: int = 0
    held: RangeSet = EMPTY
    done: RangeSet = EMPTY
    evicted: RangeSet = EMPTY
    lost: dict[str, RangeSet] = field(default_factory=dict)


class Spool:
    """The open spool of one vehicle. Raises SpoolError where a person has to act."""

    def __init__(self, file: SpoolFile, *, vehicle: str, max_bytes: int) -> None:
        """Use `Spool.open`."""
        self.stream = ""
        self._file = file
        self._vehicle = vehicle
        self._max_bytes = max_bytes
        self._streams: dict[str, _Held] = {}

    @classmethod
    def open(cls, path: Path | str, *, vehicle: str, max_bytes: int, now_ms: int) -> Self:
        """Open or create the spool at `path` (or ":memory:"), and begin a stream."""
        file = SpoolFile.open(path, now_ms=now_ms)
        try:
            spool = cls(file, vehicle=vehicle, max_bytes=max_bytes)
            spool._claim()
            spool._read_streams()
            spool._begin_stream(now_ms)
        except BaseException:
            file.close()
            raise
        return spool

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @property
    def set_aside(self) -> Path | None:
        """Where a damaged file went at the opening, None if all was well."""
        return self._file.set_aside

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
            StreamOnDisk(name, state.next, state.held, state.done, state.evicted, dict(state.lost))
            for name, state in self._streams.items()
        ]

    def put(self, drafts: Sequence[Draft]) -> Stored:
        """Give the drafts their sequence numbers and store them; they are durable on return."""
        state = self._streams[self.stream]
        seqs = range(state.next, state.next + len(drafts))
        rows = [self._row(draft, seq) for draft, seq in zip(drafts, seqs, strict=True)]
        with self._file.transaction():
            self._file.execute_many("INSERT INTO batches VALUES (NULL, ?, ?, ?, ?, ?, ?)", rows)
            self._file.execute("UPDATE streams SET next = ? WHERE stream = ?", (seqs.stop, self.stream))
            evicted = self._make_room()
        state.next = seqs.stop
        state.held |= RangeSet.of(seqs)
        return Stored(self.stream, seqs, evicted)

    def load(self, keys: Iterable[Key], *, max_bytes: int) -> Loaded:
        """Read batches until their JSON reaches `max_bytes`, but at least one; what left the disk is skipped."""
        batches: list[tuple[Key, bytes]] = []
        damaged: list[Key] = []
        room = max_bytes
        for key in keys:
            stored = self._file.value("SELECT payload FROM batches WHERE stream = ? AND seq = ?", key)
            if stored is None:
                continue
            try:
                payload = zstandard.ZstdDecompressor().decompress(stored)
            except zstandard.ZstdError:
                damaged.append(key)
                continue
            if batches and len(payload) > room:
                break
            batches.append((key, payload))
            room -= len(payload)
        if damaged:
            self._drop_damaged(damaged)
        return Loaded(batches, damaged)

    def write_down(self, outcome: Outcome, epoch: str | None) -> None:
        """Keep what a reply changed."""
        with self._file.transaction():
            for name, seqs in outcome.reopened.items():
                self._set_done(name, self._streams[name].done - seqs)
            for name, seqs in outcome.done.items():
                self._set_done(name, self._streams[name].done | seqs)
            for name, seqs, cause in outcome.lost:
                self._add_loss(name, seqs, cause)
            for name, seq, problem in outcome.rejected:
                self._quarantine(name, seq, problem)
            for name in outcome.forgotten:
                self._forget(name)
            if epoch is not None and epoch != self.epoch:
                self._file.execute("INSERT OR REPLACE INTO meta VALUES ('epoch', ?)", (epoch,))

    def quarantine(self) -> list[Quarantined]:
        """What the cloud refused, oldest first, as far as it is kept."""
        return [
            Quarantined(stream, seq, problem, zstandard.ZstdDecompressor().decompress(payload))
            for stream, seq, problem, payload in self._file.rows(
                "SELECT stream, seq, problem, payload FROM quarantine ORDER BY id"
            )
        ]

    def keep_catalog(self, name: str, body: bytes) -> None:
        """Keep a catalog, for the cloud may ask for it."""
        with self._file.transaction():
            self._file.execute("INSERT OR IGNORE INTO catalogs VALUES (?, ?)", (name, body))

    def catalog(self, name: str) -> bytes | None:
        """The body of a catalog, None if this vehicle never had it."""
        body: bytes | None = self._file.value("SELECT body FROM catalogs WHERE hash = ?", (name,))
        return body

    def _claim(self) -> None:
        with self._file.transaction():
            self._file.execute("INSERT OR IGNORE INTO meta VALUES ('vehicle', ?)", (self._vehicle,))
        owner = self._file.value("SELECT value FROM meta WHERE name = 'vehicle'")
        if owner != self._vehicle:
            raise SpoolError(
                f"{self._file.path}: holds data of vehicle {owner!r}, not of {self._vehicle!r}: "
                "give this vehicle another spool.path"
            )

    def _read_streams(self) -> None:
        query = "SELECT stream, next, done, evicted FROM streams WHERE next > 0 ORDER BY stream"
        for name, following, done, evicted in self._file.rows(query):
            self._streams[name] = _Held(next=following, done=_ranges(done), evicted=_ranges(evicted))
        held: dict[str, list[int]] = {}
        for name, seq in self._file.rows("SELECT stream, seq FROM batches ORDER BY stream, seq"):
            held.setdefault(name, []).append(seq)
        for name, seqs in held.items():
            self._streams[name].held = RangeSet.of(seqs)
        for name, cause, lost in self._file.rows("SELECT stream, cause, seqs FROM losses"):
            self._streams[name].lost[cause] = _ranges(lost)

    def _begin_stream(self, now_ms: int) -> None:
        self.stream = new_stream(now_ms)
        with self._file.transaction():
            self._file.execute("DELETE FROM streams WHERE next = 0")
            if not any(state.held - state.done for state in self._streams.values()):
                self._file.execute("DELETE FROM catalogs")  # nothing waits that names one; else they pile up for ever
            self._file.execute("INSERT INTO streams VALUES (?, 0, '[]', '[]')", (self.stream,))
        self._streams[self.stream] = _Held()

    def _row(self, draft: Draft, seq: int) -> tuple[object, ...]:
        batch = draft.to_batch(vehicle=self._vehicle, stream=self.stream, seq=seq)
        compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_checksum=True)
        payload = compressor.compress(encode_batch(batch))
        return (self.stream, seq, draft.sample_count, len(draft.fixes), len(draft.events), payload)

    def _make_room(self) -> dict[str, RangeSet]:
        """Evict until the file and its log are within the bound; what is being stored now stays whatever happens."""
        evicted: dict[str, RangeSet] = {}
        while self._file.used_bytes > self._max_bytes - 3 * WAL_BYTES:
            victims = self._victims()
            if victims is None:
                break
            name, seqs = victims
            evicted[name] = evicted.get(name, EMPTY) | seqs
            self._evict(name, seqs)
        return evicted

    def _victims(self) -> tuple[str, RangeSet] | None:
        """The oldest batches that are done, or else the oldest."""
        for name, state in self._streams.items():
            if state.done:
                return name, _first(state.done)
        for name, state in self._streams.items():
            if state.held:
                return name, _first(state.held)
        return None

    def _evict(self, name: str, seqs: RangeSet) -> None:
        state = self._streams[name]
        lost = seqs - state.done
        for declared in state.lost.values():
            lost -= declared
        self._delete(name, seqs)
        state.held -= seqs
        state.done -= seqs
        state.evicted |= seqs
        self._file.execute(
            "UPDATE streams SET done = ?, evicted = ? WHERE stream = ?", (_text(state.done), _text(state.evicted), name)
        )
        if lost:
            self._add_loss(name, lost, CAUSE_EVICTED)

    def _drop_damaged(self, keys: Sequence[Key]) -> None:
        with self._file.transaction():
            for name, seq in keys:
                seqs = RangeSet([(seq, seq)])
                self._delete(name, seqs)
                self._streams[name].held -= seqs
                self._add_loss(name, seqs, CAUSE_DAMAGED)

    def _delete(self, name: str, seqs: RangeSet) -> None:
        for low, high in seqs.ranges:
            self._file.execute("DELETE FROM batches WHERE stream = ? AND seq BETWEEN ? AND ?", (name, low, high))

    def _set_done(self, name: str, done: RangeSet) -> None:
        state = self._streams[name]
        state.done = done & state.held
        self._file.execute("UPDATE streams SET done = ? WHERE stream = ?", (_text(state.done), name))

    def _add_loss(self, name: str, seqs: RangeSet, cause: str) -> None:
        lost = self._streams[name].lost
        lost[cause] = lost.get(cause, EMPTY) | seqs
        self._file.execute("INSERT OR REPLACE INTO losses VALUES (?, ?, ?)", (name, cause, _text(lost[cause])))

    def _quarantine(self, name: str, seq: int, problem: str) -> None:
        self._file.execute(
            "INSERT INTO quarantine SELECT NULL, stream, seq, ?, payload FROM batches WHERE stream = ? AND seq = ?",
            (problem, name, seq),
        )
        newest = "SELECT id FROM quarantine ORDER BY id DESC LIMIT ?"
        self._file.execute(f"DELETE FROM quarantine WHERE id NOT IN ({newest})", (MOST_QUARANTINED,))
        self._delete(name, RangeSet.of([seq]))
        self._streams[name].held -= RangeSet.of([seq])

    def _forget(self, name: str) -> None:
        del self._streams[name]
        for table in ("streams", "losses"):
            self._file.execute(f"DELETE FROM {table} WHERE stream = ?", (name,))


def _first(seqs: RangeSet) -> RangeSet:
    low, high = seqs.ranges[0]
    return RangeSet([(low, min(high, low + EVICT_AT_ONCE - 1))])


def _ranges(text: str) -> RangeSet:
    return RangeSet((low, high) for low, high in json.loads(text))


def _text(seqs: RangeSet) -> str:
    return json.dumps(seqs.to_lists(), separators=(",", ":"))
