"""Open a CAN recording of any format and go through its frames, in the order of the file, with their recorded times.

candump (log files and the console's form), MF4, GVRET CSV, and by python-can ASC, BLF, TRC, its own CSV and SQLite;
text also gzipped. Channels are named as the log names them; MF4, GVRET and python-can give numbers. A recording is
played as far as it is good; `counts` says what was not.
"""

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from edge.frame import Frame
from edge.lean_imports import python_can
from edge.recordings.candump import read_candump
from edge.recordings.gvret import read_gvret
from edge.recordings.log_file import UNREADABLE_BYTES, RecordingCounts, RecordingError, checked_time, open_binary
from edge.recordings.mf4 import check_mf4, read_mf4

ReadFrames = Callable[[Path, RecordingCounts], Iterator[Frame]]
Item = TypeVar("Item")

_NMEA = re.compile(rb"\$[A-Z]{2,5}[A-Z0-9]*,[ -~]*\*[0-9A-Fa-f]{2}\s")
_CANDUMP = re.compile(
    rb"^\s*(\([^)\n]*\)\s+)?\S+\s+([0-9A-Fa-f]{3,8}#|([RT]X\s+\S\s+\S\s+)?[0-9A-Fa-f]{3,8}\s+\[\s*\d+\]|ERROR)", re.M
)
_GVRET = re.compile(rb"\s*Time ?Stamp,ID,Extended,", re.I)
_PYTHON_CAN_FORMATS = frozenset({".asc", ".blf", ".csv", ".db", ".trc"})
_BEGINNING = 1 << 16


class Recording:
    """One file, or several in a row. It can be gone through again and again; `counts` begins anew each time."""

    def __init__(self, sources: Sequence[tuple[Path, ReadFrames]]) -> None:
        self.counts = RecordingCounts()
        self.last_ns: int | None = None
        self.name = ", ".join(path.name for path, _ in sources)
        self._sources = sources

    @property
    def sources(self) -> Sequence[tuple[Path, ReadFrames]]:
        """Each file and what reads it."""
        return self._sources

    def __iter__(self) -> Iterator[Frame]:
        self.restart()
        for path, read in self._sources:
            yield from self.frames(path, read)

    def restart(self) -> None:
        """Count from the beginning."""
        self.counts = RecordingCounts()
        self.last_ns = None

    def frames(self, path: Path, read: ReadFrames) -> Iterator[Frame]:
        """Those of one file, counted."""
        counts, last_ns = self.counts, self.last_ns
        for frame in until_cut(path, read(path, counts), counts):
            counts.frames += 1
            t_ns = frame[0]
            if t_ns is not None:
                if last_ns is not None and t_ns < last_ns:
                    counts.backwards += 1
                if t_ns < 0:
                    counts.negative += 1
                last_ns = t_ns
            yield frame
        self.last_ns = last_ns


def open_recording(paths: Path | Iterable[Path]) -> Recording:
    """One recording, or several as one. Raises RecordingError where a file is not there or is no CAN recording."""
    return Recording([(path, _reader_of(path)) for path in ([paths] if isinstance(paths, Path) else paths)])


def is_nmea_log(path: Path) -> bool:
    """Whether the file holds a GPS receiver's sentences and no CAN frames. Raises RecordingError."""
    beginning = _beginning(path)
    return bool(_NMEA.search(beginning)) and not _CANDUMP.search(beginning)


def _reader_of(path: Path) -> ReadFrames:
    beginning = _beginning(path)
    suffix = Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    if not beginning.strip():
        raise RecordingError(path, "is empty")
    if suffix == ".mf4":
        check_mf4(path)
        return read_mf4
    if _GVRET.match(beginning):
        return read_gvret
    if suffix in _PYTHON_CAN_FORMATS:
        return _read_with_python_can
    if _CANDUMP.search(beginning):
        return read_candump
    if _NMEA.search(beginning):
        raise RecordingError(path, "holds a GPS receiver's sentences, no CAN frames")
    raise RecordingError(
        path, "is no recording of a known format: candump, MF4, GVRET CSV, ASC, BLF, TRC, CSV or SQLite"
    )


def _beginning(path: Path) -> bytes:
    beginning = b""
    try:
        with open_binary(path) as file:
            while len(beginning) < _BEGINNING and (more := file.read1(_BEGINNING)):
                beginning += more
    except UNREADABLE_BYTES as error:
        if not beginning:
            raise RecordingError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return beginning


def until_cut(path: Path, items: Iterable[Item], counts: RecordingCounts) -> Iterator[Item]:
    """All that can be read of a file; an end that cannot be is noted."""
    before = counts.frames
    try:
        yield from items
    except Exception as error:
        if not isinstance(error, _unreadable()):
            raise
        counts.cut.append(f"{path.name}: cannot be read on after {counts.frames - before:,} frames: {error}")


def _unreadable() -> tuple[type[Exception], ...]:
    """What the libraries raise at the end of a file that was cut, or at bytes that are none of their format."""
    import sqlite3

    can = python_can()
    own = (ArithmeticError, LookupError, ValueError, struct.error)
    return (*UNREADABLE_BYTES, *own, can.CanError, can.io.blf.BLFParseError, sqlite3.Error)


def _read_with_python_can(path: Path, counts: RecordingCounts) -> Iterator[Frame]:
    can = python_can()
    with can.LogReader(path) as reader:
        missing = reader.file_size - path.stat().st_size if isinstance(reader, can.BLFReader) else 0
        if missing > 0 and path.suffix.lower() != ".gz":  # python-can would stop there without a word
            counts.cut.append(f"{path.name}: cut, {missing:,} bytes are missing at its end")
        for message in reader:
            if message.is_error_frame:
                counts.error += 1
            elif message.is_remote_frame:
                counts.remote += 1
            else:
                channel = "" if message.channel is None else str(message.channel)
                t_ns = checked_time(round(message.timestamp * 1_000_000) * 1000)
                yield Frame(t_ns, channel, message.arbitration_id, message.is_extended_id, bytes(message.data))
