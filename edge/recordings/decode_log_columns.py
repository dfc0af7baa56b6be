"""Decode whole logs as `edge.recordings.decode_log` does, to the letter, many frames at a time. Needs numpy."""

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.recordings.decode_columns import Block, ColumnDecoder, Lookup, Rows, SignalBits, by_identifier
from edge.recordings.decode_log import Channel, LogDecoder, seconds
from edge.recordings.frame_columns import NO_TIME, FrameColumns
from edge.recordings.known_frames import FrameKeys, KnownFrames
from edge.recordings.recording import Recording
from edge.recordings.recording_columns import read_columns

_NS_PER_S: Final = 1_000_000_000
_DECIMALS: Final = 6
_WORD_BYTES: Final = 8
_FRAMES_AT_ONCE: Final = 1000
_POWERS_OF_TEN: Final = 10 ** np.arange(1, 13)
_THREE_DIGITS: Final = np.array([list(f"{number:03d}".encode()) for number in range(1000)], np.uint8)

Texts = NDArray[np.object_]
Pieces = tuple[bytes, ...]
"""What a frame's time stands between: nothing before the first, and the lines but for their time."""


class ColumnLogDecoder:
    """Gives the lines of recordings; what is counted is in `log`."""

    def __init__(self, log: LogDecoder) -> None:
        self._log = log
        self._columns: dict[str, ColumnDecoder] = {}
        self._texts: dict[tuple[str, int], Lookup[bytes]] = {}
        self._numbers: dict[str, int] = {}
        self._known = KnownFrames()

    def lines(self, recording: Recording) -> Iterator[bytes]:
        """The text of all frames, some thousand frames at a time."""
        for columns in read_columns(recording):
            pieces = np.empty(len(columns), np.object_)
            pieces.fill(())
            keys = self._keys(columns)
            left = np.arange(len(columns)) if keys is None else self._recall(keys, pieces)
            for place, name in enumerate(columns.channels):
                rest = self._channel(name, columns, left[columns.channel[left] == place], keys, pieces)
                for row in rest.tolist():
                    pieces[row] = ("".join(self._log.frames([columns.frame(row)])).encode(),)
            yield from _joined(self._times(columns), pieces.tolist())

    def _keys(self, columns: FrameColumns) -> FrameKeys | None:
        """By which the frames are known; None where some are too long for that."""
        if columns.data.shape[1] != _WORD_BYTES:
            return None
        return FrameKeys(columns, [self._numbers.setdefault(name, len(self._numbers)) for name in columns.channels])

    def _recall(self, keys: FrameKeys, pieces: Texts) -> Rows:
        """Fills in the pieces of the frames that are known; the others' rows."""
        rows, found, values = self._known.recall(keys)
        pieces[rows] = found
        self._log.values += values
        is_left = np.ones(len(pieces), np.bool_)
        is_left[rows] = False
        return np.flatnonzero(is_left)

    def _channel(self, name: str, columns: FrameColumns, rows: Rows, keys: FrameKeys | None, pieces: Texts) -> Rows:
        """Fills in the pieces of these rows, all of one channel; the rows that are left to the decoder."""
        channel = self._log.channel(name)
        decoder = self._columns.get(name) or self._columns.setdefault(name, ColumnDecoder(channel.decoder))
        rest = [rows[:0]]
        for same in by_identifier(columns, rows):
            blocks, left = decoder.decode_same(columns, same)
            rest += left
            for block in blocks:
                pieces[block.rows] = found = self._pieces(channel, block)
                if keys is not None and block.is_whole:
                    self._known.learn(keys, block.rows, found, values=len(block.signals))
        return np.sort(np.concatenate(rest))

    def _pieces(self, channel: Channel, block: Block) -> Texts:
        """The pieces of each frame."""
        self._log.values += len(block.rows) * len(block.signals)
        after = [self._text(channel, signal).at(signal.bits) for signal in block.signals]
        return _column(zip(repeat(b"", len(block.rows)), *after, strict=True), len(block.rows))

    def _text(self, channel: Channel, signal: SignalBits) -> Lookup[bytes]:
        known = self._texts.get((channel.name, signal.index))
        if known is None:
            start, after_time, value = channel.starts()[signal.index], self._log.form.after_time, signal.value

            def make(bits: int) -> bytes:
                return after_time(start, value(bits)).encode()

            known = self._texts[channel.name, signal.index] = Lookup(signal.length, make)
        return known

    def _times(self, columns: FrameColumns) -> list[bytes]:
        """Each line's beginning."""
        before = self._log.form.before_time.encode()
        if columns.written is not None:
            return _behind(before, columns.written)
        return self._formatted(columns.t_ns, before)

    def _formatted(self, t_ns: NDArray[np.int64], before: bytes) -> list[bytes]:
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
            texts[rows] = _plain_times(whole[rows], below[rows] // 1000, width, before)
        found: list[bytes] = texts.tolist()
        return found


def _column(found: Iterable[Pieces], count: int) -> Texts:
    """One for each frame, of which numpy by itself would make a table."""
    return np.fromiter(found, np.object_, count)


def _joined(times: list[bytes], pieces: list[Pieces]) -> Iterator[bytes]:
    """The text of all, in parts that a processor's cache has room for."""
    for begin in range(0, len(times), _FRAMES_AT_ONCE):
        end = begin + _FRAMES_AT_ONCE
        yield b"".join(map(bytes.join, times[begin:end], pieces[begin:end]))


def _behind(before: bytes, times: NDArray[np.bytes_]) -> list[bytes]:
    """The texts, each behind this one."""
    if before:
        text = np.empty((len(times), len(before) + times.itemsize), np.uint8)
        text[:, : len(before)] = np.frombuffer(before, np.uint8)
        text[:, len(before) :] = times[:, np.newaxis].view(np.uint8)
        times = text.view(f"S{text.shape[1]}")[:, 0]
    found: list[bytes] = times.tolist()
    return found


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
