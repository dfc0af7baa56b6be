"""Decode whole logs as `edge.recordings.decode_log` does, to the letter, many frames at a time. Needs numpy."""

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.recordings.decode_columns import Block, ColumnDecoder, Lookup, Rows, SignalBits, by_identifier
from edge.recordings.decode_log import Channel, LogDecoder, seconds
from edge.recordings.frame_columns import NO_TIME, FrameColumns
from edge.recordings.recording import Recording
from edge.recordings.recording_columns import read_columns

_NS_PER_S: Final = 1_000_000_000
_DECIMALS: Final = 6
_WORD_BYTES: Final = 8
_FRAMES_AT_ONCE: Final = 2000
_MOST_OF_ONE: Final = 1024  # payloads of one identifier: of more, most come once
_MOST_REPEATS: Final = 100_000
_POWERS_OF_TEN: Final = 10 ** np.arange(1, 13)
_THREE_DIGITS: Final = np.array([list(f"{number:03d}".encode()) for number in range(1000)], np.uint8)

Texts = NDArray[np.object_]
Pieces = tuple[bytes, ...]


class ColumnLogDecoder:
    """Gives the lines of recordings; what is counted is in `log`."""

    def __init__(self, log: LogDecoder) -> None:
        self._log = log
        self._columns: dict[str, ColumnDecoder] = {}
        self._texts: dict[tuple[str, int], Lookup[bytes]] = {}
        self._repeats: dict[tuple[str, int, bool, int], Repeats] = {}
        self._room = _MOST_REPEATS

    def lines(self, recording: Recording) -> Iterator[bytes]:
        """The text of all frames, some thousand frames at a time."""
        for columns in read_columns(recording):
            pieces = _column(repeat((), len(columns)), len(columns))
            for place, name in enumerate(columns.channels):
                rest = self._channel(name, columns, np.flatnonzero(columns.channel == place), pieces)
                for row in rest.tolist():
                    pieces[row] = ("".join(self._log.frames([columns.frame(row)])).encode(),)
            yield from _joined(self._times(columns), pieces.tolist())

    def _channel(self, name: str, columns: FrameColumns, rows: Rows, pieces: Texts) -> Rows:
        """Fills in the pieces of these rows, all of one channel; the rows that are left to the decoder."""
        channel = self._log.channel(name)
        decoder = self._columns.get(name) or self._columns.setdefault(name, ColumnDecoder(channel.decoder))
        rest = [rows[:0]]
        for same in by_identifier(columns, rows):
            repeats = self._repeats_of(name, columns, same)
            if repeats is not None:
                same = self._repeat(repeats, same, pieces)
            if not len(same):
                continue
            blocks, left = decoder.decode_same(columns, same)
            rest += left
            for block in blocks:
                pieces[block.rows] = found = self._pieces(channel, block)
                if repeats is not None:
                    self._room -= repeats.learn(block.rows, found.tolist(), most=self._room)
        return np.sort(np.concatenate(rest))

    def _repeats_of(self, name: str, columns: FrameColumns, same: Rows) -> "Repeats | None":
        """What is remembered of frames with this identifier; None where they do not repeat, or are long."""
        lengths = columns.length[same]
        length = int(lengths[0])
        if columns.data.shape[1] != _WORD_BYTES or np.any(lengths != length):
            return None
        key = (name, int(columns.arbitration_id[same[0]]), bool(columns.is_extended[same[0]]), length)
        repeats = self._repeats.get(key) or self._repeats.setdefault(key, Repeats())
        if repeats.is_varied:
            self._room += repeats.forget()
            return None
        repeats.words = columns.data.view(np.uint64)[:, 0]
        return repeats

    def _repeat(self, repeats: "Repeats", same: Rows, pieces: Texts) -> Rows:
        """Fills in the pieces of frames whose payload is known; the others' rows."""
        found = repeats.find(same)
        others = same[:0]
        if None in found:
            is_known = np.array([known is not None for known in found], np.bool_)
            same, others = same[is_known], same[~is_known]
        known = list(filter(None, found))
        self._log.values += sum(map(len, known)) - len(known)
        pieces[same] = _column(known, len(known))
        return others

    def _pieces(self, channel: Channel, block: Block) -> Texts:
        """What each frame's time stands between: nothing, and the lines but for their time."""
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


class Repeats:
    """The payloads that frames of one identifier and length have had, and what is written of each."""

    def __init__(self) -> None:
        self.is_varied = False
        self.words: NDArray[np.uint64] = np.empty(0, np.uint64)  # of all frames that are looked at
        self._pieces: dict[int, Pieces] = {}

    def find(self, rows: Rows) -> list[Pieces | None]:
        """For each of them; None where its payload is new."""
        return list(map(self._pieces.get, self.words[rows].tolist()))

    def learn(self, rows: Rows, pieces: list[Pieces], *, most: int) -> int:
        """Remember these; how many were new. Where that are too many, they do not repeat."""
        before = len(self._pieces)
        fresh = dict(zip(self.words[rows].tolist(), pieces, strict=True))
        if before + len(fresh) > _MOST_OF_ONE:
            self.is_varied = True
        elif len(fresh) <= most:
            self._pieces |= fresh
        return len(self._pieces) - before

    def forget(self) -> int:
        """How many there were."""
        count = len(self._pieces)
        self._pieces.clear()
        return count


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
