"""Which shards this writer writes. A lease saves work; that nothing is stored twice is the ledger's doing."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from cloud.errors import BusDown

TTL_MS: Final = 4_000
RENEW_S: Final = 1.0

log = structlog.get_logger()


class LeaseKeeper(Protocol):
    async def lease(self, shard: int, owner: str, *, ttl_ms: int) -> bool: ...
    async def release(self, shard: int, owner: str) -> None: ...


class Leases:
    """`held` is what was last granted. It stays while Redis is down: nobody else can get it then."""

    def __init__(self, bus: LeaseKeeper, shards: Sequence[int], *, owner: str) -> None:
        self._bus = bus
        self._shards = shards
        self._owner = owner
        self.held: frozenset[int] = frozenset()
        self.changed = asyncio.Event()

    async def run(self, until: asyncio.Event) -> None:
        """Takes what is free and renews what is held."""
        while not until.is_set():
            try:
                await self.renew()
            except BusDown as error:
                log.warning("leases not renewed", problem=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), RENEW_S)

    async def renew(self) -> None:
        granted = await asyncio.gather(*(self._bus.lease(shard, self._owner, ttl_ms=TTL_MS) for shard in self._shards))
        held = frozenset(shard for shard, own in zip(self._shards, granted, strict=True) if own)
        if held != self.held:
            log.info("shards", gained=sorted(held - self.held), lost=sorted(self.held - held))
            self.held = held
            self.changed.set()

    async def release(self) -> None:
        """So that the next writer needs not wait until they run out."""
        try:
            for shard in sorted(self.held):
                await self._bus.release(shard, self._owner)
        except BusDown as error:
            log.warning("leases not given back", problem=str(error))
        self.held = frozenset()
