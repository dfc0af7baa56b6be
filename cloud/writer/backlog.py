"""How much waits in the streams of the shards that this writer holds: what the number of writers is chosen by."""

import asyncio
import contextlib
from typing import Final, Protocol

from cloud.errors import BusDown
from cloud.writer.leases import Leases
from cloud.writer.metrics import WriterMetrics

LOOK_S: Final = 5.0


class Streams(Protocol):
    async def backlog(self, shard: int) -> int: ...


async def watch_backlog(streams: Streams, leases: Leases, metrics: WriterMetrics, *, until: asyncio.Event) -> None:
    """A shard that cannot be asked keeps its number; of one that is another's the other tells."""
    known: dict[int, int] = {}
    while not until.is_set():
        held = leases.held
        known = {shard: entries for shard, entries in known.items() if shard in held}
        for shard in sorted(held):
            with contextlib.suppress(BusDown):
                known[shard] = await streams.backlog(shard)
        metrics.backlog.set(sum(known.values()))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(until.wait(), LOOK_S)
