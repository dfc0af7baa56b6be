"""Which of several uplinks is taken, cheapest first; when one that failed is tried again. Pure; times and dice come in.

A way that failed is left alone for a pause that doubles, with full jitter, so that a dead one costs no time at each
request; when the pause is over the next request tries it first. So the agent comes back to the cheapest by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

PAUSE_FIRST_S: Final = 15.0
PAUSE_LIMIT_S: Final = 300.0


@dataclass(slots=True)
class _State:
    failures: int = 0
    not_before_s: float = float("-inf")


class WayChoice:
    """`count` ways, known by their place in the order of their cost."""

    def __init__(self, count: int, dice: Random) -> None:
        self._states = [_State() for _ in range(count)]
        self._dice = dice

    def order(self, now_s: float, usable: Sequence[bool]) -> list[int]:
        """Which ways to try for a request, one after the other; `usable` are those that may be now.

        If all of them failed lately, they are all tried all the same: it is for the caller to wait between requests.
        """
        ways = [place for place, is_usable in enumerate(usable) if is_usable]
        ready = [place for place in ways if self._states[place].not_before_s <= now_s]
        return ready or ways

    def worked(self, place: int) -> None:
        """The cloud answered over it."""
        self._states[place] = _State()

    def failed(self, place: int, now_s: float) -> None:
        """It did not."""
        state = self._states[place]
        ceiling_s = min(PAUSE_FIRST_S * 2 ** min(state.failures, 20), PAUSE_LIMIT_S)
        state.failures += 1
        state.not_before_s = now_s + self._dice.uniform(ceiling_s / 2, ceiling_s)
