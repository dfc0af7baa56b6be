"""An agent with two ways to the cloud: over to the other one and back, the use of each told and kept."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import can
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiohttp.typedefs import Handler

from edge.config import load_edge_config
from edge.service.status import AgentStatus
from edge.ways import way_choice
from fleetwire.edge_status import render
from tests.fake_cloud import FakeCloud, serve
from tests.running_agent import running_agent, until_status, virtual, write_vehicle

WAYS = """name = "wifi"
[[uplink.fallback]]
name = "lte"
url = "{second}"
monthly_bytes = "1GB"
"""


class Portal:
    """The cloud again, over another way, in which a captive portal may answer in its place."""

    def __init__(self, cloud: FakeCloud) -> None:
        self.is_there = False
        self._cloud = cloud

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        app = self._cloud.app()
        app.middlewares.append(self._answer)
        server = TestServer(app)
        await server.start_server(auto_decompress=False)
        try:
            yield str(server.make_url("")).rstrip("/")
        finally:
            await server.close()

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        return web.Response(text="<html>log in</html>") if self.is_there else await handler(request)


def way(status: AgentStatus) -> str:
    return next(way.name for way in status.uplink.ways if way.in_use)


async def test_agent_goes_over_to_the_next_way_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(way_choice, "PAUSE_FIRST_S", 0.05)
    monkeypatch.setattr(way_choice, "PAUSE_LIMIT_S", 0.1)
    cloud = FakeCloud()
    sent = 0

    def send(bus: can.BusABC, count: int) -> None:
        nonlocal sent
        for _ in range(count):
            bus.send(
                can.Message(arbitration_id=0x100, is_extended_id=False, data=sent.to_bytes(4, "little") + bytes(4))
            )
            sent += 1

    def arrived() -> int:
        return sum(len(batch.signals["Engine.Count"].v) for batch in cloud.batches.values() if batch.signals)

    portal = Portal(cloud)
    async with serve(cloud) as second, portal.serve() as first:
        path = write_vehicle(tmp_path, first, bus=virtual("failover"), more=WAYS.format(second=second))
        config = load_edge_config(path)
        with can.Bus("failover", "virtual") as bus:
            async with running_agent(config):
                await until_status(config, lambda it: it.uplink.last_reply_ms is not None)
                send(bus, 100)
                await cloud.until(lambda: arrived() == 100)
                portal.is_there = True
                send(bus, 100)
                status = await until_status(config, lambda it: way(it) == "lte" and it.settled == it.stored)
                assert arrived() == 200
                assert status.uplink.url == second
                lte = status.uplink.ways[1]
                assert (lte.monthly_bytes, lte.problem) == (10**9, None)
                assert "  lte: in use" in "\n".join(render(status, status))
                status = await until_status(config, lambda it: it.uplink.ways[1].sent_this_month_bytes > 0)
                used = status.uplink.ways[1].sent_this_month_bytes
                portal.is_there = False
                send(bus, 100)
                await until_status(config, lambda it: way(it) == "wifi" and it.settled == it.stored)
            async with running_agent(config):
                again = await until_status(config, lambda it: it.uplink.last_reply_ms is not None)
                assert again.uplink.ways[1].sent_this_month_bytes >= used, "kept over a restart"
    columns = [batch.signals["Engine.Count"] for batch in cloud.batches.values() if batch.signals]
    values = sorted(value for column in columns for value in column.v)
    assert values == [float(number) for number in range(300)]
    assert len(cloud.batches) == len(set(cloud.received))
