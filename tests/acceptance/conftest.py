"""The whole system, as `fleetwire up` starts it, in a home of its own on free ports."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

START_S = 240
STOP_S = 60


@dataclass(frozen=True)
class System:
    """A running `fleetwire up` and what it wrote into run.json."""

    home: Path
    process: subprocess.Popen[bytes]

    @property
    def run(self) -> dict[str, Any]:
        """The addresses, credentials and pids as they are now."""
        value: dict[str, Any] = json.loads((self.home / "run.json").read_text())
        return value

    @property
    def log(self) -> str:
        """What it printed."""
        return (self.home / "up.out").read_text(errors="replace")


def wait_until(is_so: Callable[[], bool], *, within_s: float, what: str) -> None:
    """Poll a condition of another process, which nobody can await. Fails, naming `what`, when time is up."""
    end = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > end:
            pytest.fail(f"after {within_s:.0f} s still not: {what}")
        time.sleep(0.1)


@contextmanager
def running_system(*arguments: str, environ: Mapping[str, str] | None = None) -> Iterator[System]:
    """`fleetwire up` with these arguments; ends with everything stopped."""
    home = Path(tempfile.mkdtemp(prefix="fleetwire-acceptance-"))
    log = (home / "up.out").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "fleetwire", "up", *arguments],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environ or {}), "FLEETWIRE_HOME": str(home)},
        start_new_session=True,
    )
    system = System(home, process)
    try:
        try:
            wait_until(lambda: _is_ready(system), within_s=START_S, what="fleetwire up is ready")
        except BaseException:
            print(system.log)  # noqa: T201  pytest shows it beside the failure
            raise
        yield system
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        finally:
            process.kill()
            process.wait()
            log.close()
            shutil.rmtree(home, ignore_errors=True)


def _is_ready(system: System) -> bool:
    if system.process.poll() is not None:
        pytest.fail(f"fleetwire up ended with {system.process.returncode}:\n{system.log}")
    return (system.home / "run.json").exists()


@pytest.fixture(scope="session")
def demo() -> Iterator[System]:
    """The demo that `make run` shows, with a small fleet."""
    with running_system("--demo", "--vehicles", "3") as system:
        yield system
