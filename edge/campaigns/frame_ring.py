"""The newest raw frames of all buses, in memory: what captures are taken from, and the agent's black box.

Bounded in bytes; the oldest go first. Frames are packed in portions of some thousand, by column and compressed: about
ten bytes each, against two hundred as objects. Frames are numbered from 0 in the order in which they came.
"""

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

import zstandard

from edge.frame import Frame

PORTION: Final = 2_000
_LEVEL: Final = 1


class FrameRing:
    """At most `max_bytes` of packed frames, and up to PORTION that are not packed yet."""

    def __init__(self, max_bytes: int) -> None:
        self.bytes = 0
        self._max_bytes = max_bytes
        self._packed: deque[_Portion] = deque()
        self._open: list[Frame] = []
        self._open_from = 0
        self._channels: dict[str, int] = {}

    @property
    def first(self) -> int:
        """The number of the oldest frame that is held."""
        return self._packed[0].first if self._packed else self._open_from

    @property
    def next(self) -> int:
        """The number that the next frame gets."""
        return self._open_from + len(self._open)

    def add(self, frames: Sequence[Frame], now_ns: int) -> None:
        """Take what was received; `now_ns` stands in where a list comes without times."""
        if frames and frames[0].t_ns is None:
            frames = [frame._replace(t_ns=now_ns) if frame.t_ns is None else frame for frame in frames]
        self._open += frames
        if len(self._open) >= PORTION:
            self._pack()

    def number_at(self, t_ns: int) -> int:
        """From where on frames may be as young as `t_ns`."""
        for portion in self._packed:
            if portion.last_ns >= t_ns:
                return portion.first
        return self._open_from

    def take(self, number: int) -> tuple[int, Sequence[Frame]]:
        """Some frames from `number` on, or from the oldest that is held, and the number to go on with."""
        number = max(number, self.first)
        if number >= self._open_from:
            return self.next, self._open[number - self._open_from :]
        portion = next(part for part in self._packed if part.first + part.size > number)
        return portion.first + portion.size, self._unpack(portion)[number - portion.first :]

    def __iter__(self) -> Iterator[Sequence[Frame]]:
        """Everything that is held now, in portions; frames that come meanwhile are left out."""
        number, end = self.first, self.next
        while number < end:
            begin = max(number, self.first)
            number, frames = self.take(begin)
            yield frames[: max(end - begin, 0)]

    def _pack(self) -> None:
        frames, self._open = self._open, []
        times, names, ids, extended, payloads = zip(*frames, strict=True)
        for name in set(names) - self._channels.keys():
            self._channels[name] = len(self._channels)
        columns = b"".join(
            (
                array("q", times).tobytes(),
                array("I", ids).tobytes(),
                bytes(extended),
                bytes(map(self._channels.__getitem__, names)),
                bytes(map(len, payloads)),
                *payloads,
            )
        )
        packed = zstandard.ZstdCompressor(level=_LEVEL).compress(columns)
        self._packed.append(_Portion(self._open_from, len(frames), max(times), packed))
        self._open_from += len(frames)
        self.bytes += len(packed)
        while self.bytes > self._max_bytes and self._packed:
            self.bytes -= len(self._packed.popleft().packed)

    def _unpack(self, portion: "_Portion") -> list[Frame]:
        size, columns = portion.size, zstandard.ZstdDecompressor().decompress(portion.packed)
        times, ids = array("q", columns[: 8 * size]), array("I", columns[8 * size : 12 * size])
        extended, names, lengths = (columns[n * size : (n + 1) * size] for n in (12, 13, 14))
        channels = list(self._channels)
        return [
            Frame(t_ns, channels[name], arbitration_id, bool(is_extended), columns[begin:end])
            for t_ns, name, arbitration_id, is_extended, (begin, end) in zip(
                times, names, ids, extended, pairwise(accumulate(lengths, initial=15 * size)), strict=True
            )
        ]


class _Portion(NamedTuple):
    first: int
    size: int
    last_ns: int
    packed: bytes
