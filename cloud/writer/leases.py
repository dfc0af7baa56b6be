"""Which shards this writer writes. A lease saves work; that nothing is stored twice is the ledger's doing."""

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import structlog

from cloud.errors import BusDown

TTL_MS: Final = 4_000
RENEW_S: Final = 1.0
_NONE: Final[frozenset[int]] = frozenset()

log = structlog.get_logger()


class LeaseKeeper(Protocol):
    async def lease(self, shard: int, owner: str, *, ttl_ms: int) -> bool: ...
    async def release(self, shard: int, owner: str) -> None: ...
    async def attend(self, shards: Iterable[int], owner: str, *, ttl_ms: int) -> int: ...
    async def leave(self, shards: Iterable[int], owner: str) -> None: ...


class Leases:
    """As many shards as are fair among the writers that live.

    `held` may be read from. `leaving` are above this writer's share: it has them until it says that nothing of them is
    in its hands any more, so that their next writer finds nothing half done.
    """

    def __init__(
        self, bus: LeaseKeeper, shards: Sequence[int], *, owner: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bus = bus
        self._shards = frozenset(shards)
        self._owner = owner
        self._clock = clock
        self._granted = _NONE
        self._granted_until_s = -math.inf
        self._turn = asyncio.Lock()
        self.leaving = _NONE
        self.changed = asyncio.Event()

    @property
    def held(self) -> frozenset[int]:
        """None once the leases have run out, as after a long sleep or without Redis: they may be another's."""
        return self._granted - self.leaving if self._clock() < self._granted_until_s else _NONE

    async def run(self, until: asyncio.Event) -> None:
        """Takes what is free and due to this writer, and renews what it has."""
        while not until.is_set():
            try:
                await self.renew()
            except BusDown as error:
                log.warning("leases not renewed", problem=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), RENEW_S)

    async def renew(self) -> None:
        """Raises BusDown."""
        async with self._turn:
            await self._renew()

    async def give_back(self, shards: frozenset[int]) -> None:
        """Of those that are leaving. Raises BusDown."""
        async with self._turn:
            for shard in sorted(shards & self.leaving):
                self._granted -= {shard}
                self.leaving -= {shard}
                await self._bus.release(shard, self._owner)

    async def release(self) -> None:
        """All, so that the next writer needs not wait until they run out."""
        async with self._turn:
            granted, self._granted, self.leaving = self._granted, _NONE, _NONE
            calls = [self._bus.release(shard, self._owner) for shard in sorted(granted)]
            for problem in await asyncio.gather(
                self._bus.leave(self._shards, self._owner), *calls, return_exceptions=True
            ):
                if isinstance(problem, BusDown):
                    log.warning("leases not given back", problem=str(problem))
                elif problem is not None:
                    raise problem

    async def _renew(self) -> None:
        began_s = self._clock()
        writers = await self._bus.attend(self._shards, self._owner, ttl_ms=TTL_MS)
        share = fair_share(len(self._shards), writers)
        granted = await self._ask_for(self._granted)
        others = list(self._shards - self._granted)
        random.shuffle(others)
        while others and len(granted) < share:
            wanted = share - len(granted)
            granted |= await self._ask_for(others[:wanted])
            del others[:wanted]
        before = self.held
        self._granted, self._granted_until_s = granted, began_s + TTL_MS / 1000
        self.leaving = frozenset(sorted(granted)[share:])
        if self.held != before:
            log.info("shards", gained=sorted(self.held - before), lost=sorted(before - self.held), writers=writers)
            self.changed.set()

    async def _ask_for(self, shards: Sequence[int] | frozenset[int]) -> frozenset[int]:
        """Those that were granted; none whose Redis is down. Raises BusDown where all are."""
        asked = sorted(shards)
        answers = await asyncio.gather(
            *(self._bus.lease(shard, self._owner, ttl_ms=TTL_MS) for shard in asked), return_exceptions=True
        )
        problems = [answer for answer in answers if isinstance(answer, BaseException)]
        for problem in problems:
            if not isinstance(problem, BusDown) or len(problems) == len(asked):
                raise problem
        return frozenset(shard for shard, own in zip(asked, answers, strict=True) if own is True)


def fair_share(shards: int, writers: int) -> int:
    """How many shards one of so many writers may have; together they have room for all."""
    return math.ceil(shards / max(1, writers))
