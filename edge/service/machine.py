"""What /proc and /sys tell of the computer that the agent runs on. Whatever is not there is left out."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_MB: Final = 1e6
_THROTTLED: Final = "devices/platform/soc/soc:firmware/get_throttled"
_UNDERVOLTAGE_NOW, _THROTTLED_NOW = 0x1, 0xE  # as vcgencmd get_throttled tells them


@dataclass(frozen=True, slots=True)
class Machine:
    """`values` are of now, by signal; times count up since the start of the machine or the process."""

    values: Mapping[str, float]
    busy_s: float | None
    total_s: float | None
    agent_s: float | None


def read_machine(proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> Machine:
    """Reads a dozen small files."""
    busy_s, total_s = _cpu_times(proc / "stat")
    values = {
        "Load": _number(_word(proc / "loadavg", 0)),
        "Uptime": _number(_word(proc / "uptime", 0)),
        "CpuTemperature": _hottest(sys),
        "CpuFrequency": _scaled(_number(_text(sys / "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")), 1e-3),
        **_memory(proc / "meminfo"),
        "AgentMemory": _scaled(_number(_word(proc / "self/statm", 1)), _PAGE_BYTES / _MB),
        "DiskWritten": _scaled(written_bytes(proc), 1 / _MB),
        **_power(sys),
        **_network(proc / "net/dev"),
        "WifiSignal": _wifi_dbm(proc / "net/wireless"),
    }
    present = {name: value for name, value in values.items() if value is not None}
    return Machine(present, busy_s, total_s, _agent_time_s(proc / "self/stat"))


def written_bytes(proc: Path = Path("/proc")) -> int | None:
    """What this process wrote to disks since its start, None where the kernel does not tell."""
    written = _number(_field(proc / "self/io", "write_bytes:"))
    return None if written is None else int(written)


def _cpu_times(path: Path) -> tuple[float | None, float | None]:
    fields = (_text(path) or "").partition("\n")[0].split()
    if len(fields) < 6 or fields[0] != "cpu":
        return None, None
    ticks = [int(field) for field in fields[1:9]]  # guest time is counted in user time already
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / _TICKS_PER_S, sum(ticks) / _TICKS_PER_S


def _agent_time_s(path: Path) -> float | None:
    fields = (_text(path) or "").rpartition(")")[2].split()  # the name in brackets may hold anything
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S if len(fields) > 12 else None


def _hottest(sys: Path) -> float | None:
    found = [_number(_text(path)) for path in sys.glob("class/thermal/thermal_zone*/temp")]
    return max((millidegrees / 1000 for millidegrees in found if millidegrees is not None), default=None)


def _memory(path: Path) -> dict[str, float | None]:
    free_kb, swap_kb, swap_free_kb = (
        _number(_field(path, f"{name}:")) for name in ("MemAvailable", "SwapTotal", "SwapFree")
    )
    used_kb = None if swap_kb is None or swap_free_kb is None else swap_kb - swap_free_kb
    return {"MemoryAvailable": _scaled(free_kb, 1.024e-3), "SwapUsed": _scaled(used_kb, 1.024e-3)}


def _power(sys: Path) -> dict[str, float | None]:
    """A Raspberry Pi tells both in one number; with newer kernels there is an alarm of its voltage monitor."""
    text = _text(sys / _THROTTLED)
    if text is not None and re.fullmatch(r"(0x)?[0-9a-fA-F]+", text):
        flags = int(text, 16)
        return {
            "Undervoltage": float(bool(flags & _UNDERVOLTAGE_NOW)),
            "Throttled": float(bool(flags & _THROTTLED_NOW)),
        }
    for name in sys.glob("class/hwmon/hwmon*/name"):
        if _text(name) == "rpi_volt":
            return {"Undervoltage": _number(_text(name.with_name("in0_lcrit_alarm")))}
    return {}


def _network(path: Path) -> dict[str, float | None]:
    received = sent = 0
    lines = (_text(path) or "").splitlines()[2:]
    for line in lines:
        name, _, counts = line.partition(":")
        fields = counts.split()
        if len(fields) > 8 and not name.strip().startswith(("lo", "can", "vcan")):
            received, sent = received + int(fields[0]), sent + int(fields[8])
    return {"NetworkReceived": received / _MB, "NetworkSent": sent / _MB} if lines else {}


def _wifi_dbm(path: Path) -> float | None:
    lines = (_text(path) or "").splitlines()[2:]
    fields = lines[0].split() if lines else []
    return _number(fields[3].rstrip(".")) if len(fields) > 3 else None


def _field(path: Path, label: str) -> str | None:
    for line in (_text(path) or "").splitlines():
        if line.startswith(label):
            return line.split()[1]
    return None


def _word(path: Path, index: int) -> str | None:
    words = (_text(path) or "").split()
    return words[index] if index < len(words) else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _scaled(number: float | None, factor: float) -> float | None:
    return None if number is None else number * factor
