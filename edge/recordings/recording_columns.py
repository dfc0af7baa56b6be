"""Go through a recording in columns, many frames at a time: in the order of the file, counted as `Recording` counts.

Needs numpy, which the agent in a vehicle does without. candump's logs are also read in columns, other formats by the
readers that there are.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from edge.recordings.candump import read_candump, read_lines
from edge.recordings.candump_columns import parse_block
from edge.recordings.frame_columns import NO_TIME, FrameColumns, columns_of, in_columns
from edge.recordings.log_file import RecordingCounts
from edge.recordings.recording import Recording, until_cut

_BLOCK_BYTES: Final = 1 << 19  # some ten thousand frames: what they need stays in memory that is used again


def read_columns(recording: Recording) -> Iterator[FrameColumns]:
    """All of its frames; none of the columns is empty."""
    recording.restart()
    for path, read in recording.sources:
        if read is read_candump and path.suffix.lower() != ".gz":
            for columns in until_cut(path, _candump(path, recording.counts), recording.counts):
                _count(recording, columns)
                yield columns
        else:
            yield from in_columns(recording.frames(path, read))


def _candump(path: Path, counts: RecordingCounts) -> Iterator[FrameColumns]:
    number = 1
    for block in _blocks(path):
        columns = parse_block(block)
        if columns is not None:
            yield columns
            number += len(columns)
        else:
            lines = (f"{line}\n" for line in block[:-1].decode("utf-8", "replace").split("\n"))
            if frames := list(read_lines(path, lines, counts, first=number)):
                yield columns_of(frames)
            number += block.count(b"\n")


def _blocks(path: Path) -> Iterator[bytes]:
    """Whole lines, each with an end."""
    begun = b""
    with path.open("rb") as file:
        while read := file.read(_BLOCK_BYTES):
            end = read.rfind(b"\n") + 1
            if end:
                yield b"".join((begun, memoryview(read)[:end]))
                begun = b""
            begun += read[end:]
    if begun:
        yield begun + b"\n"


def _count(recording: Recording, columns: FrameColumns) -> None:
    counts, times = recording.counts, columns.t_ns[columns.t_ns != NO_TIME]
    counts.frames += len(columns)
    if len(times):
        before = times[0] if recording.last_ns is None else recording.last_ns
        counts.backwards += int(np.count_nonzero(np.diff(times, prepend=before) < 0))
        counts.negative += int(np.count_nonzero(times < 0))
        recording.last_ns = int(times[-1])
