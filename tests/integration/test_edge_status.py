"""`fleetwire edge status` on an agent that runs, was killed, or never was."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.config import EdgeConfig, HealthSettings, load_edge_config
from edge.service.service_manager import ServiceManager
from edge.service.status import AgentStatus, frame_rates
from edge.service.status_socket import StatusError, ask_status, serve_status, socket_of
from fleetwire.edge import edge
from fleetwire.edge_status import render
from tests.fake_cloud import FakeCloud, serve
from tests.running_agent import REPLAY, running_agent, until_status, write_vehicle


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud()


@pytest.fixture
async def config(cloud: FakeCloud, tmp_path: Path) -> AsyncIterator[EdgeConfig]:
    lines = [f"({1_600_000_000 + n / 100:.6f}) can0 {0x100 + n % 2:03X}#{n:016x}\n" for n in range(200)]
    (tmp_path / "drive.log").write_text("".join(lines))
    async with serve(cloud) as url:
        yield load_edge_config(write_vehicle(tmp_path, url, bus=f"{REPLAY}\nspeed = 0"))


async def until_settled(config: EdgeConfig) -> AgentStatus:
    return await until_status(config, lambda it: it.settled and not it.spool.batches and it.buses[0].frames == 200)


async def test_running_agent_tells_what_it_does(config: EdgeConfig, cloud: FakeCloud) -> None:
    async with running_agent(config):
        status = await until_settled(config)
    [bus] = status.buses
    assert (status.vehicle, bus.name, bus.frames, bus.faults) == ("v1", "drive.log", 200, {"unknown_id": 100})
    assert status.stored == status.settled == len(cloud.batches)
    assert status.uplink.problem is None
    assert status.uplink.last_settled_ms is not None
    assert status.samples_seen == 100
    assert not any(status.lost.values())
    assert not socket_of(config.spool.path).exists()


async def test_backlog_and_its_reason_are_told(config: EdgeConfig, cloud: FakeCloud) -> None:
    cloud.token = "fwd_other"
    began_ms = time.time_ns() // 1_000_000
    async with running_agent(config):
        status = await until_status(config, lambda it: it.spool.batches and it.uplink.refused)
    assert status.uplink.problem is not None
    assert "credential refused (401)" in status.uplink.problem
    assert status.spool.oldest_ms is not None
    assert 0 <= status.spool.oldest_ms - began_ms < 60_000
    text = "\n".join(render(status, status))
    assert "batches wait, the oldest of" in text
    assert "NOT TAKEN NOW" in text
    assert "lost: nothing" in text


async def test_socket_of_a_killed_agent_is_replaced(config: EdgeConfig) -> None:
    path = socket_of(config.spool.path)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(StatusError, match="no agent runs"):
        await ask_status(config.spool.path)
    async with running_agent(config):
        await until_settled(config)


async def test_long_path_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()

    async def gather() -> AgentStatus:
        raise AssertionError("nobody asks")

    async with serve_status(folder / "spool.db", gather):
        assert socket_of(folder / "spool.db").is_socket()


async def test_agent_runs_where_there_can_be_no_socket(tmp_path: Path) -> None:
    async def gather() -> AgentStatus:
        raise AssertionError("nobody asks")

    async with serve_status(tmp_path / "missing" / "spool.db", gather):
        pass


async def test_rates_are_of_the_time_between_two_looks(config: EdgeConfig) -> None:
    async with running_agent(config):
        after = await until_settled(config)
    before = after.model_copy(
        update={
            "monotonic_ms": after.monotonic_ms - 2000,
            "buses": (after.buses[0].model_copy(update={"frames": 100}),),
        }
    )
    assert frame_rates(before, after) == (50.0,)
    assert frame_rates(after, after) == (0.0,)
    assert next(line for line in render(before, after) if line.startswith("bus")).startswith(
        "bus drive.log: 50 frames/s"
    )


async def test_command_prints_the_status(config: EdgeConfig) -> None:
    path = str(config.uplink.token_file.with_name("edge.toml"))

    def invoke(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(edge, ["status", "--config", path, *arguments])
        return result.exit_code, result.output

    async with running_agent(config):
        await until_settled(config)
        code, text = await asyncio.to_thread(invoke, "--json")
        assert code == 0
        assert json.loads(text)["vehicle"] == "v1"
    code, text = await asyncio.to_thread(invoke)
    assert (code, "no agent runs" in text) == (1, True)


async def test_health_reaches_the_cloud_like_any_signal(config: EdgeConfig, cloud: FakeCloud) -> None:
    def has_health() -> bool:
        return any("Health.UplinkLag" in batch.signals for batch in cloud.batches.values())

    watched = config.model_copy(update={"health": HealthSettings(interval_s=0.05)})
    async with running_agent(watched):
        await cloud.until(has_health)
    batch = next(batch for batch in cloud.batches.values() if "Health.UplinkLag" in batch.signals)
    assert batch.catalog is not None
    assert {"Health.SpoolBatches", "Health.drive_log_FrameRate", "Health.Uptime"} <= batch.signals.keys()


async def test_health_is_off_unless_the_file_has_the_section(config: EdgeConfig, cloud: FakeCloud) -> None:
    async with running_agent(config):
        await until_settled(config)
    assert {name for batch in cloud.batches.values() for name in batch.signals} == {"Engine.Count"}
    path = config.uplink.token_file.with_name("edge.toml")
    path.write_text(f"{path.read_text()}\n[health]\n")
    assert load_edge_config(path).health.interval_s == 10


async def test_service_manager_hears_from_the_start_to_the_end(config: EdgeConfig) -> None:
    path = config.spool.path.with_name("notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.setblocking(False)
        loop = asyncio.get_running_loop()
        async with running_agent(config, manager=ServiceManager(str(path), watchdog_s=0.2)), asyncio.timeout(20):
            heard = [await loop.sock_recv(manager, 100) for _ in range(4)]
        assert heard == [b"READY=1", *[b"WATCHDOG=1"] * 3]
        async with asyncio.timeout(20):
            while (last := await loop.sock_recv(manager, 100)) == b"WATCHDOG=1":
                pass
        assert last == b"STOPPING=1"
