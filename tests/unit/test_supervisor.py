"""The supervisor keeps processes alive and stops them in order."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from cloud.running.supervisor import Child, ChildFailed, Order, Supervisor, describe_end, restart_delay_s
from cloud.services.processes import identify, is_alive, wait_gone

WAIT = "; open(OUT, 'a').write('up'); time.sleep(60)"
SLEEPER = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(0))" + WAIT
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + WAIT


def child(tmp_path: Path, name: str, program: str = SLEEPER, *, stop_within_s: float = 10) -> Child:
    out = tmp_path / f"{name}.out"

    async def ready() -> bool:
        return out.exists()

    argv = [sys.executable, "-c", program.replace("OUT", repr(str(out)))]
    return Child(Order(name, argv, tmp_path / f"{name}.log", ready=ready, stop_within_s=stop_within_s))


class Listener:
    """Collects what the supervisor says and lets a test wait for the changes it reports."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.changes: asyncio.Queue[None] = asyncio.Queue()

    def supervisor(self) -> Supervisor:
        return Supervisor(say=self.lines.append)


async def test_killed_child_is_restarted_and_said(tmp_path: Path) -> None:
    listener = Listener()
    async with listener.supervisor() as supervisor, asyncio.timeout(20):
        await supervisor.start(child(tmp_path, "writer"))
        first = supervisor.pids["writer"]
        running = asyncio.create_task(supervisor.run(lambda: listener.changes.put_nowait(None)))
        await listener.changes.get()
        os.kill(first, signal.SIGKILL)
        await listener.changes.get()
        running.cancel()
        assert supervisor.pids["writer"] != first
        assert identify(supervisor.pids["writer"]) is not None
    assert listener.lines[0] == f"writer (pid {first}) was ended by SIGKILL; starting it again"


async def test_all_children_are_gone_after_the_end_last_started_first(tmp_path: Path) -> None:
    order: list[str] = []

    class Noting(Child):
        async def stop(self) -> None:
            order.append(self.name)
            await super().stop()

    async with Listener().supervisor() as supervisor:
        for name in ("ingest", "web"):
            await supervisor.start(Noting(child(tmp_path, name)._order))
        processes = [identify(pid) for pid in supervisor.pids.values()]
    assert order == ["web", "ingest"]
    assert not any(process and is_alive(process) for process in processes)


async def test_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    async with Listener().supervisor() as supervisor:
        await supervisor.start(child(tmp_path, "deaf", STUBBORN, stop_within_s=0.2))
        process = identify(supervisor.pids["deaf"])
    assert process is not None
    assert not is_alive(process)


async def test_what_a_child_leaves_behind_is_ended_too(tmp_path: Path) -> None:
    """A child that is killed cannot end its own processes."""
    pid_file = tmp_path / "grandchild"
    program = (
        f"import subprocess; p = subprocess.Popen(['sleep', '60']); open({str(pid_file)!r}, 'w').write(str(p.pid))"
    )
    async with Listener().supervisor() as supervisor:
        await supervisor.start(child(tmp_path, "parent", program + "; import time" + WAIT))
        grandchild = identify(int(pid_file.read_text()))
        os.kill(supervisor.pids["parent"], signal.SIGKILL)
    assert grandchild is not None
    async with asyncio.timeout(10):
        await wait_gone(grandchild)


async def test_child_that_ends_while_starting_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match=r"exit status 3.*\n.*no such table"):
        async with Listener().supervisor() as supervisor:
            await supervisor.start(child(tmp_path, "broken", "import sys; print('no such table'); sys.exit(3)"))


@pytest.mark.parametrize(("failures", "delay_s"), [(0, 0), (1, 0.5), (2, 1), (5, 8), (20, 30)])
def test_restarts_back_off(failures: int, delay_s: float) -> None:
    assert restart_delay_s(failures) == delay_s


@pytest.mark.parametrize(
    ("status", "words"), [(0, "ended with exit status 0"), (-9, "was ended by SIGKILL"), (-64, "was ended by SIGRTMAX")]
)
def test_end_is_described_in_words(status: int, words: str) -> None:
    assert describe_end(status) == words
