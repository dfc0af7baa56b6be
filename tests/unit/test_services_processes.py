"""A process is known by pid and start time, and ended for sure."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cloud.services.processes import Process, end, identify, is_alive, wait_gone

DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


@pytest.fixture
def deaf() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def known(process: "subprocess.Popen[bytes]") -> Process:
    found = identify(process.pid)
    assert found is not None
    return found


def test_reused_pid_is_not_taken_for_the_process(sleeper: "subprocess.Popen[bytes]") -> None:
    assert is_alive(known(sleeper))
    assert not is_alive(Process(sleeper.pid, "another boot/1"))


async def test_nothing_is_sent_to_a_stranger_with_the_same_pid(sleeper: "subprocess.Popen[bytes]") -> None:
    await end(Process(sleeper.pid, "another boot/1"), with_signal=signal.SIGKILL, patience_s=1)
    assert sleeper.poll() is None


async def test_wait_gone_returns_at_the_end_and_at_once_when_it_is_over(sleeper: "subprocess.Popen[bytes]") -> None:
    process = known(sleeper)
    async with asyncio.timeout(10):
        waiting = asyncio.create_task(wait_gone(process))
        os.kill(sleeper.pid, signal.SIGTERM)
        await waiting
        sleeper.wait()
        await wait_gone(process)


async def test_deaf_process_is_killed_after_the_patience(deaf: "subprocess.Popen[bytes]") -> None:
    assert not await end(known(deaf), with_signal=signal.SIGTERM, patience_s=0.05)


def test_zombie_counts_as_gone() -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert identify(process.pid) is None
