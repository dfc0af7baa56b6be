"""The whole way from a drive to the cloud over a bus: the replay as a process, the agent in the test's loop."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from edge.agent import run_agent
from edge.config import load_edge_config
from edge.recordings.drive import Drive, load_drive
from edge.recordings.drive_frames import OWN_DATABASES
from simulator.drive_maker import drive_text, make_drive
from tests.fake_cloud import TOKEN, FakeCloud, serve

PATIENCE_S = 40
SPEED = 8.0


@dataclass(frozen=True)
class TestBus:
    """A bus that processes of this machine share."""

    __test__ = False

    interface: str
    channel: str
    options: Mapping[str, int] = field(default_factory=dict)

    def arguments(self) -> list[str]:
        return [
            *("--interface", self.interface, "--channel", self.channel),
            *(f"--option={key}={value}" for key, value in self.options.items()),
        ]

    def toml(self) -> str:
        options = "".join(f"{key} = {value}\n" for key, value in self.options.items())
        return f'interface = "{self.interface}"\nchannel = "{self.channel}"\n{options}'


def write_drive(folder: Path, *, minutes: float = 2) -> Path:
    document = make_drive(
        route="helsinki-airport", seed=3, minutes=minutes, start=datetime(2025, 6, 2, 6, tzinfo=UTC), vehicle="van-1"
    )
    path = folder / "drive.json"
    path.write_text(drive_text(document))
    return path


@asynccontextmanager
async def replaying(bus: TestBus, *arguments: str | Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs `fleetwire simulate replay`; ends it with SIGTERM, which must be a good end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fleetwire", "simulate", "replay"), *map(str, arguments), *bus.arguments()
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0


async def assert_drive_reaches_cloud(bus: TestBus, folder: Path) -> None:
    """A drive is replayed on `bus` and a GPS port; what the cloud gets from the agent is the drive's own."""
    path, link = write_drive(folder), folder / "gps"
    (folder / "token").write_text(TOKEN)
    cloud, stop = FakeCloud(), asyncio.Event()
    async with serve(cloud) as url, asyncio.TaskGroup() as tasks:
        (folder / "edge.toml").write_text(
            f'vehicle = "van-1"\n[[can]]\n{bus.toml()}dbc = [{json.dumps(str(OWN_DATABASES / "fleetwire.dbc"))}]\n'
            f'[gps]\ndevice = "{link}"\n[batch]\nmax_age_ms = 200\n'
            f'[uplink]\nurl = "{url}"\ntoken_file = "token"\n'
        )
        tasks.create_task(run_agent(load_edge_config(folder / "edge.toml"), stop))
        async with replaying(bus, path, "--gps-link", link, "--speed", str(SPEED), "--loop"):
            await _until(cloud, lambda: _fixes(cloud) >= 20 and len(_signals(cloud)) >= 80)
        stop.set()
    assert not link.is_symlink()
    _assert_of_the_drive(cloud, load_drive(path))


async def _until(cloud: FakeCloud, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            with suppress(TimeoutError):
                await cloud.until(condition)


def _assert_of_the_drive(cloud: FakeCloud, drive: Drive) -> None:
    positions = {(round(fix.lat, 5), round(fix.lon, 5)) for fix in drive.fixes}
    for batch in cloud.batches.values():
        for name, column in batch.signals.items():
            if name in drive.signals and not name.startswith("TyreStatus"):
                known = {round(value, 6) for value in drive.signals[name].v}
                assert {round(value, 6) for value in column.v} <= known, name
        if batch.fixes is not None:
            assert {_near(lat, lon, positions) for lat, lon in zip(batch.fixes.lat, batch.fixes.lon, strict=True)} == {
                True
            }


def _near(lat: float, lon: float, positions: set[tuple[float, float]]) -> bool:
    return any(abs(lat - other) < 2e-5 and abs(lon - other_lon) < 2e-5 for other, other_lon in positions)


def _fixes(cloud: FakeCloud) -> int:
    return sum(len(batch.fixes.dt) for batch in cloud.batches.values() if batch.fixes is not None)


def _signals(cloud: FakeCloud) -> set[str]:
    return {name for batch in cloud.batches.values() for name in batch.signals}
