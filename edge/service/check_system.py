"""The machine under the agent: its clock and its disk."""

import os
import shutil
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Final

from edge.clock.clock_trust import Trust
from edge.clock.plausible_time import is_plausible
from edge.service.finding import Finding, note, ok, problem

SLOW_SYNC_MS: Final = 200.0
_TRIALS: Final = 5
_BLOCK: Final = bytes(4096)


def check_clock(now: datetime, *, synchronised: bool | None, trust: Trust, keeps_time: bool) -> Finding:
    """A clock that is wrong puts everything into the wrong place in history. Pure; see `edge.clock.clock_trust`."""
    said = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if not is_plausible(round(now.timestamp() * 1000)):
        return problem("clock", f"{said} cannot be", "set it: chrony or systemd-timesyncd, a GPS receiver, or an RTC")
    if synchronised:
        return ok("clock", f"{said}, synchronised")
    if trust == "system" or (trust == "auto" and synchronised is None):
        return ok("clock", f"{said}, believed as it is")
    advice = "systemd-timesyncd or chrony keeps it right: timedatectl set-ntp true"
    if trust == "auto" and keeps_time:
        return note("clock", f"{said}, and nothing keeps it right", advice)
    waits = "batches wait until NTP or a GPS receiver has told the time, see [clock]"
    return note("clock", f"{said}, and nothing says that it is right: {waits}", advice)


def check_disk(spool: Path, *, max_bytes: int) -> list[Finding]:
    """Whether the spool's folder takes what it is to take, and how long the disk needs to be sure of it."""
    folder = _nearest_folder(spool.parent)
    try:
        sync_ms = _sync_time_ms(folder)
    except OSError as error:
        advice = "make it writable for the agent's user, or give another spool.path"
        return [problem("disk", f"{folder} cannot be written: {error.strerror}", advice)]
    found = [ok("disk", f"{folder} is safe in {sync_ms:.0f} ms a write")]
    if sync_ms > SLOW_SYNC_MS:
        advice = "a worn or slow card; each batch waits for it. Raise [batch] max_age_ms, or take another card"
        found = [note("disk", f"{folder} needs {sync_ms:.0f} ms to be sure of a write", advice)]
    held = sum(path.stat().st_size for path in _files_of(spool))
    free = shutil.disk_usage(folder).free
    room = f"{_megabytes(free)} free, the spool holds {_megabytes(held)} of at most {_megabytes(max_bytes)}"
    if free < max_bytes - held:
        advice = "free some room, or lower spool.max_bytes"
        return [*found, problem("disk", f"{room}: it cannot grow so far", advice)]
    return [*found, ok("disk", room)]


def _nearest_folder(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _files_of(spool: Path) -> list[Path]:
    paths = [spool.with_name(spool.name + suffix) for suffix in ("", "-wal")]
    return [path for path in paths if path.exists()]


def _sync_time_ms(folder: Path) -> float:
    times_ms = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_TRIALS):
            began = time.perf_counter()
            file.write(_BLOCK)
            file.flush()
            os.fsync(file.fileno())
            times_ms.append(1000 * (time.perf_counter() - began))
    return median(times_ms)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
