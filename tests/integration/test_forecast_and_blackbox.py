"""`fleetwire edge check --campaign --replay` and `fleetwire edge blackbox`."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.campaigns.blackbox_socket import BlackboxError, read_blackbox, serve_blackbox, socket_of
from edge.campaigns.frame_ring import FrameRing
from edge.config import load_edge_config
from edge.frame import Frame
from edge.recordings.recording import open_recording
from fleetwire.decode import decode
from fleetwire.edge import edge
from tests.fake_cloud import TOKEN, FakeCloud, serve
from tests.integration.test_campaigns import write_vehicle
from tests.running_agent import running_agent, until_status

CAMPAIGN = """
id = "fast"
version = 4
[sampling]
aggregate = ["mean"]
window_ms = 1000
[[sampling.rule]]
match = "Enigne.*"
off = true
[[capture]]
name = "fast"
when = "Speed > 1150"
before_s = 0.1
after_s = 0.1
cooldown_s = 2
"""


@pytest.fixture
def vehicle(tmp_path: Path) -> Path:
    """A minute of driving that reaches 1,199 rpm each second."""
    path = write_vehicle(tmp_path, "http://127.0.0.1:9", TOKEN)
    lines = (
        f"({1_700_000_000 + n / 100:.6f}) can0 100#{(1_100 + n % 100).to_bytes(2, 'little').hex()}0100\n"
        for n in range(6_000)
    )
    (tmp_path / "minute.log").write_text("".join(lines))
    (tmp_path / "campaign.toml").write_text(CAMPAIGN)
    return path


def invoke(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(edge, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_campaign_is_foretold_from_a_recording(vehicle: Path) -> None:
    folder = vehicle.parent
    arguments = ["--campaign", folder / "campaign.toml", "--replay", folder / "minute.log"]
    code, text = invoke("check", "--config", vehicle, *arguments, "--hours", 10)
    assert code == 0, text
    assert "fast 4: good for this vehicle" in text
    assert "the rule for 'Enigne.*' matches no signal here" in text
    assert "samples   2.0 a second; the agent's own file: 200.0" in text
    assert "a month at 10 h a day, of it captures" in text
    code, text = invoke("check", "--config", vehicle, *arguments, "--json")
    shown = json.loads(text)
    forecast, own = shown["forecast"], shown["own_file"]
    assert (forecast["frames"], forecast["seen"], own["samples"]) == (6_000, 12_000, 12_000)
    assert forecast["samples"] == 2 * 60
    # It fires once a second unless it rests: from 0.1 s after one start for 2 s, so every third second.
    assert forecast["captures"] == {"fast": 20}
    assert forecast["not_taken"] == {"cooldown": 40}
    assert forecast["captured_frames"] == 20 * 21
    assert 0 < forecast["frame_bytes"] < forecast["bytes"] < own["bytes"]
    month_s = 365 / 12 * 8 * 3600
    assert forecast["mb_per_month"] == pytest.approx(forecast["bytes"] / 59.99 * month_s / 1e6, rel=1e-3)


def test_campaign_that_the_vehicle_would_refuse_is_refused_here(vehicle: Path) -> None:
    bad = vehicle.with_name("bad.toml")
    bad.write_text(CAMPAIGN.replace("Speed > 1150", "Spead > 1150"))
    code, text = invoke("check", "--config", vehicle, "--campaign", bad)
    assert code == 1
    assert "did you mean 'Speed'?" in text
    bad.write_text(CAMPAIGN.replace("Speed > 1150", "Speed >"))
    code, text = invoke("check", "--config", vehicle, "--campaign", bad)
    assert code == 1
    assert "capture.0.when: at character 8: a signal or a number is needed, not the end" in text
    code, text = invoke("check", "--config", vehicle, "--campaign", vehicle.with_name("none.toml"))
    assert (code, "No such file" in text) == (1, True)


def test_recording_that_is_not_there_or_of_no_bus_is_said(vehicle: Path) -> None:
    code, text = invoke("check", "--config", vehicle, "--replay", "pt=minute.log")
    assert (code, "there is no bus 'pt' in the settings" in text) == (2, True)
    short = vehicle.with_name("short.log")
    short.write_text("(1.000000) can0 100#00000000\n")
    code, text = invoke("check", "--config", vehicle, "--replay", short)
    assert (code, "too short to foretell" in text) == (1, True)


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Path]:
    async with serve(FakeCloud()) as url:
        yield write_vehicle(tmp_path, url, TOKEN)


async def test_black_box_is_written_and_decoded(cloud: Path, tmp_path: Path) -> None:
    config = load_edge_config(cloud)
    log = tmp_path / "box.log"
    async with running_agent(config):
        await until_status(config, lambda status: status.captures and status.captures.ring_frames > 150)
        code, text = await asyncio.to_thread(invoke, "blackbox", "--config", cloud, log)
        packed, _ = await asyncio.to_thread(invoke, "blackbox", "--config", cloud, tmp_path / "box.log.gz")
    assert (code, packed) == (0, 0), text
    frames = list(open_recording(log))
    assert len(frames) > 150
    assert f"{len(frames):,} frames in" in text
    assert list(open_recording(tmp_path / "box.log.gz"))[: len(frames)] == frames
    result = CliRunner().invoke(decode, [str(log), "--dbc", str(tmp_path / "vehicle.dbc")])
    assert result.exit_code == 0
    assert "drive.log,Engine,Speed,1100" in result.stdout
    code, text = await asyncio.to_thread(invoke, "blackbox", "--config", cloud, log)
    assert (code, "no agent with a black box runs" in text) == (1, True)
    assert not socket_of(config.spool.path).exists()


async def test_log_that_was_cut_is_known(tmp_path: Path) -> None:
    spool, heard = tmp_path / "spool.db", bytearray()

    async def cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"(1.000000) can0 100#00\n")
        writer.close()

    server = await asyncio.start_unix_server(cut, socket_of(spool))
    async with server:
        with pytest.raises(BlackboxError, match="ended before it had given all"):
            await read_blackbox(spool, heard.extend)


async def test_empty_black_box_is_an_empty_log(tmp_path: Path) -> None:
    spool, heard = tmp_path / "spool.db", bytearray()
    async with serve_blackbox(spool, FrameRing(1_000)):
        assert await read_blackbox(spool, heard.extend) == 0
    assert heard == b"# frames: 0\n"


async def test_large_black_box_comes_whole(tmp_path: Path) -> None:
    ring, heard = FrameRing(10_000_000), bytearray()
    frames = [Frame(n * 1_000_000, "can0", n % 2_048, False, n.to_bytes(4, "big")) for n in range(25_000)]
    for begin in range(0, len(frames), 100):
        ring.add(frames[begin : begin + 100], 0)
    async with serve_blackbox(tmp_path / "spool.db", ring):
        assert await read_blackbox(tmp_path / "spool.db", heard.extend) == len(frames)
    (tmp_path / "box.log").write_bytes(heard)
    assert list(open_recording(tmp_path / "box.log")) == frames
