"""What is written of the frames that come again and again, by their source and payload."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.recordings.frame_columns import FrameColumns

Pieces = tuple[bytes, ...]
"""What a frame's time stands between: nothing before the first, and the lines but for their time."""

_MOST_OF_ONE: Final = 1024  # payloads of one source: of more, most come once
_MOST: Final = 100_000
_WORD_BYTES: Final = 8
_EXTENDED: Final = 29  # the bits of a source, from here on: whether the identifier is extended
_LENGTH: Final = 30
_CHANNEL: Final = 34
_IS_SOURCE: Final = np.uint64(1 << 63)  # so that a key does not end with a zero, which numpy would cut off


class FrameKeys:
    """Of each frame its source, which is channel, identifier and length, and with its payload a key."""

    def __init__(self, columns: FrameColumns, channels: Sequence[int]) -> None:
        """`channels` has a number for each of the columns' channels. The frames have eight bytes at most."""
        sources = columns.is_extended.astype(np.uint64) << np.uint64(_EXTENDED)
        sources |= columns.arbitration_id
        sources |= columns.length.astype(np.uint64) << np.uint64(_LENGTH)
        sources |= (np.array(channels, np.uint64) << np.uint64(_CHANNEL))[columns.channel] | _IS_SOURCE
        self.sources = sources
        self._keys = np.empty((len(columns), 2), "<u8")
        self._keys[:, 0] = columns.data.view("<u8")[:, 0]
        self._keys[:, 1] = sources

    def of(self, rows: NDArray[np.intp]) -> list[bytes]:
        """The keys of these frames, which are in order."""
        keys = self._keys if len(rows) == len(self._keys) else self._keys[rows]
        found: list[bytes] = keys.view(f"S{2 * _WORD_BYTES}")[:, 0].tolist()
        return found


class KnownFrames:
    """Remembers the pieces of so many frames. A source whose payloads do not repeat is varied, and soon left alone."""

    def __init__(self) -> None:
        self._pieces: dict[bytes, Pieces] = {}
        self._keys: dict[int, list[bytes]] = {}
        self._varied: list[int] = []

    def are_varied(self, sources: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of the frames it is not worth looking for."""
        return np.isin(sources, np.array(self._varied, np.uint64))

    def find(self, keys: Iterable[bytes]) -> Iterator[Pieces | None]:
        """The pieces of each; None where it is new."""
        return map(self._pieces.get, keys)

    def learn(self, keys: FrameKeys, rows: NDArray[np.intp], pieces: NDArray[np.object_]) -> None:
        """Remember what these frames of one source have, if there is room."""
        source = int(keys.sources[rows[0]])
        if source in self._varied:
            return
        fresh = dict(zip(keys.of(rows), pieces.tolist(), strict=True))
        known = self._keys.setdefault(source, [])
        if len(known) + len(fresh) > _MOST_OF_ONE:
            self._varied.append(source)
            for key in self._keys.pop(source):
                self._pieces.pop(key, None)
        elif len(self._pieces) + len(fresh) <= _MOST:
            known += fresh
            self._pieces |= fresh
