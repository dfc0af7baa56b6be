"""How much of ingest one vehicle may have at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import hdrs

from cloud.problem import Problem

AT_ONCE: Final = 8


class Turns:
    def __init__(self) -> None:
        self._busy: dict[str, int] = {}

    @contextmanager
    def of(self, vehicle: str) -> Iterator[None]:
        """Raises Problem 429: a vehicle that asks faster than it is answered must not crowd out the others."""
        if not self.take(vehicle):
            raise Problem(
                429,
                f"{AT_ONCE} requests of '{vehicle}' are being served; wait for their answers",
                headers={hdrs.RETRY_AFTER: "1"},
            )
        try:
            yield
        finally:
            self.give_back(vehicle)

    def take(self, vehicle: str) -> bool:
        """Whether there is a turn for it now, which is to be given back."""
        busy = self._busy.get(vehicle, 0)
        if busy >= AT_ONCE:
            return False
        self._busy[vehicle] = busy + 1
        return True

    def give_back(self, vehicle: str) -> None:
        busy = self._busy.pop(vehicle, 0) - 1
        if busy > 0:
            self._busy[vehicle] = busy
