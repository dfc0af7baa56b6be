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
CHUNK_ROWS: Final = 16_384

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
    """A whole COPY. Rows with the same nulls come together, otherwise in their order."""
    yield HEADER
    pattern = np.zeros(len(columns[0].values), np.int64)
    for index, column in enumerate(columns):
        if column.null is not None:
            pattern |= column.null.astype(np.int64) << index
    for nulls in np.unique(pattern):
        rows = np.flatnonzero(pattern == nulls)
        packed = _pack(len(rows), [None if nulls >> i & 1 else c.values[rows] for i, c in enumerate(columns)])
        for start in range(0, len(packed), CHUNK_ROWS):
            yield packed[start : start + CHUNK_ROWS].tobytes()
    yield TRAILER


def loose_rows(rows: Iterable[Sequence[bytes]]) -> Iterator[bytes]:
    """A whole COPY of rows whose values are packed already."""
    yield HEADER
    for row in rows:
        yield struct.pack(">h", len(row)) + b"".join(struct.pack(">i", len(value)) + value for value in row)
    yield TRAILER


def timestamp(t_ms: int) -> bytes:
    return struct.pack(">q", (t_ms - _EPOCH_MS) * 1000)


def int4(value: int) -> bytes:
    return struct.pack(">i", value)


def int8(value: int) -> bytes:
    return struct.pack(">q", value)


def jsonb(text: bytes) -> bytes:
    return b"\x01" + text


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
