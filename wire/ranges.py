"""Sets of sequence numbers, held as ranges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

Range = tuple[int, int]

_BEYOND: Final = 2**63


class RangeSet:
    """An immutable set of integers, kept as sorted inclusive ranges that neither touch nor overlap.

    It stays small where the numbers are dense, which sequence numbers are: a million batches in order are one range.
    """

    __slots__ = ("_ranges",)

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        """Take inclusive ranges in any order, overlapping or not. ValueError if one ends before it begins."""
        self._ranges = tuple(_merged(sorted(ranges)))

    @classmethod
    def of(cls, numbers: Iterable[int]) -> RangeSet:
        """The set of the given numbers."""
        return cls((number, number) for number in numbers)

    @classmethod
    def from_pg(cls, text: str) -> RangeSet:
        """Read PostgreSQL's `int8multirange` text, whose ranges are half open, in order and apart: `{[0,5),[7,8)}`."""
        if text == "{}":
            return EMPTY
        found = cls()
        pairs = [part.split(",") for part in text[2:-2].split("),[")]
        found._ranges = tuple([(int(low), int(high) - 1) for low, high in pairs])
        return found

    def to_pg(self) -> str:
        """Write PostgreSQL's `int8multirange` text."""
        return "{" + ",".join(f"[{low},{high + 1})" for low, high in self._ranges) + "}"

    def to_lists(self) -> list[list[int]]:
        """The ranges as the wire writes them: `[[a, b], …]`, inclusive."""
        return [[low, high] for low, high in self._ranges]

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The ranges, inclusive and in order."""
        return self._ranges

    @property
    def head(self) -> int:
        """The highest member, -1 if there is none."""
        return self._ranges[-1][1] if self._ranges else -1

    @property
    def upto(self) -> int:
        """The highest number below and including which every number from 0 is a member, -1 if 0 is not."""
        return self._ranges[0][1] if self._ranges and self._ranges[0][0] == 0 else -1

    def below(self, end: int) -> RangeSet:
        """The members smaller than `end`."""
        return (
            self & RangeSet([(self._ranges[0][0], end - 1)])
            if self._ranges and self._ranges[0][0] < end
            else RangeSet()
        )

    def gaps(self, end: int) -> RangeSet:
        """What is missing from [0, `end`)."""
        return RangeSet([(0, end - 1)]) - self if end > 0 else RangeSet()

    def numbers(self) -> Iterator[int]:
        """Every member, in order."""
        for low, high in self._ranges:
            yield from range(low, high + 1)

    def numbers_down(self) -> Iterator[int]:
        """Every member, from the highest."""
        for low, high in reversed(self._ranges):
            yield from range(high, low - 1, -1)

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._ranges, (number, _BEYOND)) - 1
        return index >= 0 and number <= self._ranges[index][1]

    def __or__(self, other: RangeSet) -> RangeSet:
        if not other._ranges:
            return self
        if not self._ranges:
            return other
        return RangeSet((*self._ranges, *other._ranges))

    def __sub__(self, other: RangeSet) -> RangeSet:
        if not other._ranges or not self._ranges:
            return self
        return RangeSet(_difference(self._ranges, other._ranges))

    def __and__(self, other: RangeSet) -> RangeSet:
        return self - (self - other)

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self._ranges)

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and self._ranges == other._ranges

    def __hash__(self) -> int:
        return hash(self._ranges)

    def __repr__(self) -> str:
        return f"RangeSet({[list(pair) for pair in self._ranges]})"


def _merged(ranges: Iterable[Range]) -> Iterator[Range]:
    pending: Range | None = None
    for low, high in ranges:
        if high < low:
            raise ValueError(f"a range ends before it begins: [{low}, {high}]")
        if pending is None:
            pending = (low, high)
        elif low <= pending[1] + 1:
            pending = (pending[0], max(pending[1], high))
        else:
            yield pending
            pending = (low, high)
    if pending is not None:
        yield pending


def _difference(kept: tuple[Range, ...], taken: tuple[Range, ...]) -> Iterator[Range]:
    for start, high in kept:
        low = start
        index = max(bisect_left(taken, (low, -1)) - 1, 0)
        while low <= high and index < len(taken) and taken[index][0] <= high:
            cut_low, cut_high = taken[index]
            if cut_high >= low:
                if cut_low > low:
                    yield (low, cut_low - 1)
                low = cut_high + 1
            index += 1
        if low <= high:
            yield (low, high)


EMPTY: Final = RangeSet()
