"""The way that docs/vcan.md tells, where the kernel has a virtual CAN."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.replay_stand import TestBus, assert_drive_reaches_cloud

NAME = "fwtest0"


@pytest.fixture
def vcan() -> Iterator[TestBus]:
    """An interface of the test's own where it may make one, else one that is up already."""
    made = _ip("link", "add", "dev", NAME, "type", "vcan")
    if made is None:
        try:
            problem = _ip("link", "set", "up", NAME)
            assert problem is None, problem
            yield TestBus("socketcan", NAME)
        finally:
            _ip("link", "delete", NAME)
        return
    up = [path.parent.name for path in Path("/sys/class/net").glob("vcan*/flags") if int(path.read_text(), 16) & 1]
    if not up:
        pytest.skip(f"this machine has no vcan interface and none can be made: {made}")
    yield TestBus("socketcan", up[0])


async def test_a_drive_reaches_the_cloud_over_vcan(vcan: TestBus, tmp_path: Path) -> None:
    await assert_drive_reaches_cloud(vcan, tmp_path)


def _ip(*arguments: str) -> str | None:
    """Runs ip; gives what went wrong."""
    try:
        result = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=10, check=False)
    except FileNotFoundError:
        return "the command 'ip' is not installed"
    return None if result.returncode == 0 else result.stderr.strip() or "ip failed"
