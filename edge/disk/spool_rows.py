"""The rows of the spool that decide what is sent and what is lost: each carries a checksum over its whole content.

A bit that flips in a payload is seen, for payloads have checksums of their own; one in these rows would turn batches
into settled ones, or into ones that never were.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from wire.ranges import RangeSet


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One stream: what was drawn, what is settled, what left the disk."""

    stream: str
    next: int
    done: RangeSet
    evicted: RangeSet

    def columns(self) -> tuple[object, ...]:
        """As it is stored."""
        return _sealed(self.stream, self.next, _text(self.done), _text(self.evicted))


@dataclass(frozen=True, slots=True)
class LostRow:
    """What of a stream was declared lost for one cause."""

    stream: str
    cause: str
    seqs: RangeSet

    def columns(self) -> tuple[object, ...]:
        """As it is stored."""
        return _sealed(self.stream, self.cause, _text(self.seqs))


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """Batches of a stream, `first` to `last`, that wait for the truth about the clock.

    They were recorded in boot `boot_id` while the system clock was `offset_ns` ahead of boot time.
    """

    stream: str
    first: int
    last: int
    boot_id: str
    offset_ns: int

    def columns(self) -> tuple[object, ...]:
        """As it is stored."""
        return _sealed(self.stream, self.first, self.last, self.boot_id, self.offset_ns)

    def is_continued_by(self, other: "WaitingRow") -> bool:
        """Whether one row says both."""
        return other.first == self.last + 1 and (other.stream, other.boot_id, other.offset_ns) == (
            self.stream,
            self.boot_id,
            self.offset_ns,
        )


def read_stream_row(columns: Sequence[object]) -> StreamRow | None:
    """None if it is not what was stored."""
    match columns:
        case [str(stream), int(following), str(done), str(evicted), crc] if _is_whole(columns[:-1], crc):
            return StreamRow(stream, following, text_ranges(done), text_ranges(evicted))
    return None


def read_lost_row(columns: Sequence[object]) -> LostRow | None:
    """None if it is not what was stored."""
    match columns:
        case [str(stream), str(cause), str(seqs), crc] if _is_whole(columns[:-1], crc):
            return LostRow(stream, cause, text_ranges(seqs))
    return None


def read_waiting_row(columns: Sequence[object]) -> WaitingRow | None:
    """None if it is not what was stored."""
    match columns:
        case [str(stream), int(first), int(last), str(boot), int(offset), crc] if _is_whole(columns[:-1], crc):
            return WaitingRow(stream, first, last, boot, offset)
    return None


def text_ranges(text: str) -> RangeSet:
    """Ranges as the file has them: `[[0,41],[43,50]]`."""
    return RangeSet((low, high) for low, high in json.loads(text))


def _sealed(*columns: object) -> tuple[object, ...]:
    return (*columns, _checksum(columns))


def _is_whole(columns: Sequence[object], crc: object) -> bool:
    return crc == _checksum(columns)


def _checksum(columns: Sequence[object]) -> int:
    return zlib.crc32(json.dumps(list(columns)).encode())


def _text(seqs: RangeSet) -> str:
    return json.dumps(seqs.to_lists(), separators=(",", ":"))
