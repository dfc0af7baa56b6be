"""What can still be read of a damaged spool, taken from its pages one by one.

A page that cannot be read takes with it what lies on it, and nothing else; SQLite gives up earlier, for it needs the
way from the root. Nothing is believed that does not prove itself: a batch by the checksum of its payload, which names
the vehicle, stream and seq; a stream's row and a declared loss by their own checksums; a catalog by its hash. Rows that
were deleted may come back from pages that were not used again since.

The file is only read. Its format: https://www.sqlite.org/fileformat2.html
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import zstandard

from edge.disk.spool_rows import LostRow, StreamRow, read_lost_row, read_stream_row

PAGE_BYTES: Final = 4096
MOST_PAYLOAD_BYTES: Final = 64 * 2**20
"""No batch is as large; a damaged header of a payload may say so."""

_TABLE_LEAF, _INDEX_LEAF = 13, 10
_TABLE_MOST: Final = PAGE_BYTES - 35
_INDEX_MOST: Final = (PAGE_BYTES - 12) * 64 // 255 - 23
_LEAST: Final = (PAGE_BYTES - 12) * 32 // 255 - 23
_INTEGER_BYTES: Final = (0, 1, 2, 3, 4, 6, 8)
_WAL_HEADER, _FRAME_HEADER = 32, 24
_PREFIX_BYTES: Final = 400
_IDENTITY: Final = re.compile(rb'"vehicle":"([^"]{1,64})","stream":"([0-9a-f-]{36})","seq":(\d+),')

Value = int | bytes | None


@dataclass(frozen=True, slots=True)
class SavedBatch:
    """A batch that proved itself. `payload` is as it was stored."""

    stream: str
    seq: int
    samples: int
    fixes: int
    events: int
    priority: int
    payload: bytes


@dataclass(slots=True)
class Salvage:
    """What was found beside the batches; of each several versions may have been."""

    streams: list[StreamRow] = field(default_factory=list)
    losses: list[LostRow] = field(default_factory=list)
    catalogs: dict[str, bytes] = field(default_factory=dict)


class Pages:
    """The pages of a file, those of its write-ahead log before them. What cannot be read is empty."""

    def __init__(self, path: Path | None, wal: bytes) -> None:
        self._newer = committed_pages(wal)
        self._file = -1 if path is None else os.open(path, os.O_RDONLY)
        size = 0 if path is None else os.fstat(self._file).st_size
        self._numbers = range(1, size // PAGE_BYTES + 1)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)

    def __iter__(self) -> Iterator[bytes]:
        for number in sorted({*self._numbers, *self._newer}):
            yield self[number]

    def __getitem__(self, number: int) -> bytes:
        if number in self._newer:
            return self._newer[number]
        if number not in self._numbers:
            return b""
        try:
            return os.pread(self._file, PAGE_BYTES, (number - 1) * PAGE_BYTES)
        except OSError:  # a sector that the card cannot read any more
            return b""


def batches(pages: Pages, vehicle: str, found: Salvage) -> Iterator[SavedBatch]:
    """Every batch of `vehicle` in `pages`; what else is found goes into `found`."""
    for page in pages:
        for record in _records(page, pages):
            if len(record) in {7, 8} and (batch := _batch(record, vehicle)) is not None:
                yield batch
            elif (stream := read_stream_row(_texts(record))) is not None:
                found.streams.append(stream)
            elif (lost := read_lost_row(_texts(record))) is not None:
                found.losses.append(lost)
            elif len(record) == 2:
                _take_catalog(record, found.catalogs)


def unpack(stored: bytes, stream: str, seq: int) -> bytes | None:
    """The JSON of a stored payload; None if it is not whole, or another batch's."""
    try:
        if not 0 <= zstandard.frame_content_size(stored) <= MOST_PAYLOAD_BYTES:
            return None
        payload = zstandard.ZstdDecompressor().decompress(stored)
    except zstandard.ZstdError:
        return None
    return payload if _identity(payload)[1:] == (stream, seq) else None


def committed_frames(wal: bytes) -> int:
    """How many frames of the log's present round lie before and at a commit, whether or not they are whole."""
    return max((number + 1 for number, _, commits, _ in _frames(wal) if commits), default=0)


def committed_pages(wal: bytes) -> Mapping[int, bytes]:
    """The newest version of each page in the log, as far as it was committed."""
    frames = committed_frames(wal)
    return {page: content for number, page, _, content in _frames(wal) if number < frames}


def _frames(wal: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Number, page, whether it ends a transaction, and content. Another round has other salts; one may be damaged."""
    size = _FRAME_HEADER + PAGE_BYTES
    salts = {wal[at : at + 4] for at in (16, 20, _WAL_HEADER + 8, _WAL_HEADER + 12)}
    for number in range((len(wal) - _WAL_HEADER) // size):
        start = _WAL_HEADER + number * size
        if not salts.isdisjoint((wal[start + 8 : start + 12], wal[start + 12 : start + 16])):
            page, commits = (int.from_bytes(wal[at : at + 4], "big") for at in (start, start + 4))
            yield number, page, commits, wal[start + _FRAME_HEADER : start + size]


def _batch(record: Sequence[Value], vehicle: str) -> SavedBatch | None:
    _, name, seq, samples, fixes, events, payload, priority = (*record, 0)[:8]
    if not isinstance(payload, bytes) or not isinstance(name, bytes) or not isinstance(seq, int):
        return None
    try:
        if not 0 <= zstandard.frame_content_size(payload) <= MOST_PAYLOAD_BYTES:
            return None
        whose, stream, number = _identity(zstandard.ZstdDecompressor().decompress(payload))
    except zstandard.ZstdError:
        return None
    if whose != vehicle:
        return None
    return SavedBatch(stream, number, _number(samples), _number(fixes), _number(events), _number(priority), payload)


def _number(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _identity(payload: bytes) -> tuple[str, str, int]:
    match = _IDENTITY.search(payload[:_PREFIX_BYTES])
    return (match[1].decode(), match[2].decode(), int(match[3])) if match is not None else ("", "", -1)


def _take_catalog(record: Sequence[Value], catalogs: dict[str, bytes]) -> None:
    name, body = record
    if isinstance(name, bytes) and isinstance(body, bytes) and hashlib.sha256(body).hexdigest().encode() == name:
        catalogs[name.decode()] = body


def _texts(record: Sequence[Value]) -> list[object]:
    return [value.decode(errors="replace") if isinstance(value, bytes) else value for value in record]


def _records(page: bytes, pages: Pages) -> Iterator[list[Value]]:
    """Every record on a leaf; nothing from what is no leaf, or cannot be one."""
    start = 100 if page.startswith(b"SQLite format 3\0") else 0
    if len(page) < PAGE_BYTES or page[start] not in {_TABLE_LEAF, _INDEX_LEAF}:
        return
    is_table = page[start] == _TABLE_LEAF
    count = min(int.from_bytes(page[start + 3 : start + 5], "big"), PAGE_BYTES // 4)
    for index in range(count):
        place = start + 8 + 2 * index
        cell = int.from_bytes(page[place : place + 2], "big")
        record = _record(_cell(page, cell, is_table, pages))
        if record is not None:
            yield record


def _cell(page: bytes, at: int, is_table: bool, pages: Pages) -> bytes:
    length, at = _varint(page, at)
    if is_table:
        _, at = _varint(page, at)
    if length > MOST_PAYLOAD_BYTES:
        return b""
    most = _TABLE_MOST if is_table else _INDEX_MOST
    if length <= most:
        return page[at : at + length]
    local = _LEAST + (length - _LEAST) % (PAGE_BYTES - 4)
    local = local if local <= most else _LEAST
    parts = [page[at : at + local]]
    left = length - local
    following = int.from_bytes(page[at + local : at + local + 4], "big")
    while left > 0:
        overflow = pages[following]
        if len(overflow) < PAGE_BYTES:
            return b""
        parts.append(overflow[4 : 4 + left])
        left -= PAGE_BYTES - 4
        following = int.from_bytes(overflow[:4], "big")
    return b"".join(parts)


def _record(payload: bytes) -> list[Value] | None:
    end, at = _varint(payload, 0)
    if not at <= end <= len(payload) or end > 64:  # eight columns need no longer header
        return None
    body = end
    values: list[Value] = []
    while at < end:
        kind, at = _varint(payload, at)
        size = _INTEGER_BYTES[kind] if kind <= 6 else 0 if kind < 12 else (kind - 12) // 2
        content = payload[body : body + size]
        body += size
        if kind >= 12:
            values.append(content)
        else:
            values.append({0: None, 8: 0, 9: 1}.get(kind, int.from_bytes(content, "big", signed=True)))
    return values if body == len(payload) else None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for step in range(8):
        byte = data[at + step] if at + step < len(data) else 0
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + step + 1
    return value << 8 | (data[at + 8] if at + 8 < len(data) else 0), at + 9
