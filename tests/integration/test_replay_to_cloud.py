"""A replay in a process of its own: what it plays arrives, through the agent, in the cloud."""

import asyncio
import secrets
from pathlib import Path

import can
import pytest

from tests.replay_stand import PATIENCE_S, SPEED, TestBus, assert_drive_reaches_cloud, replaying, write_drive


@pytest.fixture
def multicast() -> TestBus:
    # A port of its own, too: Linux gives a socket what arrives for any group that somebody here has joined on its port.
    group = f"239.255.{secrets.randbelow(256)}.{secrets.randbelow(256)}"
    bus = TestBus("udp_multicast", group, {"port": 20_000 + secrets.randbelow(12_000), "hop_limit": 0})
    try:
        with can.Bus(interface=bus.interface, channel=bus.channel, **bus.options):
            pass
    except (can.CanError, OSError) as error:
        pytest.skip(f"no multicast on this machine: {error}")
    return bus


async def test_a_drive_reaches_the_cloud_over_multicast(multicast: TestBus, tmp_path: Path) -> None:
    await assert_drive_reaches_cloud(multicast, tmp_path)


async def test_a_recording_arrives_whole_and_in_its_own_time(multicast: TestBus, tmp_path: Path) -> None:
    log = tmp_path / "ramp.log"
    log.write_text("".join(f"({100 + index / 100:.6f}) can0 123#{index:08X}\n" for index in range(300)))
    with can.Bus(interface=multicast.interface, channel=multicast.channel, **multicast.options) as bus:
        async with replaying(multicast, log, "--map", "can0=" + multicast.channel) as process:
            messages = await asyncio.to_thread(lambda: [bus.recv(PATIENCE_S) for _ in range(300)])
            await process.wait()
    received = [message for message in messages if message is not None]
    assert [int.from_bytes(message.data, "big") for message in received] == list(range(300))
    assert received[-1].timestamp - received[0].timestamp == pytest.approx(2.99, abs=0.3)


async def test_ctrl_c_ends_a_loop_and_takes_the_link_away(multicast: TestBus, tmp_path: Path) -> None:
    path, link = write_drive(tmp_path, minutes=0.1), tmp_path / "gps"
    with can.Bus(interface=multicast.interface, channel=multicast.channel, **multicast.options) as bus:
        async with replaying(multicast, path, "--loop", "--speed", str(SPEED), "--gps-link", link) as process:
            assert await asyncio.to_thread(bus.recv, PATIENCE_S) is not None
            assert link.is_symlink()
            process.send_signal(2)
            async with asyncio.timeout(PATIENCE_S):
                assert await process.wait() == 0
    assert not link.is_symlink()
