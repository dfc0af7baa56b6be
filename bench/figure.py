"""A figure and how it is measured: ours and its baseline in turns, in one run, and the medians of both."""

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Final

SIGNIFICANT_DIGITS: Final = 4
"""What a noisy machine can tell apart, and more."""


@dataclass(frozen=True, slots=True)
class Figure:
    """`ratio` is ours against the baseline, turned so that more than 1 is better than the baseline."""

    name: str
    value: float
    unit: str
    baseline: float | None
    ratio: float | None
    runs: int
    note: str

    def line(self) -> str:
        """As `python -m bench` prints it."""
        return json.dumps(asdict(self))


class Unavailable(Exception):
    """A figure that cannot be taken here; says what is missing."""


@dataclass(frozen=True, slots=True)
class Medians:
    """Of as many runs on either side."""

    ours: float
    baseline: float
    runs: int


def interleaved(ours: Callable[[], float], baseline: Callable[[], float], *, runs: int) -> Medians:
    """Run both in turns, ours first, so that a slow moment of the machine meets both. Each returns what it measured."""
    return _medians([(ours(), baseline()) for _ in range(runs)])


async def interleaved_async(
    ours: Callable[[], Awaitable[float]], baseline: Callable[[], Awaitable[float]], *, runs: int
) -> Medians:
    """The same for what waits."""
    return _medians([(await ours(), await baseline()) for _ in range(runs)])


def seconds(work: Callable[[], object]) -> float:
    """How long it took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def faster_is_better(name: str, rates: Medians, *, unit: str, note: str) -> Figure:
    """A figure of two rates."""
    return Figure(
        name, rounded(rates.ours), unit, rounded(rates.baseline), rounded(rates.ours / rates.baseline), rates.runs, note
    )


def smaller_is_better(name: str, sizes: Medians, *, unit: str, note: str) -> Figure:
    """A figure of two sizes or times."""
    return Figure(
        name, rounded(sizes.ours), unit, rounded(sizes.baseline), rounded(sizes.baseline / sizes.ours), sizes.runs, note
    )


def rounded(value: float) -> float:
    """To a few significant digits; a whole number where that is one."""
    short = float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    return int(short) if short.is_integer() else short


def _medians(measured: Sequence[tuple[float, float]]) -> Medians:
    return Medians(median(a for a, _ in measured), median(b for _, b in measured), len(measured))
