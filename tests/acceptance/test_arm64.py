"""The agent, installed from its wheel into Debian for arm64 and run by an emulator, replays a drive end to end."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge.config import load_edge_config
from edge.recordings.drive_frames import OWN_DATABASES
from simulator.drive_maker import drive_text, make_drive
from tests.arm64_root import Arm64, MissingTool, emulator, install
from tests.fake_cloud import TOKEN, FakeCloud, serve

pytestmark = pytest.mark.skipif("FLEETWIRE_TEST_ARM64" not in os.environ, reason="takes minutes: make test-arm64")

PATIENCE_S = 1_800
MINUTES = 0.5
SETTINGS = """
vehicle = "van-1"
[[can]]
interface = "replay"
channel = "drive.json"
speed = 0
dbc = ["fleetwire.dbc"]
[sampling]
min_interval_ms = 0
every = true
[uplink]
url = "{url}"
token_file = "token"
"""


@pytest.fixture(scope="module")
def arm64(tmp_path_factory: pytest.TempPathFactory) -> Arm64:
    try:
        emulator()
    except MissingTool as missing:
        pytest.skip(str(missing))
    return install(tmp_path_factory.mktemp("arm64"))


@pytest.fixture
def vehicle(tmp_path: Path) -> Path:
    begin = datetime(2025, 6, 2, 6, tzinfo=UTC)
    document = make_drive(route="helsinki-airport", seed=3, minutes=MINUTES, start=begin, vehicle="van-1")
    (tmp_path / "drive.json").write_text(drive_text(document))
    (tmp_path / "fleetwire.dbc").write_bytes((OWN_DATABASES / "fleetwire.dbc").read_bytes())
    (tmp_path / "token").write_text(TOKEN)
    return tmp_path


def test_it_is_another_machine(arm64: Arm64, tmp_path: Path) -> None:
    command = arm64.command(tmp_path, "-c", "import platform; print(platform.machine())")
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "aarch64"


async def test_replay_arrives_as_from_this_machine(arm64: Arm64, vehicle: Path) -> None:
    """The same values of the same signals, in the same order, as the agent gives here."""
    there = await _drive(vehicle, lambda settings: arm64.command(vehicle, "-m", "fleetwire", *settings))
    (vehicle / "spool.db").unlink()
    here = await _drive(vehicle, lambda settings: [sys.executable, "-m", "fleetwire", *settings])
    assert sum(len(values) for values in there.values()) > 5_000
    assert Counter({name: len(values) for name, values in there.items()}) == Counter(
        {name: len(values) for name, values in here.items()}
    )
    assert there == here


async def _drive(vehicle: Path, command: Callable[[list[str]], list[str]]) -> Mapping[str, list[float]]:
    """Run the agent until everything is settled; gives the values of each signal in their order."""
    cloud = FakeCloud()
    async with serve(cloud) as url:
        settings = vehicle / "edge.toml"
        settings.write_text(SETTINGS.format(url=url))
        load_edge_config(settings)
        agent = await asyncio.create_subprocess_exec(
            *command(["edge", "run", "--config", str(settings), "--exit-when-settled"]),
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE_S):
            _, said = await agent.communicate()
        assert agent.returncode == 0, said.decode()[-3000:]
    values: dict[str, list[float]] = {}
    for _, batch in sorted(cloud.batches.items(), key=lambda item: item[0][1]):
        for name, column in batch.signals.items():
            values.setdefault(name, []).extend(column.v)
    return values
