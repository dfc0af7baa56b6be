"""The agent as a whole, against a cloud in memory: recordings and a receiver in, settled batches out."""

import asyncio
import os
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from functools import reduce
from operator import xor
from pathlib import Path

import can
import cantools
import pytest
from aiohttp import web

from edge.config import load_edge_config
from edge.spool import Spool
from tests.fake_cloud import TOKEN, FakeCloud, serve
from tests.running_agent import REPLAY, run_to_the_end, running_agent, virtual, write_vehicle

DATA = Path(__file__).parents[3] / "shared" / "data" / "obd2-trip"
PATIENCE_S = 60
FRAMES = 3_000
DBC = """
VERSION ""
NS_ :
BS_:
BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ Count : 0|32@1+ (1,0) [0|0] "" Vector__XXX
 SG_ Speed : 32|16@1+ (0.25,0) [0|0] "rpm" Vector__XXX
"""


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud()


@pytest.fixture
async def url(cloud: FakeCloud) -> AsyncIterator[str]:
    async with serve(cloud) as url:
        yield url


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A vehicle's folder: 3,000 numbered frames, 1 ms apart."""
    lines = [
        f"({1_600_000_000 + number / 1000:.6f}) can0 100#{number.to_bytes(4, 'little').hex()}{number % 8000:04x}0000"
        for number in range(FRAMES)
    ]
    (tmp_path / "drive.log").write_text("\n".join(lines) + "\n")
    return tmp_path


def configure(home: Path, url: str, *, speed: float = 0, loop: bool = False, more: str = "") -> Path:
    bus = f"{REPLAY}\nspeed = {speed}\nloop = {str(loop).lower()}"
    return write_vehicle(home, url, bus=bus, dbc=DBC, token=f"v1 {TOKEN}\n", more=more)


@asynccontextmanager
async def process(config: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The agent in a process of its own."""
    command = [sys.executable, "-m", "fleetwire", "edge", "run", "--config", str(config), *arguments]
    agent = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield agent
    finally:
        if agent.returncode is None:
            agent.kill()
        await agent.communicate()


def values(cloud: FakeCloud, signal_name: str = "Engine.Count") -> list[float]:
    """Every stored value of a signal, in the order of the batches."""
    return [
        value
        for _, batch in sorted(cloud.batches.items())
        for value in (batch.signals[signal_name].v if signal_name in batch.signals else ())
    ]


def count_frame(number: int) -> can.Message:
    return can.Message(arbitration_id=0x100, is_extended_id=False, data=number.to_bytes(4, "little") + bytes(4))


async def test_replay_ends_settled_with_every_value_in_order(cloud: FakeCloud, url: str, home: Path) -> None:
    await run_to_the_end(configure(home, url))
    assert values(cloud) == list(range(FRAMES))
    assert {batch.vehicle for batch in cloud.batches.values()} == {"v1"}


async def test_catalog_follows_when_the_cloud_asks(cloud: FakeCloud, url: str, home: Path) -> None:
    config = configure(home, url)
    await run_to_the_end(config)
    (name,) = {batch.catalog for batch in cloud.batches.values()}
    cloud.wanted_catalogs = [name]
    await run_to_the_end(config)
    assert b"Engine.Speed" in cloud.catalogs[name]


async def test_kill_at_any_moment_loses_nothing_that_was_stored(cloud: FakeCloud, url: str, home: Path) -> None:
    config = configure(home, url, speed=1, loop=True)
    for batches in (5, 12, 20):
        async with process(config) as agent:
            await cloud.until(lambda wanted=batches: len(cloud.batches) >= wanted)
            agent.send_signal(signal.SIGKILL)
            await agent.wait()
    with closing(Spool.open(home / "spool.db", vehicle="v1", max_bytes=512 * 10**6, now_ms=1)) as spool:
        held = {(stream.stream, seq) for stream in spool.on_disk() for seq in stream.held.numbers()}
    assert cloud.batches.keys() <= held

    await run_to_the_end(configure(home, url))
    assert held <= cloud.batches.keys()
    for stream in {stream for stream, _ in held}:
        seqs = sorted(seq for name, seq in cloud.batches if name == stream)
        assert seqs == list(range(len(seqs)))
    runs = defaultdict(list)
    for (stream, _), batch in sorted(cloud.batches.items()):
        runs[stream] += batch.signals["Engine.Count"].v if "Engine.Count" in batch.signals else []
    assert len(runs) == 4
    for run in runs.values():
        assert run == [float(number % FRAMES) for number in range(len(run))]


async def test_damaged_spool_is_saved_and_told(cloud: FakeCloud, url: str, home: Path) -> None:
    cloud.is_down = True
    async with process(configure(home, url, speed=1, loop=True)) as agent:
        await cloud.until(lambda: cloud.turned_away >= 2)
        agent.terminate()
        await agent.communicate()
    path = home / "spool.db"
    path.write_bytes(bytes(4096) + path.read_bytes()[4096:])
    cloud.is_down = False
    await run_to_the_end(configure(home, url))
    (event,) = [event for batch in cloud.batches.values() for event in batch.events if event.kind == "spool_damaged"]
    assert event.data["saved"] > 0
    assert event.data["missing"] == 0
    assert len(values(cloud)) > FRAMES


async def test_terminated_agent_sends_what_it_has_and_ends_well(cloud: FakeCloud, url: str, home: Path) -> None:
    async with process(configure(home, url, speed=1, loop=True)) as agent:
        await cloud.until(lambda: len(cloud.batches) >= 5)
        agent.terminate()
        _, log = await agent.communicate()
    assert agent.returncode == 0
    last = log.decode().splitlines()[-1]
    stored = values(cloud)
    assert "event=agent_stopped" in last
    assert f"frames={len(stored)} " in last
    assert "unsettled=0 " in last
    assert stored == [number % FRAMES for number in range(len(stored))]


async def test_stopped_agent_stores_every_frame_that_was_on_the_bus(cloud: FakeCloud, url: str, home: Path) -> None:
    config = load_edge_config(write_vehicle(home, url, bus=virtual("stop"), dbc=DBC))
    with can.Bus("stop", "virtual") as bus:
        async with running_agent(config):
            while not values(cloud):
                bus.send(count_frame(0))
                await asyncio.sleep(0.01)
            for number in range(1, 500):
                bus.send(count_frame(number))
    assert [value for value in values(cloud) if value] == list(range(1, 500))


async def test_agent_without_a_cloud_stops_in_time_and_delivers_later(cloud: FakeCloud, url: str, home: Path) -> None:
    cloud.is_down = True
    async with process(configure(home, url, speed=1, loop=True)) as agent:
        await cloud.until(lambda: cloud.turned_away >= 2)
        agent.terminate()
        _, log = await agent.communicate()
    assert agent.returncode == 0
    frames = int(log.decode().splitlines()[-1].split(" frames=")[1].split()[0])
    assert not cloud.batches
    cloud.is_down = False
    await run_to_the_end(configure(home, url))
    assert values(cloud) == [*(number % FRAMES for number in range(frames)), *range(FRAMES)]


async def test_overloaded_cloud_gets_everything_later(cloud: FakeCloud, url: str, home: Path) -> None:
    cloud.failures = [web.Response(status=503, headers={"Retry-After": "0"})]
    await run_to_the_end(configure(home, url))
    assert values(cloud) == list(range(FRAMES))


async def test_receiver_on_a_pty_gives_fixes(cloud: FakeCloud, url: str, home: Path) -> None:
    with pty_receiver() as device:
        config = load_edge_config(configure(home, url, loop=True, speed=1, more=f'[gps]\ndevice = "{device}"\n'))
        async with running_agent(config):
            await cloud.until(lambda: any(batch.fixes for batch in cloud.batches.values()))
    fixes = next(batch.fixes for batch in cloud.batches.values() if batch.fixes)
    assert fixes.lat[0] == pytest.approx(48.1173, abs=1e-4)


async def test_epoch_that_is_open_when_the_agent_stops_is_stored(cloud: FakeCloud, url: str, home: Path) -> None:
    ours, theirs = os.openpty()
    try:
        more = f'[gps]\ndevice = "{os.ttyname(theirs)}"\n'
        config = load_edge_config(configure(home, url, loop=True, speed=1, more=more))
        async with running_agent(config):
            while not any(batch.fixes for batch in cloud.batches.values()):
                os.write(ours, rmc(30, "4807.0380"))
                await asyncio.sleep(0.3)
            os.write(ours, rmc(59, "4900.0000"))
    finally:
        os.close(ours)
        os.close(theirs)
    assert 49.0 in {lat for batch in cloud.batches.values() if batch.fixes for lat in batch.fixes.lat}


def rmc(seconds: int, lat: str) -> bytes:
    body = f"GPRMC,1015{seconds:02d}.00,A,{lat},N,01131.0000,E,10.0,084.4,230394,,,A"
    return f"${body}*{reduce(xor, body.encode()):02X}\r\n".encode()


@contextmanager
def pty_receiver() -> Iterator[str]:
    """A receiver on a pty that sends the same fix again and again."""
    ours, theirs = os.openpty()
    loop = asyncio.get_running_loop()

    def send() -> None:
        nonlocal timer
        os.write(ours, rmc(30, "4807.0380"))
        timer = loop.call_later(0.3, send)

    timer = loop.call_soon(send)
    yield os.ttyname(theirs)
    timer.cancel()
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("every", "evry"), "unknown key 'sampling.evry'; did you mean 'every'?"),
        (("vehicle.dbc", "absent.dbc"), "absent.dbc: cannot be read"),
        (("drive.log", "absent.log"), "absent.log: cannot be read"),
        (
            ('token_file = "token"', 'token_file = "absent"'),
            "it is to hold the token that 'fleetwire admin vehicle add' prints",
        ),
    ],
)
async def test_mistake_in_the_settings_is_one_line(home: Path, change: tuple[str, str], says: str) -> None:
    config = configure(home, "http://localhost:1")
    config.write_text(config.read_text().replace(*change))
    async with process(config) as agent:
        _, log = await agent.communicate()
    assert agent.returncode == 1
    (line,) = log.decode().splitlines()
    assert line.startswith("Error: ")
    assert says in line


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared recordings are not beside the checkout")
async def test_real_drive_arrives_as_cantools_decodes_it(cloud: FakeCloud, url: str, home: Path) -> None:
    names = ("OBD-v4.4.dbc", "canmod-gnss.dbc")
    log = DATA / "converted-00000001-60FE3F04.candump.log"
    config = configure(home, url)
    text = config.read_text().replace('"drive.log"', f'"{log}"').replace("max_samples = 200", "max_samples = 5000")
    config.write_text(text.replace('["vehicle.dbc"]', str([str(DATA / name) for name in names])))
    await run_to_the_end(config)

    expected = defaultdict(list)
    messages = {m.frame_id: m for name in names for m in cantools.database.load_file(DATA / name).messages}
    for line in log.read_text().splitlines():
        arbitration_id, _, payload = line.split()[2].partition("#")
        if (message := messages.get(int(arbitration_id, 16))) is not None:
            decoded = message.decode(bytes.fromhex(payload), decode_choices=False, allow_truncated=True)
            for name, value in decoded.items():
                expected[f"{message.name}.{name}"].append(float(value))
    got = defaultdict(list)
    for _, batch in sorted(cloud.batches.items()):
        for name, column in batch.signals.items():
            got[name] += column.v
    assert got == expected
