"""edge_start: how long the agent takes until it reads, and its memory then, with a database of 445 signals.

It is `fleetwire edge run` as systemd starts it: the moment is that in which it tells systemd that it is ready.
"""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from bench.figure import Figure, Unavailable, rounded
from bench.recordings import KONA_DATABASE

RUNS: Final = 5
_PATIENCE_S: Final = 60.0
_CONFIG: Final = """
vehicle = "bench"
[[can]]
interface = "virtual"
channel = "bench"
dbc = ["{dbc}"]
[spool]
path = "spool.db"
[uplink]
url = "http://127.0.0.1:9"
token_file = "token"
"""


def edge_start(*, runs: int = RUNS) -> Figure:
    """Seconds from the start of the process; the note has its processor time and memory."""
    if not KONA_DATABASE.exists():
        raise Unavailable("there is no car-kona-ev recording in ../shared/data")
    started = [_start() for _ in range(runs)]
    wall_s, cpu_s, rss_mb = (median(column) for column in zip(*started, strict=True))
    note = f"{cpu_s:.2f} s of processor time; RSS {rss_mb:.0f} MB; fleetwire edge run until it is ready"
    return Figure("edge_start", rounded(wall_s), "s", None, None, runs, note)


def _start() -> tuple[float, float, float]:
    """Wall and processor time in seconds until it is ready, and MB that it holds then."""
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        config, address = Path(folder, "edge.toml"), str(Path(folder, "notify"))
        config.write_text(_CONFIG.format(dbc=KONA_DATABASE), encoding="utf-8")
        Path(folder, "token").write_text("token", encoding="ascii")
        told.bind(address)
        told.settimeout(_PATIENCE_S)
        began_s = time.monotonic()
        command = [sys.executable, "-m", "fleetwire", "edge", "run", "--config", str(config)]
        environ = os.environ | {"NOTIFY_SOCKET": address}
        with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as agent:
            try:
                while b"READY=1" not in told.recv(4096):
                    pass
                wall_s = time.monotonic() - began_s
                return wall_s, *_taken(agent.pid)
            finally:
                agent.send_signal(signal.SIGTERM)


def _taken(pid: int) -> tuple[float, float]:
    """Processor time in seconds and resident memory in MB."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    ticks, pages = int(fields[11]) + int(fields[12]), int(fields[21])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * resource.getpagesize() / 1e6


FIGURES: Final[Mapping[str, Callable[[], Figure]]] = {"edge_start": edge_start}
