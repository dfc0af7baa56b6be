"""What every reader of recordings shares: opening the file, and counting what is in it."""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from typing import Final

from edge.errors import EdgeError

UNREADABLE_BYTES: Final = (OSError, EOFError, zlib.error)
"""What comes of a file that cannot be read, or not be unpacked, to its end."""

_LAST_NS: Final = 2**63 - 1  # in the year 2262


class RecordingError(EdgeError):
    """A recording that cannot be played at all."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


@dataclass(slots=True)
class RecordingCounts:
    """What was read so far. Lines or entries of a log = frames + remote + error + comments + bad."""

    frames: int = 0
    remote: int = 0
    error: int = 0
    comments: int = 0  # empty lines and headers too
    bad: int = 0  # no frame, such as a line that was cut
    backwards: int = 0  # frames with a time before that of the frame ahead of them; they are delivered
    negative: int = 0  # frames with a time below zero; they are delivered
    first_bad: str | None = None  # where the first bad line is, and its text
    cut: list[str] = field(default_factory=list)  # files whose end could not be read, and why

    def bad_line(self, path: Path, number: int, text: str) -> None:
        self.bad += 1
        if self.first_bad is None:
            self.first_bad = f"{path.name}, line {number}: {text.strip()[:80]!r}"

    def problems(self) -> Iterator[str]:
        """What there was besides good frames in their order, for the person who plays the recording."""
        told = (
            (self.remote, "remote frames"),
            (self.error, "error frames"),
            (self.backwards, "frames with a time before that of the frame ahead of them"),
            (self.negative, "frames with a time below zero"),
            (self.bad, "lines that are no frame"),
        )
        yield from (f"{count:,} {what}" for count, what in told if count)
        if self.first_bad is not None:
            yield f"the first line that is no frame: {self.first_bad}"
        yield from self.cut


def checked_time(t_ns: int) -> int:
    """The time, which is within some 292 years of 1970. Raises ValueError."""
    if abs(t_ns) > _LAST_NS:
        raise ValueError("a time beyond the year 2262")
    return t_ns


def open_binary(path: Path) -> BufferedIOBase:
    """The file's bytes, unpacked where it is gzipped. `read1` gives all there is before the place where it is cut."""
    return gzip.GzipFile(path) if path.suffix.lower() == ".gz" else path.open("rb")


def text_lines(path: Path) -> Iterator[str]:
    """The lines of a text file; a line with bytes that are no UTF-8 comes with replacement characters."""
    with open_binary(path) as file:
        for line in file:
            yield line.decode("utf-8", "replace")
