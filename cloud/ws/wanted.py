"""Which signals a subscription wants: by name, or by patterns that look at `Message.Signal` alone."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Self

_MAGIC = re.compile(r"[*?\[]")
_DECORATED = re.compile(r"(?:[^:@]*:)?(?P<plain>[^:@]*\.[^:@]*)(?:@[0-9A-Fa-f]+)?(?::(?:min|max|mean|count))?")
"""`bus:Message.Signal@SA:mean`, all but the middle optional."""


@dataclass(frozen=True, slots=True)
class Wanted:
    names: frozenset[str]
    patterns: tuple[str, ...] = ()

    @classmethod
    def of(cls, wishes: Iterable[str]) -> Self:
        """A wish with `*`, `?` or `[` is a pattern (fnmatch, case counts)."""
        every = frozenset(wishes)
        patterns = tuple(sorted(filter(_MAGIC.search, every)))
        return cls(every - set(patterns), patterns)

    def has(self, name: str) -> bool:
        return name in self.names or any(_matches(name, pattern) for pattern in self.patterns)


@lru_cache(maxsize=100_000)
def _matches(name: str, pattern: str) -> bool:
    decorated = _DECORATED.fullmatch(name)
    return fnmatchcase(decorated["plain"] if decorated else name, pattern)
