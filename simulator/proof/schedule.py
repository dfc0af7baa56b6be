"""Which fault comes when: drawn from a seed, so that a proof can be repeated. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from simulator.bad_link import BLACK_HOLE, CUT, DOUBLED, HALF_OPEN, Condition

Kind = Literal["kill", "link", "clock", "disk", "queue"]
KINDS: Final[tuple[Kind, ...]] = ("kill", "link", "clock", "disk", "queue")

SECONDS_A_FAULT: Final = 2.0
HOUR_S: Final = 3600.0
Y1970_S: Final = 100.0
Y2038_S: Final = 2.0**31 - 30.0
"""Half a minute before the seconds since 1970 need more than 31 bits."""

_CLOCKS: Final = ("an hour ahead", "an hour back", "1970", "2038", "right")
_LINKS: Final = {
    "is cut": CUT,
    "swallows everything": BLACK_HOLE,
    "swallows the answers": HALF_OPEN,
    "resets connections in mid-request": Condition(resets_after=300),
    "carries 500 bytes a second": Condition(bytes_per_s=500.0),
    "delivers requests twice": DOUBLED,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """`says` is for people. `lasts_s` is how long the link or the disk is bad."""

    at_s: float
    kind: Kind
    says: str
    lasts_s: float = 0.0
    link: Condition | None = None
    clock: str = ""


def draw_faults(dice: Random, seconds: float, kinds: Collection[Kind]) -> list[Fault]:
    """About one in two seconds, each kind at least once and about as often as any other, in their order."""
    if not kinds:
        return []
    rounds = max(round(seconds / SECONDS_A_FAULT / len(kinds)), 1)
    wanted = [kind for kind in KINDS if kind in kinds] * rounds
    dice.shuffle(wanted)
    times = sorted(dice.uniform(0.05, 0.95) * seconds for _ in wanted)
    return [_fault(dice, at_s, kind, seconds) for at_s, kind in zip(times, wanted, strict=True)]


def clock_offset_s(clock: str, now_s: float) -> float:
    """How far the agent's clock is to be from the right one, which says `now_s` (Unix s)."""
    offsets = {
        "right": 0.0,
        "an hour ahead": HOUR_S,
        "an hour back": -HOUR_S,
        "1970": Y1970_S - now_s,
        "2038": Y2038_S - now_s,
    }
    return offsets[clock]


def _fault(dice: Random, at_s: float, kind: Kind, seconds: float) -> Fault:
    lasts_s = dice.uniform(0.02, 0.1) * seconds
    if kind == "kill":
        return Fault(at_s, kind, "kill -9")
    if kind == "link":
        name = dice.choice(list(_LINKS))
        return Fault(at_s, kind, f"the link {name}, for {lasts_s:.1f} s", lasts_s, link=_LINKS[name])
    if kind == "clock":
        clock = dice.choice(_CLOCKS)
        return Fault(at_s, kind, f"the clock is set: {clock}", clock=clock)
    if kind == "disk":
        return Fault(at_s, kind, f"the disk is full, for {lasts_s:.1f} s", lasts_s)
    return Fault(at_s, kind, "the receiver's queue is wiped")
