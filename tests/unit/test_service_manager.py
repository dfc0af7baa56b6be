"""What systemd is told, and when it is told nothing any more."""

import socket
from pathlib import Path

import pytest

from edge.progress import SILENCE_S, Progress
from edge.service.service_manager import NO_MANAGER, ServiceManager


@pytest.mark.parametrize("is_abstract", [False, True])
def test_manager_is_told(tmp_path: Path, is_abstract: bool) -> None:
    name = f"@{tmp_path.name}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0") if is_abstract else name)
        ServiceManager(name).tell("READY=1", "STATUS=ok")
        assert manager.recv(100) == b"READY=1\nSTATUS=ok"


def test_nobody_is_told_nothing() -> None:
    NO_MANAGER.tell("READY=1")


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "120000000"}, 120),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "7"}, 120),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "nonsense"}, None),
    ],
)
def test_watchdog_is_ours_or_nobodys(environ: dict[str, str], watchdog_s: float | None) -> None:
    assert ServiceManager.of(environ, pid=7).watchdog_s == watchdog_s


def look(progress: Progress, now_s: float, *, waiting: int = 0, stored: int = 0, is_waiting: bool = True) -> bool:
    return progress.is_made(now_s, waiting=waiting, stored=stored, requests=1, is_waiting=is_waiting)


def test_idle_agent_makes_progress_for_ever() -> None:
    progress = Progress(patience_s=60)
    assert all(look(progress, now_s) for now_s in range(0, 10_000, 30))


def test_busy_agent_makes_progress_while_something_is_stored() -> None:
    progress = Progress(patience_s=60)
    assert all(look(progress, 30 * step, waiting=8, stored=step) for step in range(100))


def test_agent_whose_disk_takes_nothing_makes_none() -> None:
    progress = Progress(patience_s=60)
    looks = [look(progress, now_s, waiting=8, stored=5) for now_s in (0, 30, 60, 90)]
    assert looks == [True, True, True, False]
    assert look(progress, 120, waiting=8, stored=6)


def test_uplink_that_hangs_is_no_progress_and_one_that_waits_is() -> None:
    hanging, waiting = Progress(patience_s=60), Progress(patience_s=60)
    times = (0.0, SILENCE_S, SILENCE_S + 1)
    assert [look(hanging, now_s, is_waiting=False) for now_s in times] == [True, True, False]
    assert [look(waiting, now_s) for now_s in times] == [True, True, True]


def test_uplink_on_a_slow_link_is_given_its_time() -> None:
    progress = Progress(patience_s=60)
    times = (0.0, SILENCE_S + 900, SILENCE_S + 901)
    looks = [
        progress.is_made(now_s, waiting=0, stored=0, requests=1, is_waiting=False, patience_s=900) for now_s in times
    ]
    assert looks == [True, True, False]
