"""The writer shows what waits in its shards, and only in its own."""

import asyncio

from prometheus_client import CollectorRegistry

from cloud.errors import BusDown
from cloud.streams.entries import batch_item
from cloud.streams.memory_bus import MemoryBus
from cloud.writer.backlog import watch_backlog
from cloud.writer.leases import Leases
from cloud.writer.metrics import WriterMetrics

STREAM = "01890a5d-ac96-774b-bcce-b302099a8057"


class PartlyDown(MemoryBus):
    """Its shard 1 answers no more once it was asked."""

    asked = False

    async def backlog(self, shard: int) -> int:
        if shard == 1 and self.asked:
            raise BusDown("it is down")
        self.asked = self.asked or shard == 1
        return await super().backlog(shard)


async def test_entries_of_held_shards_are_counted_also_while_one_is_down() -> None:
    bus = PartlyDown()
    for seq in range(5):
        await bus.admit(seq % 3, [batch_item("truck-1", STREAM, seq, b"{}")])
    registry = CollectorRegistry()
    leases = Leases(bus, [0, 1], owner="w")
    await leases.renew()
    done = asyncio.Event()
    watching = asyncio.create_task(watch_backlog(bus, leases, WriterMetrics(registry), until=done))
    async with asyncio.timeout(10):
        while True:
            if registry.get_sample_value("fleetwire_writer_backlog") == 4:
                break
            await asyncio.sleep(0)
    done.set()
    await watching
