"""What the kernel says of its clocks."""

import ctypes
import platform
import time
import uuid
from functools import cache
from pathlib import Path
from typing import Any, Final

from edge.clock.clock_trust import Reading

_TIMEX_BYTES: Final = 512  # more than struct timex takes anywhere; all zero asks without setting anything
_TIME_ERROR: Final = 5  # adjtimex(2): nobody keeps the clock
_BOOT_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while the computer sleeps
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_BATTERY_CLOCKS: Final = Path("/sys/class/rtc")
_SAME_S: Final = 10
_SURE_NS: Final = 50_000
_TRIALS: Final = 5


class KernelClock:
    """The computer's clocks, and the boot that they belong to."""

    def __init__(self) -> None:
        self.boot_id = _read_boot_id()
        self.keeps_time = keeps_time(platform.machine(), _BATTERY_CLOCKS, now_s=time.time())

    def read(self) -> Reading:
        """All at one moment, as far as that can be: between two looks another process may run."""
        best: tuple[int, int, int] | None = None
        for _ in range(_TRIALS):
            before_ns = time.clock_gettime_ns(_BOOT_CLOCK)
            wall_ns = time.time_ns()
            took_ns = time.clock_gettime_ns(_BOOT_CLOCK) - before_ns
            if best is None or took_ns < best[0]:
                best = (took_ns, before_ns + took_ns // 2, wall_ns)
            if took_ns <= _SURE_NS:
                break
        assert best is not None
        return Reading(best[1], best[2], is_synchronised())


def is_synchronised() -> bool | None:
    """Whether something keeps the clock right, as NTP or PPS does; None where the kernel does not say."""
    adjtimex = getattr(_c_library(), "adjtimex", None)
    if adjtimex is None:
        return None
    state = adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if state < 0 else state != _TIME_ERROR


def keeps_time(machine: str, clocks: Path, *, now_s: float) -> bool:
    """Whether the computer's clock runs on without power, or its host sets it.

    A PC has a battery for it, a virtual one its host. Others do if they have a clock chip that agrees: one with an
    empty battery does not.
    """
    if machine.lower() in {"x86_64", "amd64", "i386", "i686"}:
        return True
    return any(_says(clock, now_s) for clock in clocks.glob("rtc*"))


def _says(clock: Path, now_s: float) -> bool:
    try:
        return abs(int((clock / "since_epoch").read_text()) - now_s) <= _SAME_S
    except (OSError, ValueError):
        return False


def _read_boot_id() -> str:
    """One that nothing else has where the kernel names none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return str(uuid.uuid4())


@cache
def _c_library() -> Any:
    return ctypes.CDLL(None)
