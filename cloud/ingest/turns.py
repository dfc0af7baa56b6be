"""How much of ingest one vehicle may have at once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import hdrs

from cloud.problem import Problem

AT_ONCE: Final = 8


class Turns:
    def __init__(self) -> None:
        self._busy: Counter[str] = Counter()

    @contextmanager
    def of(self, vehicle: str) -> Iterator[None]:
        """Raises Problem 429: a vehicle that asks faster than it is answered must not crowd out the others."""
        if self._busy[vehicle] >= AT_ONCE:
            raise Problem(
                429,
                f"{AT_ONCE} requests of '{vehicle}' are being served; wait for their answers",
                headers={hdrs.RETRY_AFTER: "1"},
            )
        self._busy[vehicle] += 1
        try:
            yield
        finally:
            self._busy[vehicle] -= 1
            if not self._busy[vehicle]:
                del self._busy[vehicle]
