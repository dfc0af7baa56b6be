"""What becomes of a damaged spool: what `edge.disk.salvage` reads of it is taken over into the fresh file.

A file that was set aside is named in `meta` when it was gone through, so that this is done once.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from edge.disk.salvage import Pages, Salvage, SavedBatch, batches
from edge.disk.spool_contents import BatchRow, Contents
from edge.disk.spool_file import DiskFullError
from edge.disk.spool_rows import StreamRow
from wire.ranges import EMPTY, RangeSet

_SAVED_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Repair:
    """What became of a damaged file."""

    set_aside: Path | None
    """Where it is; None if only its write-ahead log was damaged, or there was no room to keep it."""
    saved: int
    """Batches that could still be read."""
    missing: int
    """Batches that were there as far as is known, and could not."""


def repair(contents: Contents, spool: Path | None, make_room: Callable[[], None]) -> Repair | None:
    """Take over what is left of damaged files, and of a write-ahead log that ends too early; None if all is well.

    `spool` is the file, None for one in memory. `make_room` is called within transactions.
    """
    torn_log = contents.file.torn_log
    aside: Path | None = None
    sources: list[tuple[Path | None, bytes]] = [(None, torn_log)] if torn_log else []
    for beside in _set_aside_files(contents, spool, are_saved=False):
        sources.append((beside, _read(beside.with_name(f"{beside.name}-wal"))))
        aside = beside
    if not sources:
        return None
    before = _held_count(contents)
    for path, log in sources:
        found = Salvage()
        try:
            with closing(Pages(path, log)) as pages:
                _save(contents, batches(pages, contents.vehicle, found), found, make_room)
        except DiskFullError:
            contents.read()
        if path is not None:
            with contents.file.transaction():
                contents.file.execute("INSERT OR REPLACE INTO meta VALUES (?, 'saved')", (path.name,))
    for old in _set_aside_files(contents, spool, are_saved=True)[:-1]:
        _remove(old)
    return Repair(aside, _held_count(contents) - before, missing=_missing(contents))


def remove_saved(contents: Contents, spool: Path | None) -> None:
    """Give up the room of damaged files that were gone through."""
    for path in _set_aside_files(contents, spool, are_saved=True):
        _remove(path)


def _save(contents: Contents, rows: Iterator[SavedBatch], found: Salvage, make_room: Callable[[], None]) -> None:
    """Batches as they come; then what is known of their streams, which says what of it was to be gone."""
    nexts: dict[str, int] = {}
    while chunk := list(islice(rows, _SAVED_AT_ONCE)):
        with contents.file.transaction():
            for row in chunk:
                contents.restore(
                    BatchRow(row.stream, row.seq, row.samples, row.fixes, row.events, row.payload, row.priority)
                )
                nexts[row.stream] = max(nexts.get(row.stream, 0), row.seq + 1)
            for name, following in nexts.items():
                contents.know(StreamRow(name, following, EMPTY, EMPTY))
    with contents.file.transaction():
        for stream in found.streams:
            if stream.next:
                contents.know(stream)
        for lost in found.losses:
            if lost.stream in contents.streams:
                contents.add_loss(lost.stream, lost.seqs, lost.cause)
        for name, body in found.catalogs.items():
            contents.file.execute("INSERT OR IGNORE INTO catalogs VALUES (?, ?)", (name, body))
        for name, state in contents.streams.items():
            contents.delete(name, state.evicted | state.all_lost)
    contents.read()
    with contents.file.transaction():
        make_room()


def _held_count(contents: Contents) -> int:
    return sum(len(state.held) for state in contents.streams.values())


def _missing(contents: Contents) -> int:
    return sum(
        len(RangeSet([(0, state.next - 1)]) - state.held - state.evicted - state.all_lost)
        for state in contents.streams.values()
        if state.next
    )


def _set_aside_files(contents: Contents, spool: Path | None, *, are_saved: bool) -> list[Path]:
    if spool is None:
        return []
    saved = {name for (name,) in contents.file.rows("SELECT name FROM meta WHERE value = 'saved'")}
    found = spool.parent.glob(f"{spool.name}.damaged-*")
    files = sorted(path for path in found if not path.name.endswith(("-wal", "-shm")))
    return [path for path in files if (path.name in saved) == are_saved]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _remove(path: Path) -> None:
    """A file that was set aside, and what lies beside it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
