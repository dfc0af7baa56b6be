"""candump's log form as columns, for blocks in which every line is a data frame as `candump -l` writes it.

    (1594172461.968006) can0 0C8#F000000000000000

Pure. A block with anything else is left to `edge.recordings.candump`, which reads it line by line.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.recordings.frame_columns import FrameColumns

_LONGEST_SECONDS: Final = 10
_LONGEST_CHANNEL: Final = 8
_LONGEST_HEX: Final = 16
_DECIMALS: Final = 6
_ERROR_FLAG: Final = 0x20000000
_ID_MASK: Final = 0x1FFFFFFF
_NO_DIGIT: Final = 0xFF
_MOST_CHANNELS: Final = 32
_MARGIN: Final = bytes(_LONGEST_HEX)

_HEX: Final = np.full(256, _NO_DIGIT, np.uint8)
_HEX[np.frombuffer(b"0123456789ABCDEF", np.uint8)] = np.arange(16)
_HEX[np.frombuffer(b"abcdef", np.uint8)] = np.arange(10, 16)


def parse_block(block: bytes) -> FrameColumns | None:
    """Whole lines, the last one with its end; None where one of them is of another form."""
    text = np.frombuffer(_MARGIN + block + _MARGIN, np.uint8)
    ends = np.flatnonzero(text == ord("\n"))
    starts = np.concatenate(([len(_MARGIN)], ends[:-1] + 1))
    sharps = np.flatnonzero(text == ord("#"))
    spaces = np.flatnonzero(text == ord(" "))
    if not len(ends) or len(sharps) != len(ends) or len(spaces) != 2 * len(ends):
        return None
    first, second = spaces[::2], spaces[1::2]
    dots = first - 2 - _DECIMALS
    seconds, digits, hexadecimals = dots - starts - 1, sharps - second - 1, ends - sharps - 1
    if not (
        np.all((seconds >= 1) & (seconds <= _LONGEST_SECONDS))
        and np.all((second > first + 1) & (second <= first + 1 + _LONGEST_CHANNEL))
        and np.all((digits == 3) | (digits == 8))
        and np.all((hexadecimals >= 0) & (hexadecimals <= _LONGEST_HEX) & (hexadecimals % 2 == 0))
        and np.all(text[starts] == ord("("))
        and np.all(text[first - 1] == ord(")"))
        and np.all(text[dots] == ord("."))
    ):
        return None
    values = _HEX[text]
    whole = _number(values, dots, seconds, _LONGEST_SECONDS, 10)
    below = _number(values, first - 1, np.full_like(first, _DECIMALS), _DECIMALS, 10)
    identifiers = _number(values, sharps, digits, 8, 16)
    channels = _channels(text, first + 1, second - first - 1)
    payloads = _first(_windows(values, _LONGEST_HEX)[sharps + 1], hexadecimals)
    is_extended = digits == 8
    if whole is None or below is None or identifiers is None or channels is None or payloads.max() == _NO_DIGIT:
        return None
    if np.any(identifiers[is_extended] & _ERROR_FLAG):
        return None
    return FrameColumns(
        whole * 1_000_000_000 + below * 1000,
        *channels,
        (identifiers & _ID_MASK).astype(np.uint32),
        is_extended,
        (hexadecimals // 2).astype(np.uint8),
        np.bitwise_or(payloads[:, ::2] << np.uint8(4), payloads[:, 1::2], dtype=np.uint8),
    )


def _windows(text: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """What follows on each place of the text. Rows that are picked from it are copied whole, which is fast."""
    return np.lib.stride_tricks.sliding_window_view(text, width)


def _number(
    values: NDArray[np.uint8], ends: NDArray[np.intp], counts: NDArray[np.intp], most: int, base: int
) -> NDArray[np.int64] | None:
    """Numbers of `counts` digits each, whose values stand before the ends; None where one is no digit."""
    most = min(most, int(counts.max()))
    digits = np.ascontiguousarray(_windows(values, most)[ends - most].T)
    if counts.min() < most:
        digits[np.arange(most, 0, -1)[:, np.newaxis] > counts] = 0
    if digits.max() >= base:
        return None
    number: NDArray[np.int64] = digits[0].astype(np.int64)
    for digit in digits[1:]:
        number *= base
        number += digit
    return number


def _first(rows: NDArray[np.uint8], counts: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Zeros behind the first `counts` of each row, whose width is a multiple of eight."""
    width = rows.shape[1]
    kept = np.where(np.arange(width) < np.arange(width + 1)[:, np.newaxis], np.uint8(0xFF), np.uint8(0))
    words = rows.view(np.uint64)
    words &= kept.view(np.uint64)[counts]
    return rows


def _channels(
    text: NDArray[np.uint8], starts: NDArray[np.intp], counts: NDArray[np.intp]
) -> tuple[list[str], NDArray[np.intp]] | None:
    """The names, in the order in which they come first, and each line's place among them."""
    words = _first(_windows(text, _LONGEST_CHANNEL)[starts], counts).view(np.uint64)[:, 0]
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
