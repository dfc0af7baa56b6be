"""Decode whole logs as `edge.recordings.decode_log` does, to the letter, many frames at a time. Needs numpy."""

from collections.abc import Iterator
from itertools import repeat
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.recordings.decode_columns import Block, ColumnDecoder, Lookup, SignalBits
from edge.recordings.decode_log import Channel, LogDecoder, seconds
from edge.recordings.frame_columns import NO_TIME
from edge.recordings.recording import Recording
from edge.recordings.recording_columns import read_columns

_NS_PER_S: Final = 1_000_000_000
_DECIMALS: Final = 6
_POWERS_OF_TEN: Final = 10 ** np.arange(1, 13)
_THREE_DIGITS: Final = np.array([list(f"{number:03d}".encode()) for number in range(1000)], np.uint8)


class ColumnLogDecoder:
    """Gives the lines of recordings; what is counted is in `log`."""

    def __init__(self, log: LogDecoder) -> None:
        self._log = log
        self._columns: dict[str, ColumnDecoder] = {}
        self._texts: dict[tuple[str, int], Lookup[bytes]] = {}

    def lines(self, recording: Recording) -> Iterator[bytes]:
        """The text of all frames, some hundred thousand frames at a time."""
        for columns in read_columns(recording):
            texts = np.full(len(columns), b"", np.object_)
            times = self._times(columns.t_ns)
            for place, name in enumerate(columns.channels):
                channel = self._log.channel(name)
                decoder = self._columns.get(name) or self._columns.setdefault(name, ColumnDecoder(channel.decoder))
                blocks, rest = decoder.decode(columns, np.flatnonzero(columns.channel == place))
                for block in blocks:
                    texts[block.rows] = self._block(channel, block, times[block.rows].tolist())
                for row in rest.tolist():
                    texts[row] = "".join(self._log.frames([columns.frame(row)])).encode()
            yield b"".join(texts.tolist())

    def _block(self, channel: Channel, block: Block, times: list[bytes]) -> NDArray[np.object_]:
        """The lines of each frame: its time before that of each of its signals."""
        self._log.values += len(times) * len(block.signals)
        after = [self._text(channel, signal).at(signal.bits) for signal in block.signals]
        lines = np.empty(len(times), np.object_)
        lines[:] = list(map(bytes.join, times, zip(repeat(b"", len(times)), *after, strict=True)))
        return lines

    def _text(self, channel: Channel, signal: SignalBits) -> Lookup[bytes]:
        known = self._texts.get((channel.name, signal.index))
        if known is None:
            start, after_time, value = channel.starts()[signal.index], self._log.form.after_time, signal.value

            def make(bits: int) -> bytes:
                return after_time(start, value(bits)).encode()

            known = self._texts[channel.name, signal.index] = Lookup(signal.length, make)
        return known

    def _times(self, t_ns: NDArray[np.int64]) -> NDArray[np.object_]:
        """Each line's beginning."""
        form = self._log.form
        texts = np.empty(len(t_ns), np.object_)
        is_plain = (t_ns >= 0) & (t_ns % 1000 == 0)
        for row in np.flatnonzero(~is_plain).tolist():
            t = None if t_ns[row] == NO_TIME else int(t_ns[row])
            texts[row] = form.time(seconds(t)).encode()
        whole, below = np.divmod(t_ns, _NS_PER_S)
        widths = np.searchsorted(_POWERS_OF_TEN, whole, side="right") + 1
        for width in np.flatnonzero(np.bincount(widths[is_plain])).tolist():
            rows = np.flatnonzero(is_plain & (widths == width))
            texts[rows] = _plain_times(whole[rows], below[rows] // 1000, width, form.before_time.encode())
        return texts


def _plain_times(whole: NDArray[np.int64], microseconds: NDArray[np.int64], width: int, before: bytes) -> list[bytes]:
    """As `seconds` writes them, of times whose whole seconds all have `width` digits."""
    text = np.empty((len(whole), len(before) + width + 1 + _DECIMALS), np.uint8)
    text[:, : len(before)] = np.frombuffer(before, np.uint8)
    _write_digits(whole, text[:, len(before) : len(before) + width])
    text[:, len(before) + width] = ord(".")
    _write_digits(microseconds, text[:, -_DECIMALS:])
    found: list[bytes] = text.view(f"S{text.shape[1]}")[:, 0].tolist()
    return found


def _write_digits(numbers: NDArray[np.int64], text: NDArray[np.uint8]) -> None:
    """As many as there is room for, three at a time."""
    for end in range(text.shape[1], 0, -3):
        begin = max(end - 3, 0)
        numbers, three = np.divmod(numbers, 1000)
        text[:, begin:end] = _THREE_DIGITS[three, 3 - (end - begin) :]
