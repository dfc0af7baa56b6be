"""What became of everything that was seen, and whether that is all of it. Pure.

seen = kept + filtered + dropped, each with its cause. Kept is what the receiver has, counted there. The agent says what
it saw and filtered, and which batches it called stored; every such batch is at the receiver or was declared lost.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

IN_MEMORY: Final = "in memory when killed"

Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Tally:
    """What one run of the agent has done so far. Samples, but for what says otherwise."""

    frames: tuple[int, ...] = ()
    """Taken from each bus."""
    seen: int = 0
    kept: int = 0
    unchanged: int = 0
    deadband: int = 0
    min_interval: int = 0
    not_finite: int = 0
    not_selected: int = 0
    aggregated: int = 0
    waiting: int = 0
    fixes: int = 0

    @property
    def filtered(self) -> dict[str, int]:
        """By cause."""
        causes = ("unchanged", "deadband", "min_interval", "not_finite", "not_selected", "aggregated")
        return {cause: getattr(self, cause) for cause in causes}


@dataclass(frozen=True, slots=True)
class Content:
    """How much is in a batch."""

    samples: int
    fixes: int


@dataclass(slots=True)
class Life:
    """One run of the agent, from its start to its end."""

    streams: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    """The last that was heard of it."""
    stored: dict[Key, Content] = field(default_factory=dict)
    """What it called stored."""
    was_killed: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """What the receiver has in the end."""

    rows: Mapping[Key, Content]
    lost: Mapping[Key, str]
    """What was declared lost, with the cause."""
    repeats: int = 0
    """Batches that came again and were taken once."""
    duplicated: int = 0
    """Batches whose content is there twice."""


@dataclass(frozen=True, slots=True)
class Account:
    """The end of a proof. `problems` says in words why it is none."""

    played: int
    taken: int
    seen: int
    kept: int
    filtered: Mapping[str, int]
    dropped: Mapping[str, int]
    fixes_seen: int
    fixes_kept: int
    fixes_dropped: int
    stored: int
    arrived: int
    declared: int
    repeats: int
    lost: int
    duplicated: int
    lives: int
    problems: Sequence[str]

    @property
    def is_proven(self) -> bool:
        """Whether nothing is lost, nothing is there twice and everything adds up."""
        return not self.problems


def draw_up(played: int, lives: Sequence[Life], received: Received) -> Account:
    """Hold what the agent said of each of its lives against what the receiver has of it."""
    problems: list[str] = []
    dropped: Counter[str] = Counter()
    filtered: Counter[str] = Counter()
    kept = fixes_kept = fixes_dropped = lost = 0
    for number, life in enumerate(lives, 1):
        rows = [row for (stream, _), row in received.rows.items() if stream in life.streams]
        gone = {key: content for key, content in life.stored.items() if key not in received.rows}
        missing = [key for key in gone if key not in received.lost]
        lost += len(missing)
        for key in gone.keys() - missing:
            dropped[received.lost[key]] += gone[key].samples
        arrived = sum(row.samples for row in rows)
        unkept = life.tally.kept + life.tally.waiting - arrived - sum(content.samples for content in gone.values())
        fixes = sum(row.fixes for row in rows)
        unkept_fixes = life.tally.fixes - fixes - sum(content.fixes for content in gone.values())
        dropped[IN_MEMORY] += max(unkept, 0) if life.was_killed else 0
        problems += _contradictions(f"run {number}", life.was_killed, unkept, unkept_fixes)
        filtered.update(life.tally.filtered)
        kept += arrived
        fixes_kept += fixes
        fixes_dropped += max(life.tally.fixes - fixes, 0)
    seen, taken = sum(life.tally.seen for life in lives), sum(sum(life.tally.frames) for life in lives)
    problems += _conclusions(played, taken, lost, received.duplicated)
    if not problems and seen != kept + sum(filtered.values()) + sum(dropped.values()):
        problems.append(f"{seen:,} samples were seen, and what became of them does not add up to as many")
    stored = {key for life in lives for key in life.stored}
    return Account(
        played=played,
        taken=taken,
        seen=seen,
        kept=kept,
        filtered={cause: count for cause, count in filtered.items() if count},
        dropped={cause: count for cause, count in dropped.items() if count},
        fixes_seen=sum(life.tally.fixes for life in lives),
        fixes_kept=fixes_kept,
        fixes_dropped=fixes_dropped,
        stored=len(stored),
        arrived=len(received.rows),
        declared=len(_declared(stored, received)),
        repeats=received.repeats,
        lost=lost,
        duplicated=received.duplicated,
        lives=len(lives),
        problems=problems,
    )


def _contradictions(name: str, was_killed: bool, unkept: int, unkept_fixes: int) -> list[str]:
    """`unkept` is what the agent kept and nobody has: it may have been in its memory when it was killed."""
    found = []
    for what, count in (("samples", unkept), ("fixes", unkept_fixes)):
        if count < 0:
            found.append(f"{name}: {-count:,} more {what} arrived than the agent kept")
        elif count and not was_killed:
            found.append(f"{name}: {count:,} {what} that the agent kept are nowhere, and it was not killed")
    return found


def _conclusions(played: int, taken: int, lost: int, duplicated: int) -> list[str]:
    found = []
    if lost:
        found.append(f"{lost:,} batches that the agent called stored never arrived and were not declared lost")
    if duplicated:
        found.append(f"{duplicated:,} batches are there twice")
    if taken != played:
        found.append(f"{played:,} frames were played, and the agent took {taken:,}")
    return found


def _declared(stored: Collection[Key], received: Received) -> list[Key]:
    return [key for key in stored if key not in received.rows and key in received.lost]
