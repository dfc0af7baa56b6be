"""A process that is not our child: known by pid and start time, so that a reused pid is never taken for it."""

import asyncio
import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    pid: int
    started: str  # boot id and clock ticks since boot


def identify(pid: int) -> Process | None:
    """The process that has this pid now; None if there is none, or only its zombie."""
    fields = _stat_fields(pid)
    if fields is None or fields[0] in "ZX":
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return Process(pid, f"{boot}/{fields[19]}")


def is_alive(process: Process) -> bool:
    return identify(process.pid) == process


def parent_of(process: Process) -> Process | None:
    """The parent, unless it is init."""
    fields = _stat_fields(process.pid)
    parent_pid = int(fields[1]) if fields else 0
    return identify(parent_pid) if parent_pid > 1 else None


def command_name(process: Process) -> str:
    """The kernel's short name of the program, empty when it is gone."""
    try:
        return Path(f"/proc/{process.pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


async def wait_gone(process: Process) -> None:
    """Returns when the process has ended, at once if it is gone already."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if not is_alive(process):
            return
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(pidfd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(pidfd)
    finally:
        os.close(pidfd)


async def end(process: Process, *, with_signal: signal.Signals, patience_s: float) -> bool:
    """Ask the process to end, and kill it after `patience_s`. False if it had to be killed."""
    if not _send(process, with_signal):
        return True
    try:
        async with asyncio.timeout(patience_s):
            await wait_gone(process)
    except TimeoutError:
        _send(process, signal.SIGKILL)
        await wait_gone(process)
        return False
    return True


def dying_with_parent(argv: Sequence[str]) -> list[str]:
    """The command line of a child that gets SIGTERM when its parent is gone; its pid is the program's own."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--", *argv] if setpriv else list(argv)


def _send(process: Process, number: signal.Signals) -> bool:
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not is_alive(process):
            return False
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


def _stat_fields(pid: int) -> list[str] | None:
    """/proc/PID/stat from the state on: state, parent, … and the start time as the twentieth."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return stat.rpartition(")")[2].split()
