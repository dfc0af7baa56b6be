"""Frames as columns, for those who read a whole recording: numpy does for thousands what a loop does for one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.frame import Frame

AT_ONCE: Final = 100_000
NO_TIME: Final = np.iinfo(np.int64).min
"""Where a recording has no time."""


@dataclass(frozen=True, slots=True)
class FrameColumns:
    """Frames in the order of the recording. `data` has a row for each, zeros behind its `length` bytes."""

    t_ns: NDArray[np.int64]
    channels: Sequence[str]
    channel: NDArray[np.intp]  # the place in `channels`
    arbitration_id: NDArray[np.uint32]
    is_extended: NDArray[np.bool_]
    length: NDArray[np.uint8]
    data: NDArray[np.uint8]
    written: NDArray[np.bytes_] | None = None
    """The times as a log has them, where that is how `edge.recordings.decode_log.seconds` writes them."""

    def __len__(self) -> int:
        return len(self.t_ns)

    def frame(self, row: int) -> Frame:
        """One of them."""
        t_ns = int(self.t_ns[row])
        return Frame(
            None if t_ns == NO_TIME else t_ns,
            self.channels[self.channel[row]],
            int(self.arbitration_id[row]),
            bool(self.is_extended[row]),
            self.data[row, : self.length[row]].tobytes(),
        )


def columns_of(frames: Sequence[Frame]) -> FrameColumns:
    """The frames of a list, of which there is at least one."""
    times, names, identifiers, extended, payloads = zip(*frames, strict=True)
    channels = list(dict.fromkeys(names))
    places = {name: place for place, name in enumerate(channels)}
    lengths = np.fromiter(map(len, payloads), np.uint8, len(frames))
    width = 8 if lengths.max() <= 8 else 64
    data = np.frombuffer(b"".join([payload.ljust(width, b"\0") for payload in payloads]), np.uint8)
    return FrameColumns(
        np.array([NO_TIME if t_ns is None else t_ns for t_ns in times], np.int64),
        channels,
        np.fromiter(map(places.__getitem__, names), np.intp, len(frames)),
        np.array(identifiers, np.uint32),
        np.array(extended, np.bool_),
        lengths,
        data.reshape(len(frames), width),
    )


def in_columns(frames: Iterable[Frame]) -> Iterable[FrameColumns]:
    """All frames, some at a time."""
    rest = iter(frames)
    while some := list(islice(rest, AT_ONCE)):
        yield columns_of(some)
