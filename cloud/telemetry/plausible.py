"""Which times can be: what a clock says that was never set, or that runs ahead, is kept aside. Pure.

Late is welcome, however late it is: only what lies before the first year in which anybody could have recorded it here,
or in the future of the moment when it arrived, cannot be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from cloud.telemetry.fact_parts import Bools, counts_of, rows_where
from cloud.telemetry.facts import Facts, Ints
from cloud.telemetry.spans import Span

EARLIEST_MS: Final = 1_262_304_000_000  # 2010-01-01
MOST_AHEAD_MS: Final = 300_000

Cause = Literal["before_2010", "ahead"]


@dataclass(frozen=True)
class Aside:
    """Rows that are kept aside for one cause; at least one."""

    cause: Cause
    facts: Facts


def part_by_time(facts: Facts, received_ms: int) -> tuple[Facts, tuple[Aside, ...]]:
    """What can be, and what cannot have been recorded when it says, having arrived at `received_ms`."""
    latest_ms = received_ms + MOST_AHEAD_MS
    span = facts.span_ms
    if span is None or (span[0] >= EARLIEST_MS and span[1] <= latest_ms):
        return facts, ()
    parts: list[tuple[Cause, Facts]] = [
        ("before_2010", rows_where(facts, lambda t_ms: t_ms < EARLIEST_MS)),
        ("ahead", rows_where(facts, lambda t_ms: t_ms > latest_ms)),
    ]
    possible = rows_where(facts, lambda t_ms: (t_ms >= EARLIEST_MS) & (t_ms <= latest_ms))
    return possible, tuple(Aside(cause, part) for cause, part in parts if any(counts_of(part)))


def without_spans(facts: Facts, erased: Sequence[Span]) -> Facts:
    """What lies in none of these half-open spans (Unix ms)."""
    span = facts.span_ms
    if span is None or not any(low <= span[1] and span[0] < high for low, high in erased):
        return facts

    def outside(t_ms: Ints) -> Bools:
        inside = np.zeros(len(t_ms), np.bool_)
        for low, high in erased:
            inside |= (t_ms >= low) & (t_ms < high)
        return ~inside

    return rows_where(facts, outside)
