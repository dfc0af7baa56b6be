"""What a check found, and what to do about it."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` was looked at. A note may be as it should be; a problem keeps data from the cloud, and has an `advice`."""

    what: str
    level: Level
    found: str
    advice: str | None = None


def ok(what: str, found: str) -> Finding:
    return Finding(what, "ok", found)


def note(what: str, found: str, advice: str | None = None) -> Finding:
    return Finding(what, "note", found, advice)


def problem(what: str, found: str, advice: str) -> Finding:
    return Finding(what, "problem", found, advice)
