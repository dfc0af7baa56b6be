"""PostgreSQL's binary COPY format, built by numpy.

https://www.postgresql.org/docs/17/sql-copy.html#SQL-COPY-FILE-FORMATS: a header, per row the number of columns and each
value behind its length, where -1 is null, a trailer; all big endian.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
CHUNK_ROWS: Final = 8_192

_EPOCH_MS: Final = 946_684_800_000  # 2000-01-01, where PostgreSQL's clock begins


@dataclass(frozen=True)
class Column:
    """Values of one fixed width; `null` is True where there is none."""

    values: npt.NDArray[Any]
    null: npt.NDArray[np.bool_] | None = None


def timestamps(t_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Unix ms as timestamptz: microseconds since 2000."""
    return (t_ms - _EPOCH_MS) * 1000


def fixed_rows(columns: Sequence[Column]) -> Iterator[bytes]:
    """A whole COPY, packed as it is read. Rows with the same nulls come together, otherwise in their order."""
    yield HEADER
    for nulls, rows in _by_nulls(columns):
        for start in range(0, len(rows), CHUNK_ROWS):
            part = rows[start : start + CHUNK_ROWS]
            present = [None if index in nulls else column.values[part] for index, column in enumerate(columns)]
            yield _pack(len(part), present).tobytes()
    yield TRAILER


def loose_rows(rows: Iterable[Sequence[bytes]]) -> Iterator[bytes]:
    """A whole COPY of rows whose values are packed already."""
    yield HEADER
    for row in rows:
        yield struct.pack(">h", len(row)) + b"".join(struct.pack(">i", len(value)) + value for value in row)
    yield TRAILER


def timestamp(t_ms: int, *, more_us: int = 0) -> bytes:
    return struct.pack(">q", (t_ms - _EPOCH_MS) * 1000 + more_us)


def int4(value: int) -> bytes:
    return struct.pack(">i", value)


def int8(value: int) -> bytes:
    return struct.pack(">q", value)


def jsonb(text: bytes) -> bytes:
    return b"\x01" + text


def _by_nulls(columns: Sequence[Column]) -> Iterator[tuple[frozenset[int], npt.NDArray[np.intp]]]:
    """Which columns are null in which rows: one part, if there are not some that are null in some."""
    nullable = [(index, column.null) for index, column in enumerate(columns) if column.null is not None]
    always = frozenset(index for index, null in nullable if null.all())
    sometimes = [(index, null) for index, null in nullable if index not in always and null.any()]
    if not sometimes:
        yield always, np.arange(len(columns[0].values))
        return
    pattern = sum(null.astype(np.int64) << index for index, null in sometimes)
    for nulls in np.unique(pattern).tolist():
        yield always | {index for index, _ in sometimes if nulls >> index & 1}, np.flatnonzero(pattern == nulls)


def _pack(count: int, columns: Sequence[npt.NDArray[Any] | None]) -> npt.NDArray[np.void]:
    layout: list[tuple[str, Any]] = [("n", ">i2")]
    for index, column in enumerate(columns):
        layout.append((f"l{index}", ">i4"))
        if column is not None:
            layout.append((f"v{index}", column.dtype.newbyteorder(">")))
    rows = np.empty(count, layout)
    rows["n"] = len(columns)
    for index, column in enumerate(columns):
        rows[f"l{index}"] = -1 if column is None else column.dtype.itemsize
        if column is not None:
            rows[f"v{index}"] = column
    return rows
