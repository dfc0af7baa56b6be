"""The vehicle's disk: every batch until the cloud has committed it, and after that for as long as there is room.

`put` returns when the batches are durable; what it stored is encoded and compressed once and never changes, unless it
waits for the truth about the clock: then `relabel` or `stop_waiting` freezes it, before it is sent. Every
opening draws a new stream, so that neither a restored image nor a row that the flash forgot can put new content under a
used sequence number. The file stays within `max_bytes`, and does not grow while less than `min_free_bytes` are free on
its disk: batches that are done go first, then the oldest of the lowest priority, and those are declared lost.

On a full disk SQLite cannot even delete. A reserve beside the file is given up then, and what cannot be stored even so
is declared lost: `put` never fails for want of room. A damaged file is set aside, what can be read of it is saved, and
a fresh one is begun; `SpoolDamagedError` asks for `heal()`, which does so while the agent runs.

Blocking: `edge.outbox` calls it from threads. Not to be used by two threads at once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar

import zstandard

from edge.batcher import Draft
from edge.clock.clock_label import rounded_ms
from edge.clock.clock_trust import KnownTime
from edge.delivery import CAUSE_DAMAGED, CAUSE_EVICTED, Key, Outcome, StreamOnDisk
from edge.disk.reserve import Reserve
from edge.disk.salvage import PAGE_BYTES, unpack
from edge.disk.spool_contents import BatchRow, Contents
from edge.disk.spool_file import IN_MEMORY, DiskFullError, SpoolDamagedError, SpoolFile, set_aside
from edge.disk.spool_repair import Repair, remove_saved, repair
from edge.disk.spool_room import Room
from wire.codec import decode_batch, encode_batch, relabel_batch
from wire.ranges import EMPTY, RangeSet

COMPRESSION_LEVEL: Final = 3
RELABEL_AT_ONCE: Final = 16
"""A small computer needs some 10 ms for each, and nothing is stored meanwhile."""


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
    withheld: RangeSet = EMPTY
    """Waits for the truth about the clock."""


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
        self.repair: Repair | None = None
        """What was done at the opening, or last, about damage."""
        self._path = Path(path)
        self._vehicle = vehicle
        in_memory = str(path) == IN_MEMORY
        self._on_disk = None if in_memory else self._path
        reserve = Reserve(self._path.with_name(f"{self._path.name}.reserve"), 0 if in_memory else reserve_bytes)
        self._room = Room(
            None if in_memory else self._path.parent, reserve, max_bytes=max_bytes, min_free_bytes=min_free_bytes
        )
        self._contents: Contents
        self._skipped: RangeSet = EMPTY
        """Drawn in the present stream while nothing could be written, and not on the disk yet."""
        self._catalogs: dict[str, bytes] = {}
        """What the disk had no room for."""
        self._usage: str | None = None
        """What is to be written with the next transaction, None if it was."""

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
        if self._skipped or self._usage is not None:
            with suppress(DiskFullError):
                self._write(_nothing, room=0)
        self._file.close()

    def heal(self, now_ms: int) -> None:
        """Begin anew after a SpoolDamagedError, with what could be saved."""
        self._file.close()
        set_aside(self._path, now_ms)
        self._room.take_evicted()
        self._skipped = EMPTY
        self._open(now_ms)

    @property
    def stream(self) -> str:
        """The stream that this opening draws from."""
        return self._contents.present

    @property
    def before(self) -> str | None:
        """The stream that the opening before drew from. Two that name the same one are two images, or two agents."""
        return self._contents.before

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
    def usage(self) -> str | None:
        """What `keep_usage` was given last, as far as it was written."""
        usage: str | None = self._file.value("SELECT value FROM meta WHERE name = 'usage'")
        return usage

    def keep_usage(self, text: str) -> None:
        """Write a note with what is written next, or at the end: it is not worth a write of its own."""
        self._usage = text

    @property
    def used_bytes(self) -> int:
        """How much of the disk the batches take."""
        return self._file.used_bytes

    def on_disk(self) -> list[StreamOnDisk]:
        """What is held of each stream, for `edge.delivery`; in the order in which they were begun."""
        return [
            StreamOnDisk(
                name,
                state.next,
                state.held,
                state.done,
                state.evicted,
                dict(state.lost),
                state.urgent,
                self._contents.clock.waiting(name) & state.held,
                state.is_overtaken,
            )
            for name, state in self._contents.streams.items()
        ]

    def put(self, drafts: Sequence[Draft]) -> Stored:
        """Give the drafts their sequence numbers and store them; they are durable on return."""
        first = self._contents.present_stream.next
        seqs = range(first, first + len(drafts))
        rows = [self._row(draft, seq) for draft, seq in zip(drafts, seqs, strict=True)]
        labels = [draft.clock for draft in drafts]
        urgent = withheld = EMPTY
        self._room.keep_reserve()
        try:
            self._write(lambda: self._contents.store(rows, labels), room=sum(_room(row) for row in rows))
            urgent = self._contents.present_stream.urgent & RangeSet.of(seqs)
            withheld = self._contents.clock.waiting(self.stream) & RangeSet.of(seqs)
        except DiskFullError:
            self._skip(RangeSet.of(seqs))
        return Stored(self.stream, seqs, self._room.take_evicted(), urgent, withheld)

    def take_evicted(self) -> Mapping[str, RangeSet]:
        """What had to leave the disk for anything but a `put`, which tells its own; by stream, each told once."""
        return self._room.take_evicted()

    def relabel(self, boot_id: str, known: KnownTime) -> Mapping[str, RangeSet]:
        """Give some of what waits of that boot its true times. It is frozen on return, and is returned by stream.

        To be called until nothing is returned: then nothing of that boot waits, or the disk is full.
        """
        taken: Mapping[str, RangeSet] = {}
        with suppress(DiskFullError):
            taken = self._write(lambda: self._relabel(boot_id, known), room=0)
        return taken

    def stop_waiting(self, *, but_of_boot: str | None = None) -> Mapping[str, RangeSet]:
        """Freeze what waits as it is, flagged, but for what was recorded in one boot; returned by stream."""
        taken: Mapping[str, RangeSet] = {}
        with suppress(DiskFullError):
            taken = self._write(lambda: self._contents.clock.take_all(lambda row: row.boot_id != but_of_boot), room=0)
        return taken

    def keep_clock(self, boot_id: str, known: KnownTime) -> None:
        """Remember what is known of the time in that boot, for the agent's next start in it."""
        with suppress(DiskFullError):
            self._write(lambda: self._contents.clock.remember(boot_id, known), room=0)

    def known_clock(self, boot_id: str) -> KnownTime | None:
        """What is known of the time in that boot."""
        remembered = self.remembered_clock()
        return remembered[1] if remembered is not None and remembered[0] == boot_id else None

    def remembered_clock(self) -> tuple[str, KnownTime] | None:
        """The boot in which the time became known last, and what is known of it."""
        return self._contents.clock.remembered()

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
        payload = self._payload(key)
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

    @property
    def _file(self) -> SpoolFile:
        return self._contents.file

    def _open(self, now_ms: int) -> None:
        try:
            self._try_to_open(now_ms)
        except SpoolDamagedError:
            set_aside(self._path, now_ms)
            self._try_to_open(now_ms)
        except DiskFullError:
            self._room.give_up_reserve()
            self._try_to_open(now_ms)
        self._room.keep_reserve()

    def _try_to_open(self, now_ms: int) -> None:
        file = SpoolFile.open(self._path, now_ms=now_ms)
        contents = self._contents = Contents(file, vehicle=self._vehicle)
        try:
            contents.claim()
            contents.read()
            done = repair(contents, self._on_disk, lambda: self._room.make(contents, 0))
            self.repair = done or self.repair
            contents.begin_stream(now_ms)
        except BaseException:
            file.close()
            raise

    def _write(self, work: Callable[[], T], *, room: int) -> T:
        """Do `work` in a transaction that has `room` bytes; where the disk is full, give up what can be given up."""
        try:
            with self._file.transaction():
                self._room.make(self._contents, room)
                done = work()
                usage = self._write_notes()
            self._forget_notes(usage)
            return done
        except DiskFullError:
            self._restore()
        self._room.give_up_reserve()
        remove_saved(self._contents, self._on_disk)
        try:
            with self._file.transaction():
                self._room.make_on_full_disk(self._contents, room)
            with self._file.transaction():
                done = work()
                usage = self._write_notes()
            self._forget_notes(usage)
            return done
        except DiskFullError:
            self._restore()
            raise

    def _restore(self) -> None:
        """A transaction did not happen: mirror the disk again."""
        self._contents.read()
        self._room.note_restored(self._contents.streams)
        self._apply_skipped()

    def _skip(self, seqs: RangeSet) -> None:
        """Nothing could be written: the numbers are drawn, and what they stood for is lost."""
        self._skipped |= seqs
        self._apply_skipped()
        self._room.note_evicted(self.stream, seqs)

    def _apply_skipped(self) -> None:
        if self._skipped:
            state = self._contents.present_stream
            state.next = max(state.next, self._skipped.head + 1)
            state.evicted |= self._skipped
            state.lost[CAUSE_EVICTED] = state.lost.get(CAUSE_EVICTED, EMPTY) | self._skipped

    def _write_notes(self) -> str | None:
        """What goes with every transaction; the usage that was written."""
        usage = self._usage
        if usage is not None:
            self._file.execute("INSERT OR REPLACE INTO meta VALUES ('usage', ?)", (usage,))
        if self._skipped:
            self._contents.write_stream(self.stream)
            self._contents.add_loss(self.stream, self._skipped, CAUSE_EVICTED)
        return usage

    def _forget_notes(self, usage: str | None) -> None:
        self._skipped = EMPTY
        if self._usage is usage:  # not a newer one that came meanwhile
            self._usage = None

    def _apply(self, outcome: Outcome, epoch: str | None) -> None:
        contents, known = self._contents, self._contents.streams
        for name, seqs in outcome.reopened.items():
            if name in known:
                contents.set_done(name, known[name].done - seqs)
        for name, seqs in outcome.done.items():
            if name in known:
                contents.set_done(name, known[name].done | seqs)
        for name, seqs, cause in outcome.lost:
            if name in known:
                contents.add_loss(name, seqs, cause)
        for name, seq, problem in outcome.rejected:
            if name in known:
                contents.quarantine(name, seq, problem)
        for name, _, _ in outcome.overtaken:
            if name in known:
                contents.note_overtaken(name)
        for name in outcome.forgotten:
            if name in known:
                contents.forget(name)
        if epoch is not None and epoch != self.epoch:
            self._file.execute("INSERT OR REPLACE INTO meta VALUES ('epoch', ?)", (epoch,))

    def _store_catalogs(self) -> None:
        rows = list(self._catalogs.items())
        self._file.execute_many("INSERT OR REPLACE INTO catalogs VALUES (?, ?)", rows)

    def _holds(self, key: Key) -> bool:
        state = self._contents.streams.get(key[0])
        return state is not None and key[1] in state.held

    def _row(self, draft: Draft, seq: int) -> BatchRow:
        batch = draft.to_batch(vehicle=self._vehicle, stream=self.stream, seq=seq)
        payload = _compress(encode_batch(batch))
        return BatchRow(
            self.stream, seq, draft.sample_count, len(draft.fixes), len(draft.events), payload, draft.priority
        )

    def _relabel(self, boot_id: str, known: KnownTime) -> Mapping[str, RangeSet]:
        row = self._contents.clock.first_of(boot_id)
        if row is None:
            return {}
        shift_ms = rounded_ms(known.offset_ns - row.offset_ns)
        seqs = self._contents.clock.take(row, RELABEL_AT_ONCE)
        for seq in (seqs & self._contents.streams[row.stream].held).numbers():
            payload = self._payload((row.stream, seq))
            if payload is not None:  # else it is found to be damaged when it is to be sent
                fresh = _compress(relabel_batch(payload, shift_ms=shift_ms))
                self._contents.replace(row.stream, seq, fresh)
        return {row.stream: seqs}

    def _payload(self, key: Key) -> bytes | None:
        """The JSON of a batch; None for what is not held or cannot be read."""
        stored = self._file.value("SELECT payload FROM batches WHERE stream = ? AND seq = ?", key)
        return None if stored is None else unpack(stored, *key)

    def _drop_damaged(self, keys: Sequence[Key]) -> None:
        def drop() -> None:
            for name, seq in keys:
                self._contents.drop(name, RangeSet([(seq, seq)]), cause=CAUSE_DAMAGED)

        with suppress(DiskFullError):  # it will be found again
            self._write(drop, room=0)


def _compress(payload: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_checksum=True).compress(payload)


def _room(row: BatchRow) -> int:
    size = len(row.payload)
    return size + _ROW_BYTES if size < PAGE_BYTES // 4 else (size // PAGE_BYTES + 2) * PAGE_BYTES


def _nothing() -> None:
    """There is nothing else to write."""
