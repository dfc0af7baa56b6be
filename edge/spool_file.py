"""The spool's SQLite file: opened by one owner, checked, and set aside when it is damaged.

WAL with `synchronous=FULL`, so a commit is on the disk when it returns. Errors are SpoolErrors that say what to do.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from edge.errors import SpoolError

IN_MEMORY: Final = ":memory:"
FORMAT_VERSION: Final = 1
WAL_BYTES: Final = 1_048_576
"""The write-ahead log lies beside the file; it is folded into it, and cut back, at about this size."""

_PAGE_BYTES: Final = 4096
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE streams (stream TEXT PRIMARY KEY, next INTEGER NOT NULL, done TEXT NOT NULL, evicted TEXT NOT NULL)
    WITHOUT ROWID;
CREATE TABLE batches (
    id INTEGER PRIMARY KEY, stream TEXT NOT NULL, seq INTEGER NOT NULL, samples INTEGER NOT NULL,
    fixes INTEGER NOT NULL, events INTEGER NOT NULL, payload BLOB NOT NULL, UNIQUE (stream, seq));
CREATE TABLE losses (stream TEXT NOT NULL, cause TEXT NOT NULL, seqs TEXT NOT NULL, PRIMARY KEY (stream, cause))
    WITHOUT ROWID;
CREATE TABLE quarantine (id INTEGER PRIMARY KEY, stream TEXT NOT NULL, seq INTEGER NOT NULL, problem TEXT NOT NULL,
    payload BLOB NOT NULL);
CREATE TABLE catalogs (hash TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
"""


class SpoolFile:
    """The open file. `set_aside` is where a damaged one went, for which this one was begun."""

    def __init__(self, connection: sqlite3.Connection, path: str, set_aside: Path | None) -> None:
        """Use `SpoolFile.open`."""
        self.path = path
        self.set_aside = set_aside
        self._connection = connection

    @classmethod
    def open(cls, path: Path | str, *, now_ms: int) -> Self:
        """Open or create the file; a damaged one is renamed, and a fresh one begun."""
        try:
            return cls(_connect(str(path)), str(path), None)
        except sqlite3.DatabaseError as error:
            if _code(error) not in _DAMAGED:
                raise _explain(str(path), error) from error
        aside = _set_aside(Path(path), now_ms)
        return cls(_connect(str(path)), str(path), aside)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @property
    def used_bytes(self) -> int:
        """How much of the file is in use; the rest is reused before the file grows."""
        return (self._pragma("page_count") - self._pragma("freelist_count")) * self._pragma("page_size")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; durable when it ends."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.DatabaseError as error:
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
        except sqlite3.DatabaseError as error:
            raise _explain(self.path, error) from error

    def value(self, query: str, parameters: Sequence[object] = ()) -> Any:
        """The first column of the first row, None if there is no row."""
        found = self.rows(query, parameters)
        return found[0][0] if found else None

    def _pragma(self, name: str) -> int:
        return int(self.value(f"PRAGMA {name}"))


def _connect(path: str) -> sqlite3.Connection:
    if path != IN_MEMORY:
        _make_folder(Path(path).parent)
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpoolError(f"{folder}: cannot be made: {error.strerror}: choose another spool.path") from error


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    execute = connection.execute
    execute("PRAGMA locking_mode = EXCLUSIVE")
    execute("PRAGMA journal_mode = WAL")
    execute("PRAGMA synchronous = FULL")
    execute(f"PRAGMA wal_autocheckpoint = {WAL_BYTES // _PAGE_BYTES}")
    execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    execute("BEGIN IMMEDIATE")  # takes the lock, which stays until the file is closed
    version = execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT_VERSION:
        raise SpoolError(f"{path}: written by a newer Fleetwire (format {version}): update this agent")
    if version == 0:
        for statement in _SCHEMA.split(";"):
            execute(statement)
        execute(f"PRAGMA user_version = {FORMAT_VERSION}")
    execute("COMMIT")
    fault = execute("PRAGMA quick_check(1)").fetchone()[0]
    if fault != "ok":
        damage = sqlite3.DatabaseError(fault)
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damage


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _explain(path: str, error: sqlite3.Error) -> SpoolError:
    code = _code(error)
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return SpoolError(f"{path}: in use by another agent: stop that one, or give this one another spool.path")
    if code == sqlite3.SQLITE_FULL:
        return SpoolError(f"{path}: the disk is full: free some room, or lower spool.max_bytes")
    if code in _DAMAGED:
        return SpoolError(f"{path}: damaged ({error}): restart the agent, which sets it aside and begins a new one")
    return SpoolError(f"{path}: cannot be used as a spool: {error}")


def _set_aside(path: Path, now_ms: int) -> Path:
    """Rename a damaged file, and what SQLite keeps beside it, so that a person can look into it later."""
    aside = path.with_name(f"{path.name}.damaged-{now_ms}")
    for suffix in ("", "-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + suffix))
    return aside
