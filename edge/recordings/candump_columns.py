"""candump's log form as columns, for blocks in which every line is a data frame as `candump -l` writes it.

    (1594172461.968006) can0 0C8#F000000000000000

Pure. A block with anything else is left to `edge.recordings.candump`, which reads it line by line.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.recordings.frame_columns import FrameColumns

_LONGEST_SECONDS: Final = 10
_LONGEST_HEX: Final = 16
_LAST_S: Final = np.iinfo(np.int64).max // 1_000_000_000 - 1
_DECIMALS: Final = 6
_ERROR_FLAG: Final = 0x20000000
_ID_MASK: Final = 0x1FFFFFFF
_NO_DIGITS: Final = -1
_MOST_CHANNELS: Final = 32
_MARGIN: Final = bytes(_LONGEST_HEX)
_WORD_BYTES: Final = 8
_MARKS: Final = np.frombuffer(b"  #\n", np.uint8)
_ABOVE_MARKS: Final = ord("$")

_KEPT: Final = np.tri(_WORD_BYTES + 1, _WORD_BYTES, -1, np.uint8) * np.uint8(0xFF)
_FIRST: Final = _KEPT.view("<u8")[:, 0]  # of eight bytes so many
_LAST: Final = np.ascontiguousarray(_KEPT[:, ::-1]).view("<u8")[:, 0]

Text = NDArray[np.uint8]
Words = NDArray[np.uint64]
Places = NDArray[np.intp]


def parse_block(block: bytes) -> FrameColumns | None:
    """Whole lines, the last one with its end; None where one of them is of another form."""
    text = np.frombuffer(_MARGIN + block + _MARGIN, np.uint8)
    marks = _marks(text)
    if marks is None:
        return None
    first, second, sharps, ends = marks
    starts = np.concatenate(([len(_MARGIN)], ends[:-1] + 1))
    dots = first - 2 - _DECIMALS
    seconds, digits, hexadecimals = dots - starts - 1, sharps - second - 1, ends - sharps - 1
    if not (
        np.all((seconds >= 1) & (seconds <= _LONGEST_SECONDS))
        and np.all((second > first + 1) & (second <= first + 1 + _WORD_BYTES))
        and np.all((digits == 3) | (digits == 8))
        and np.all((hexadecimals <= _LONGEST_HEX) & (hexadecimals % 2 == 0))
        and np.all(text[starts] == ord("("))
        and np.all(text[first - 1] == ord(")"))
        and np.all(text[dots] == ord("."))
    ):
        return None
    words = np.ndarray(len(text) - _WORD_BYTES + 1, "<u8", text, strides=(1,))  # from each place on
    t_us = _microseconds(words, dots, seconds)
    identifiers = _bytes(words[sharps - _WORD_BYTES] & _LAST[digits])
    payloads = _payloads(words, sharps + 1, hexadecimals)
    channels = _channels(words[first + 1] & _FIRST[second - first - 1])
    if t_us is None or identifiers is None or payloads is None or channels is None:
        return None
    arbitration_ids, is_extended = identifiers.view(">u4")[:, 0].astype(np.uint32), digits == 8
    if np.any(arbitration_ids[is_extended] & _ERROR_FLAG):
        return None
    return FrameColumns(
        t_us * 1000,
        *channels,
        arbitration_ids & np.uint32(_ID_MASK),
        is_extended,
        (hexadecimals // 2).astype(np.uint8),
        payloads,
        _written(text, starts + 1, seconds),
    )


def _marks(text: Text) -> NDArray[np.intp] | None:
    """The places of each line's two spaces, of its # and of its end; None where a line has others, or there is none."""
    found = np.flatnonzero(text[len(_MARGIN) : -len(_MARGIN)] < _ABOVE_MARKS) + len(_MARGIN)
    if not len(found) or len(found) % len(_MARKS):
        return None
    lines = found.reshape(-1, len(_MARKS))
    return np.ascontiguousarray(lines.T) if np.all(text[lines] == _MARKS) else None


def _pairs(digits: bytes) -> NDArray[np.int16]:
    """The number that two of these digits are, by them as one little-endian number. Two zero bytes count as 0."""
    values = np.full(256, _NO_DIGITS, np.int16)
    values[np.frombuffer(digits + digits.lower(), np.uint8)] = [*range(len(digits))] * 2
    values[0] = 0
    low, high = values[:, np.newaxis], values
    return np.where((low < 0) | (high < 0), np.int16(_NO_DIGITS), len(digits) * high + low).ravel()


_DECIMAL_PAIRS: Final = _pairs(b"0123456789")
_HEX_PAIRS: Final = _pairs(b"0123456789ABCDEF")


def _microseconds(words: Words, dots: Places, seconds: Places) -> NDArray[np.int64] | None:
    """The times, whose `seconds` digits stand before each dot; None where one has something else, or is too late."""
    below = _number(words[dots + _DECIMALS + 1 - _WORD_BYTES] & _LAST[_DECIMALS])
    whole = _number(words[dots - _WORD_BYTES] & _LAST[np.minimum(seconds, _WORD_BYTES)])
    if whole is not None and seconds.max() > _WORD_BYTES:
        above = _number(words[dots - 2 * _WORD_BYTES] & _LAST[np.maximum(seconds - _WORD_BYTES, 0)])
        whole = None if above is None else whole + above * 10**_WORD_BYTES
    if whole is None or below is None or whole.max() > _LAST_S:
        return None
    return whole * 1_000_000 + below


def _number(written: Words) -> NDArray[np.int64] | None:
    """The decimal numbers that are written there; None where there is something else."""
    pairs = _DECIMAL_PAIRS.take(written.view("<u2")).reshape(len(written), -1)
    if pairs.min() < 0:
        return None
    number: NDArray[np.int64] = pairs[:, 0].astype(np.int64)
    for place in range(1, pairs.shape[1]):
        number *= 100
        number += pairs[:, place]
    return number


def _payloads(words: Words, starts: Places, digits: Places) -> NDArray[np.uint8] | None:
    """Eight bytes of each frame, as many of them written as it has digits for; None where one has something else."""
    written = np.empty((len(starts), 2), "<u8")
    written[:, 0] = words[starts] & _FIRST[np.minimum(digits, _WORD_BYTES)]
    written[:, 1] = words[starts + _WORD_BYTES] & _FIRST[np.maximum(digits - _WORD_BYTES, 0)]
    return _bytes(written)


def _bytes(written: Words) -> NDArray[np.uint8] | None:
    """The bytes that are written there in hexadecimal; None where there is something else."""
    pairs = _HEX_PAIRS.take(written.view("<u2"))
    return None if pairs.min() < 0 else pairs.astype(np.uint8).reshape(len(written), -1)


def _channels(words: Words) -> tuple[list[str], Places] | None:
    """The names, in the order in which they come first, and each line's place among them."""
    places = np.zeros(len(words), np.intp)
    found: list[np.uint64] = []
    left = np.arange(len(words))
    while len(left):
        if len(found) == _MOST_CHANNELS:
            return None
        found.append(words[left[0]])
        places[left] = len(found) - 1
        left = left[words[left] != found[-1]]
    names = [word.tobytes().rstrip(b"\0").decode("latin-1") for word in found]
    return (names, places) if all(name.isascii() and name.isprintable() for name in names) else None


def _written(text: Text, starts: Places, seconds: Places) -> NDArray[np.bytes_] | None:
    """The times as they stand there, if all are equally long and none has a zero that is not needed."""
    width = int(seconds[0])
    if np.any(seconds != width) or (width > 1 and np.any(text[starts] == ord("0"))):
        return None
    width += 1 + _DECIMALS
    windows = np.lib.stride_tricks.sliding_window_view(text, width)  # rows of which are copied whole, which is fast
    return windows[starts].view(f"S{width}")[:, 0]
