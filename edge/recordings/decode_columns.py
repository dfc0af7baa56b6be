"""Decode whole recordings a column at a time, with numpy: the same numbers as the agent's decoder, many times as fast.

    decoder = ColumnDecoder(Decoder(databases))
    for columns in read_columns(open_recording(paths)):
        blocks, rest = decoder.decode(columns, np.arange(len(columns)))

Frames of one message that come the same way through its multiplexers make a block. What has something the matter, or
a protocol of several frames, is left to the decoder, frame by frame: `rest` names these rows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np
from cantools.database.can import Signal
from numpy.typing import NDArray

from edge.codegen import Reader, Value, value_of
from edge.decoder import Decoder
from edge.recordings.frame_columns import FrameColumns
from edge.recordings.message_layout import Way, place

_WORD_BYTES: Final = 8
_TABLE_BITS: Final = 16  # a signal of no more has few enough values to remember them all
_MOST_REMEMBERED: Final = 500_000
_EXTENDED: Final = 1 << 29

Rows = NDArray[np.intp]
Bits = NDArray[np.uint64]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SignalBits:
    """A signal of a block: its index, what makes a number of its bits, and these as unsigned integers."""

    index: int
    value: Value
    length: int
    bits: Bits


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of frames with the same signals, in the decoder's order."""

    rows: Rows
    signals: list[SignalBits]
    is_whole: bool
    """Whether the frames are as long as the message; they all are of one length."""


class Lookup(Generic[T]):
    """What `make` gives for the bits of a signal, which is asked once for each of them."""

    def __init__(self, length: int, make: Callable[[int], T]) -> None:
        self._make = make
        self._memo = _Memo(make)
        self._is_known = np.zeros(1 << length if length <= _TABLE_BITS else 0, np.bool_)
        self._table = np.empty(len(self._is_known), np.object_)

    def at(self, bits: Bits) -> list[T]:
        """For each of them."""
        if not len(self._table):
            if len(self._memo) > _MOST_REMEMBERED:
                self._memo.clear()
            return list(map(self._memo.__getitem__, bits.tolist()))
        places = bits.view(np.int64)
        is_known = self._is_known.take(places)
        if not is_known.all():
            for number in set(bits[~is_known].tolist()):
                self._table[number] = self._make(number)
                self._is_known[number] = True
        found: list[T] = self._table.take(places).tolist()
        return found


class _Memo(dict[int, T]):
    def __init__(self, make: Callable[[int], T]) -> None:
        self._make = make

    def __missing__(self, number: int) -> T:
        made = self[number] = self._make(number)
        return made


class ColumnDecoder:
    """One bus."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._values: dict[int, Value] = {}
        self._fitting: dict[int, bool] = {}

    def decode(self, columns: FrameColumns, rows: Rows) -> tuple[list[Block], Rows]:
        """The blocks of these frames, and the rows that are left to the decoder. Unknown identifiers are counted."""
        blocks: list[Block] = []
        rest = [rows[:0]]
        for same in by_identifier(columns, rows):
            found, left = self.decode_same(columns, same)
            blocks += found
            rest += left
        return blocks, np.sort(np.concatenate(rest))

    def decode_same(self, columns: FrameColumns, same: Rows) -> tuple[list[Block], list[Rows]]:
        """As `decode`, of frames that all have one identifier; what is left comes in parts."""
        arbitration_id, is_extended = int(columns.arbitration_id[same[0]]), bool(columns.is_extended[same[0]])
        reader = self._decoder.reader(arbitration_id, is_extended)
        if reader is not None and self._fits(reader):
            return self._of_message(reader, columns, same)
        if reader is not None or arbitration_id in self._decoder.reserved_ids:
            return [], [same]
        self._decoder.count_unknown(arbitration_id, is_extended, frames=len(same))
        return [], []

    def _of_message(self, reader: Reader, columns: FrameColumns, same: Rows) -> tuple[list[Block], list[Rows]]:
        """Each length by itself. What is too long is left, and the first that is short, so that it is named in turn."""
        lengths, too_short = columns.length[same], self._decoder.counts.too_short
        blocks: list[Block] = []
        rest: list[Rows] = []
        for length in np.flatnonzero(np.bincount(lengths)).tolist():
            here = same[lengths == length]
            if length > reader.length or (length < reader.length and reader.name not in too_short):
                rest.append(here)
                continue
            found = list(self._blocks(reader, length, _Payloads(columns.data[here]), here, rest))
            if length < reader.length:
                too_short[reader.name] += sum(len(block.rows) for block in found)
            blocks += found
        return blocks, rest

    def _blocks(
        self, reader: Reader, length: int, payloads: "_Payloads", rows: Rows, rest: list[Rows]
    ) -> Iterator[Block]:
        """Frames of one message and length, by the way that they come through its multiplexers."""
        ahead = [(reader.way_into(length), np.arange(len(rows)))]
        while ahead:
            way, here = ahead.pop()
            if way.faults:
                rest.append(rows[here])
            elif not way.pending:
                picked = payloads.at(here)
                signals = [
                    SignalBits(reader.index_of(signal), self._value(signal), signal.length, picked.bits(signal))
                    for signal in way.signals
                ]
                yield Block(rows[here], signals, length == reader.length)
            else:
                ahead += self._branches(way, payloads, here)

    def _branches(self, way: Way, payloads: "_Payloads", here: Rows) -> Iterator[tuple[Way, Rows]]:
        selector, _ = way.pending[0]
        value = self._value(selector)
        found, which = np.unique(payloads.at(here).bits(selector), return_inverse=True)
        for number, bits in enumerate(found.tolist()):
            yield way.choose(value(bits)), here[which == number]

    def _fits(self, reader: Reader) -> bool:
        """Whether each signal lies within eight bytes, which is what is taken at once."""
        known = self._fitting.get(id(reader))
        if known is None:
            places = [place(signal) for signal in reader.signals if signal.length]
            known = self._fitting[id(reader)] = all(last - first < _WORD_BYTES for first, last, _ in places)
        return known

    def _value(self, signal: Signal) -> Value:
        known = self._values.get(id(signal))
        if known is None:
            known = self._values[id(signal)] = value_of(signal)
        return known


class _Payloads:
    """The payloads of one message, and any signal's bits in them."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self._data = np.ascontiguousarray(data)
        self._words: dict[tuple[int, str], Bits] = {}

    def at(self, rows: Rows) -> "_Payloads":
        return self if len(rows) == len(self._data) else _Payloads(self._data[rows])

    def bits(self, signal: Signal) -> Bits:
        """As codegen computes them."""
        first, last, shift = place(signal)
        begin = max(min(first, self._data.shape[1] - _WORD_BYTES), 0)
        word = self._word(begin, signal.byte_order)
        if signal.byte_order == "little_endian":
            shift += 8 * (first - begin)
        else:
            shift += 8 * (begin + _WORD_BYTES - 1 - last)
        return (word >> np.uint64(shift)) & np.uint64((1 << signal.length) - 1)

    def _word(self, begin: int, byte_order: str) -> Bits:
        """Eight bytes from `begin` on as a whole number."""
        known = self._words.get((begin, byte_order))
        if known is None:
            bytes_ = np.ascontiguousarray(self._data[:, begin : begin + _WORD_BYTES])
            order = "<u8" if byte_order == "little_endian" else ">u8"
            known = self._words[begin, byte_order] = bytes_.view(order)[:, 0].astype(np.uint64)
        return known


def by_identifier(columns: FrameColumns, rows: Rows) -> list[Rows]:
    """Rows of the same identifier together, in the order of each one's first."""
    keys = columns.arbitration_id[rows] | np.where(columns.is_extended[rows], np.uint32(_EXTENDED), np.uint32(0))
    if len(keys) and keys.max() <= np.iinfo(np.uint16).max:
        keys = keys.astype(np.uint16)  # which numpy sorts by their digits, ten times as fast
    order = np.argsort(keys, kind="stable")
    bounds = np.flatnonzero(np.diff(keys[order])) + 1
    groups = np.split(rows[order], bounds) if len(rows) else []
    return sorted(groups, key=lambda group: int(group[0]))
