"""'fleetwire up' brings up the whole cloud, restarts what dies, and leaves nothing behind."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cloud.running.run_file import NAME
from cloud.services import embedded
from cloud.services.processes import Process, identify, is_alive

pytestmark = pytest.mark.services
READY_WITHIN_S = 60


class Up:
    """A running 'fleetwire up' and what it prints."""

    def __init__(self, process: asyncio.subprocess.Process, home: Path) -> None:
        self.process = process
        self.home = home
        self.lines: list[str] = []

    async def line(self, text: str) -> str:
        """The next line with `text` in it."""
        assert self.process.stdout is not None
        async with asyncio.timeout(READY_WITHIN_S):
            while line := (await self.process.stdout.readline()).decode():
                self.lines.append(line)
                if text in line:
                    return line
        raise AssertionError("".join(self.lines))

    def run(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.home / NAME).read_text())
        return content

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(READY_WITHIN_S):
            await self.process.communicate()


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    home = tmp_path / "home"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLEETWIRE_")}
    environment |= {"FLEETWIRE_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    environment |= {f"FLEETWIRE_{name}_PORT": "0" for name in ("WEB", "INGEST", "OSMAND", "WRITER")}
    if cache := os.environ.get("FLEETWIRE_CACHE"):
        environment["FLEETWIRE_CACHE"] = cache
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fleetwire", "up"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    running = Up(process, home)
    yield running
    await running.stop()
    await embedded.stop(home, say=lambda line: None)


async def test_everything_serves_and_run_json_says_where(up: Up) -> None:
    await up.line("Ctrl-C")
    run = up.run()
    assert set(run["pids"]) == {"postgres", "redis", "mosquitto", "writer", "ingest", "web"}
    assert (up.home / NAME).stat().st_mode & 0o777 == 0o600
    credentials = {"user": run["admin_user"], "password": run["admin_password"]}
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{run['web']}/v1/session", json=credentials) as answer:
            assert answer.status == 200
        bearer = {"Authorization": f"Bearer {run['admin_token']}"}
        async with session.get(f"{run['web']}/v1/vehicles", headers=bearer) as answer:
            assert (await answer.json())["vehicles"] == []


async def test_killed_processes_come_back_and_run_json_follows(up: Up) -> None:
    await up.line("Ctrl-C")
    before = up.run()["pids"]
    for name in ("redis", "ingest"):
        os.kill(before[name], signal.SIGKILL)
        await up.line(f"{name} runs again")
    after = up.run()["pids"]
    assert {name for name in before if before[name] != after[name]} == {"redis", "ingest"}


async def test_sigterm_leaves_no_process_and_no_run_json(up: Up) -> None:
    await up.line("Ctrl-C")
    processes = [identify(pid) for pid in up.run()["pids"].values()]
    await up.stop()
    assert up.process.returncode == 0
    assert not any(is_alive(process) for process in processes if isinstance(process, Process))
    assert not (up.home / NAME).exists()
    assert not (up.home / "services.json").exists()


async def test_second_up_in_the_same_home_is_refused(up: Up) -> None:
    await up.line("==>")
    second = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fleetwire", "up"),
        env={**os.environ, "FLEETWIRE_HOME": str(up.home)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await second.communicate()
    assert second.returncode == 1
    assert said.decode().startswith("Error: it runs already in")
