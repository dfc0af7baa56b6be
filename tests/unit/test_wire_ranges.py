"""RangeSet behaves as a set of integers does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.ranges import RangeSet

numbers = st.sets(st.integers(0, 60))


@given(numbers, numbers)
def test_set_algebra_agrees_with_sets(left: set[int], right: set[int]) -> None:
    a, b = RangeSet.of(left), RangeSet.of(right)
    assert set((a | b).numbers()) == left | right
    assert set((a - b).numbers()) == left - right
    assert set((a & b).numbers()) == left & right
    assert (a == b) == (left == right)
    assert len(a) == len(left)
    assert all((number in a) == (number in left) for number in range(62))


@given(numbers, st.integers(0, 61))
def test_gaps_and_bounds(members: set[int], end: int) -> None:
    ranges = RangeSet.of(members)
    assert set(ranges.gaps(end).numbers()) == set(range(end)) - members
    assert set(ranges.below(end).numbers()) == {number for number in members if number < end}
    assert ranges.head == max(members, default=-1)
    assert ranges.upto == next(number for number in range(62) if number not in members) - 1


@given(numbers)
def test_ranges_are_minimal_and_survive_postgresql(members: set[int]) -> None:
    ranges = RangeSet.of(members)
    assert RangeSet.from_pg(ranges.to_pg()) == ranges
    assert RangeSet(tuple(pair) for pair in ranges.to_lists()) == ranges
    assert all(low <= high for low, high in ranges.ranges)
    assert all(after[0] - before[1] > 1 for before, after in zip(ranges.ranges, ranges.ranges[1:], strict=False))


def test_a_million_in_order_are_one_range() -> None:
    assert RangeSet([(0, 499_999), (500_000, 999_999)]).ranges == ((0, 999_999),)


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="ends before it begins"):
        RangeSet([(3, 2)])
