"""The spool's SQLite file: opened by one owner, checked as far as that is quick, and set aside when it is damaged.

WAL with `synchronous=FULL`, so a commit is on the disk when it returns. Errors are SpoolErrors that say what to do.

SpoolError
├── DiskFullError       nothing was written; the file is as before
└── SpoolDamagedError   the file is to be set aside
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from edge.disk.salvage import committed_frames
from edge.disk.spool_rows import LostRow, StreamRow, text_ranges
from edge.errors import SpoolError

IN_MEMORY: Final = ":memory:"
FORMAT_VERSION: Final = 3
_VERSION_ROW: Final = "format"
WAL_BYTES: Final = 1_048_576
"""The write-ahead log lies beside the file; it is folded into it, and cut back, at about this size."""

CACHE_BYTES: Final = 262_144
"""What SQLite keeps of the file in memory. Batches are written once and read once, mostly at the ends: its own bound
of 2 MB would only be filled with what nobody asks for again, for every vehicle of a process."""

CHECKED_BYTES: Final = 32_000_000
"""A larger file is not read as a whole when it is opened: a card reads 20 to 40 MB in a second."""

_PAGE_BYTES: Final = 4096
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_FAULTS: Final = (sqlite3.DatabaseError, UnicodeDecodeError)
"""The second where SQLite quotes damaged text in its complaint."""

_UNREADABLE: Final = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ}
_SMALL_TABLES: Final = ("meta", "streams", "losses", "quarantine", "catalogs", "waiting")
_WAITING: Final = """
CREATE TABLE waiting (stream TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, boot TEXT NOT NULL,
    offset_ns INTEGER NOT NULL, crc INTEGER, PRIMARY KEY (stream, first)) WITHOUT ROWID;
"""
_SCHEMA: Final = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE streams (stream TEXT PRIMARY KEY, next INTEGER NOT NULL, done TEXT NOT NULL, evicted TEXT NOT NULL,
    crc INTEGER) WITHOUT ROWID;
CREATE TABLE batches (
    id INTEGER PRIMARY KEY, stream TEXT NOT NULL, seq INTEGER NOT NULL, samples INTEGER NOT NULL,
    fixes INTEGER NOT NULL, events INTEGER NOT NULL, payload BLOB NOT NULL, priority INTEGER NOT NULL DEFAULT 0,
    UNIQUE (stream, seq));
CREATE INDEX urgent ON batches (stream, seq) WHERE priority > 0;
CREATE TABLE losses (stream TEXT NOT NULL, cause TEXT NOT NULL, seqs TEXT NOT NULL, crc INTEGER,
    PRIMARY KEY (stream, cause)) WITHOUT ROWID;
CREATE TABLE quarantine (id INTEGER PRIMARY KEY, stream TEXT NOT NULL, seq INTEGER NOT NULL, problem TEXT NOT NULL,
    payload BLOB NOT NULL);
CREATE TABLE catalogs (hash TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
{_WAITING}"""
_FROM_1_TO_2: Final = """
ALTER TABLE batches ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
CREATE INDEX urgent ON batches (stream, seq) WHERE priority > 0;
ALTER TABLE streams ADD COLUMN crc INTEGER;
ALTER TABLE losses ADD COLUMN crc INTEGER;
"""


class DiskFullError(SpoolError):
    """There is no room on the disk. What was under way did not happen."""


class SpoolDamagedError(SpoolError):
    """The file is not what was written."""


class SpoolFile:
    """The open file.

    `set_aside` is where a damaged one went, for which this one was begun. `torn_log` is the write-ahead log as it was
    found, if SQLite took less of it than was once committed: it ends silently at the first frame that is not whole.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: str, set_aside: Path | None = None, torn_log: bytes = b""
    ) -> None:
        """Use `SpoolFile.open`."""
        self.path = path
        self.set_aside = set_aside
        self.torn_log = torn_log
        self._connection = connection

    @classmethod
    def open(cls, path: Path | str, *, now_ms: int) -> Self:
        """Open or create the file; a damaged one is renamed, and a fresh one begun."""
        log = _read_log(str(path))
        try:
            connection, frames = _connect(str(path))
            return cls(connection, str(path), torn_log=log if committed_frames(log) > frames else b"")
        except SpoolDamagedError:
            pass
        aside = set_aside(Path(path), now_ms)
        connection, _ = _connect(str(path))
        return cls(connection, str(path), set_aside=aside)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @property
    def used_bytes(self) -> int:
        """How much of the file is in use; the rest is reused before the file grows."""
        return (self._pragma("page_count") - self._pragma("freelist_count")) * _PAGE_BYTES

    @property
    def size_bytes(self) -> int:
        """How large the file is, in use or not."""
        return self._pragma("page_count") * _PAGE_BYTES

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; durable when it ends."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself rolls back where the disk fails
                    self._connection.execute("ROLLBACK")
                raise
        except _FAULTS as error:
            raise _explain(self.path, error) from error

    def execute(self, query: str, parameters: Sequence[object] = ()) -> None:
        """Run one statement."""
        self._connection.execute(query, parameters)

    def execute_many(self, query: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each row."""
        self._connection.executemany(query, rows)

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        try:
            return self._connection.execute(query, parameters).fetchall()
        except _FAULTS as error:
            raise _explain(self.path, error) from error

    def value(self, query: str, parameters: Sequence[object] = ()) -> Any:
        """The first column of the first row, None if there is no row."""
        found = self.rows(query, parameters)
        return found[0][0] if found else None

    def _pragma(self, name: str) -> int:
        return int(self.value(f"PRAGMA {name}"))


def _connect(path: str) -> tuple[sqlite3.Connection, int]:
    """The connection, and how many frames of the write-ahead log were good."""
    if path != IN_MEMORY:
        _make_folder(Path(path).parent)
    try:
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            return connection, _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    except _FAULTS as error:
        if _code(error) == sqlite3.SQLITE_ERROR:  # our statements are good, so the file is not what they are for
            raise SpoolDamagedError(f"{path}: damaged ({error})") from error
        raise _explain(path, error) from error


def _read_log(path: str) -> bytes:
    try:
        return Path(f"{path}-wal").read_bytes()
    except OSError:
        return b""


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpoolError(f"{folder}: cannot be made: {error.strerror}: choose another spool.path") from error


def _prepare(connection: sqlite3.Connection, path: str) -> int:
    execute = connection.execute
    connection.text_factory = _text  # a damaged text is not to raise, but to differ
    execute("PRAGMA locking_mode = EXCLUSIVE")
    execute("PRAGMA journal_mode = WAL")
    execute("PRAGMA synchronous = FULL")
    execute(f"PRAGMA cache_size = {-CACHE_BYTES // 1024}")  # negative: KiB, not pages
    execute(f"PRAGMA wal_autocheckpoint = {WAL_BYTES // _PAGE_BYTES}")
    execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    frames = int(execute("PRAGMA wal_checkpoint").fetchone()[1])
    _check_length(connection, path)
    execute("BEGIN IMMEDIATE")  # takes the lock, which stays until the file is closed
    version = _version(connection, path)
    if version > FORMAT_VERSION:
        raise SpoolError(f"{path}: written by a newer Fleetwire (format {version}): update this agent")
    if version < FORMAT_VERSION:
        _bring_up_to_date(connection, version)
    execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (_VERSION_ROW, str(FORMAT_VERSION)))
    execute("COMMIT")
    _check_tables(connection, path)
    return frames


def _version(connection: sqlite3.Connection, path: str) -> int:
    """The format, which the head of the file says; and a row, so that a bit turned over in the head is noticed."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version:
        row = connection.execute("SELECT value FROM meta WHERE name = ?", (_VERSION_ROW,)).fetchone()
        if row is not None and row[0] != str(version):
            raise SpoolDamagedError(f"{path}: damaged: its format is {row[0]} and its head says {version}")
    return version


def _text(content: bytes) -> str:
    return content.decode(errors="replace")


def _bring_up_to_date(connection: sqlite3.Connection, version: int) -> None:
    steps = {0: _SCHEMA, 1: _FROM_1_TO_2 + _WAITING, 2: _WAITING}
    for statement in steps[version].split(";"):
        connection.execute(statement)
    for stream, following, done, evicted, _ in connection.execute("SELECT * FROM streams").fetchall():
        row = StreamRow(stream, following, text_ranges(done), text_ranges(evicted))
        connection.execute("INSERT OR REPLACE INTO streams VALUES (?, ?, ?, ?, ?)", row.columns())
    for stream, cause, seqs, _ in connection.execute("SELECT * FROM losses").fetchall():
        row_lost = LostRow(stream, cause, text_ranges(seqs))
        connection.execute("INSERT OR REPLACE INTO losses VALUES (?, ?, ?, ?)", row_lost.columns())
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_VERSION_ROW, str(FORMAT_VERSION)))
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


def _check_length(connection: sqlite3.Connection, path: str) -> None:
    """A file that was cut may well hold together as far as it goes. The write-ahead log is folded into it by now."""
    size = connection.execute("PRAGMA page_count").fetchone()[0] * _PAGE_BYTES
    if path != IN_MEMORY and Path(path).stat().st_size < size:
        raise SpoolDamagedError(f"{path}: damaged: shorter than it was")


def _check_tables(connection: sqlite3.Connection, path: str) -> None:
    """Do they hold together? A large file is checked in part: batches are checked when they are read."""
    size = connection.execute("PRAGMA page_count").fetchone()[0] * _PAGE_BYTES
    checks = ["quick_check(1)"] if size <= CHECKED_BYTES else [f"quick_check({name})" for name in _SMALL_TABLES]
    for check in checks:
        fault = connection.execute(f"PRAGMA {check}").fetchone()[0]
        if fault != "ok":
            raise SpoolDamagedError(f"{path}: damaged: {fault}")


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _explain(path: str, error: Exception) -> SpoolError:
    code = _code(error)
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return SpoolError(f"{path}: in use by another agent: stop that one, or give this one another spool.path")
    if code == sqlite3.SQLITE_FULL:
        return DiskFullError(f"{path}: the disk is full: free some room, or lower spool.max_bytes")
    is_unreadable = isinstance(error, UnicodeDecodeError) or getattr(error, "sqlite_errorcode", 0) in _UNREADABLE
    if code in _DAMAGED or is_unreadable:
        return SpoolDamagedError(f"{path}: damaged ({error}): restart the agent, which saves what can be read of it")
    return SpoolError(f"{path}: cannot be used as a spool: {error}")


def set_aside(path: Path, now_ms: int) -> Path:
    """Rename a damaged file, and what SQLite keeps beside it; what can be read of it is read from there."""
    aside = path.with_name(f"{path.name}.damaged-{now_ms}")
    while aside.exists():
        now_ms += 1
        aside = path.with_name(f"{path.name}.damaged-{now_ms}")
    for suffix in ("", "-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + suffix))
    return aside
