"""What is written of the frames that come again and again, by their source and payload."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.recordings.frame_columns import FrameColumns

Rows = NDArray[np.intp]

_PLACE_BITS: Final = 16
_MOST_OF_ONE: Final = 1024  # payloads of one source: of more, most come once
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hashing: what differs comes to the highest bits
_SPREAD_SOURCE: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_EXTENDED: Final = np.uint64(29)  # the bits of a source, from here on: whether the identifier is extended
_LENGTH: Final = np.uint64(30)
_CHANNEL: Final = np.uint64(34)
_IS_SOURCE: Final = np.uint64(1 << 63)  # nothing that is remembered has none


class FrameKeys:
    """Of each frame its payload as a word, and its source: channel, identifier and length."""

    def __init__(self, columns: FrameColumns, channels: Sequence[int]) -> None:
        """`channels` has a number for each of the columns' channels. The frames have eight bytes at most."""
        sources = columns.is_extended.astype(np.uint64) << _EXTENDED
        sources |= columns.arbitration_id
        sources |= columns.length.astype(np.uint64) << _LENGTH
        sources |= (np.array(channels, np.uint64) << _CHANNEL | _IS_SOURCE)[columns.channel]
        self.sources = sources
        self.words = columns.data.view(np.uint64)[:, 0]


class KnownFrames:
    """Remembers each frame's pieces in the one place that its key leads to, where another may take its turn.

    A source whose payloads do not repeat is varied, and soon left alone.
    """

    def __init__(self) -> None:
        self._words = np.zeros(1 << _PLACE_BITS, np.uint64)
        self._sources = np.zeros(1 << _PLACE_BITS, np.uint64)
        self._pieces = np.empty(1 << _PLACE_BITS, np.object_)
        self._values = np.zeros(1 << _PLACE_BITS, np.int64)
        self._shift = np.uint64(64 - _PLACE_BITS)
        self._learned: Counter[int] = Counter()
        self._varied: list[int] = []

    def recall(self, keys: FrameKeys) -> tuple[Rows, NDArray[np.object_], int]:
        """The rows of the frames that are known, the pieces of each, and how many values they have together."""
        words, sources = keys.words, keys.sources
        rows = np.flatnonzero(~np.isin(sources, np.array(self._varied, np.uint64)))
        if len(rows) < len(words):
            words, sources = words[rows], sources[rows]
        places = self._places(words, sources)
        is_known = (self._words.take(places) == words) & (self._sources.take(places) == sources)
        known = places[is_known]
        return rows[is_known], self._pieces.take(known), int(self._values.take(known).sum())

    def learn(self, keys: FrameKeys, rows: Rows, pieces: NDArray[np.object_], *, values: int) -> None:
        """Remember what these frames of one source have, which is so many values each."""
        source = int(keys.sources[rows[0]])
        if source in self._varied:
            return
        words, sources = keys.words[rows], keys.sources[rows]
        self._learned[source] += len(set(words.tolist()))
        if self._learned[source] > _MOST_OF_ONE:
            self._varied.append(source)
            return
        places = self._places(words, sources)
        self._words[places], self._sources[places] = words, sources  # the last one of a place holds, in each array
        self._pieces[places], self._values[places] = pieces, values

    def _places(self, words: NDArray[np.uint64], sources: NDArray[np.uint64]) -> Rows:
        return ((words * _SPREAD + sources * _SPREAD_SOURCE) >> self._shift).view(np.int64)
