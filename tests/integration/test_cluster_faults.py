"""The cloud on a Redis Cluster: a node dies with what was in flight, slots move, nothing is lost or there twice."""

import asyncio
from pathlib import Path

import pytest

from cloud.bus import Bus
from edge.outbox import Outbox
from edge.spool import Spool
from edge.uplink import Uplink
from edge.ways.uplink_http import HttpTransport
from tests.cluster_faults import ROWS, SECOND, run
from tests.redis_cluster import running_cluster
from tests.running import Sender, add_vehicle, eventually, fetch, running_ingest, running_writer, settings
from wire.names import shard_of

pytestmark = pytest.mark.services

SHARDS = 16
SOON_S = 30
"""Less than the minute after which an agent sends again by itself."""


async def test_nothing_is_lost_or_twice(tmp_path: Path) -> None:
    result = await run(list(ROWS.values()), 7, tmp_path)
    assert result.is_good, result


async def test_what_was_in_flight_on_a_node_that_dies_is_sent_again_from_the_spools(
    database_url: str, tmp_path: Path
) -> None:
    vehicles = [f"truck-{number}" for number in range(12)]
    async with running_cluster(tmp_path) as cluster:
        config = settings(database_url, cluster.url)
        victim = await cluster.owner(shard_of(vehicles[0], SHARDS))
        async with running_ingest(config) as address, Bus(cluster.url) as bus:
            tokens = {vehicle: await add_vehicle(database_url, vehicle) for vehicle in vehicles}
            async with asyncio.TaskGroup() as tasks, Sender(address, "") as sender:
                outboxes, uplinks = [], []
                for vehicle, token in tokens.items():
                    outbox = Outbox(Spool.open(tmp_path / f"{vehicle}.db", vehicle=vehicle, max_bytes=10**7, now_ms=0))
                    transport = HttpTransport(sender.session, url=address, token=lambda token=token: token)
                    uplink = Uplink(outbox, transport, token=lambda: "")
                    await outbox.put([SECOND.draft(number) for number in range(5)])
                    outboxes.append(outbox)
                    uplinks.append(tasks.create_task(uplink.run()))

                async def queued() -> int:
                    return sum([await bus.backlog(shard) for shard in range(SHARDS)])

                async def all_accepted() -> bool:
                    return await queued() >= 5 * len(vehicles)

                await eventually(all_accepted)
                await cluster.kill(victim)
                await cluster.start(victim)
                await cluster.until_ok()
                assert await queued() < 5 * len(vehicles)
                async with running_writer(config), asyncio.timeout(SOON_S):
                    for outbox in outboxes:
                        await outbox.put([SECOND.draft(5)])
                    for outbox in outboxes:
                        await outbox.settled.wait()
                for uplink in uplinks:
                    uplink.cancel()
    rows = await fetch(
        database_url,
        "SELECT l.received::text AS received, l.samples, (SELECT count(*) FROM samples s"
        " WHERE s.vehicle_id = l.vehicle_id) AS rows FROM ledger l",
    )
    assert [tuple(row) for row in rows] == [("{[0,6)}", 6 * SECOND.count, 6 * SECOND.count)] * len(vehicles)
