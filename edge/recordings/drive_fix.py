"""What the readers of drives share: a position in a drive, and the count of what they left out."""

from dataclasses import dataclass, field
from typing import NamedTuple

NAMED_PROBLEMS = 20
"""So many problems are named; the rest is only counted."""


class DriveFix(NamedTuple):
    """A position, `t_ms` after the drive's start."""

    t_ms: int
    lat: float
    lon: float
    alt: float | None = None  # metres above mean sea level
    speed: float | None = None  # km/h
    course: float | None = None  # degrees true
    hdop: float | None = None
    sats: int | None = None


@dataclass(slots=True)
class Problems:
    """What was left out of a drive: how much, and what the first of it was."""

    count: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, problem: str) -> None:
        """Count `problem`, and keep its text if it is among the first."""
        self.count += 1
        if len(self.named) < NAMED_PROBLEMS:
            self.named.append(problem)

    def summary(self) -> str:
        """One line for a person: the number and the first problem."""
        if not self.count:
            return "nothing in it was bad"
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        return f"left out: {self.named[0]}{more}"
