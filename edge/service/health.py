"""The agent's and its computer's health as signals of their own, which reach the dashboard like any other.

Pure: two looks in, values out. Counters (`Lost…`, `…Failures`) count since the agent's start.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge.decoder import SignalInfo, SignalTable
from edge.service.machine import Machine
from edge.service.status import AgentStatus, frame_rates

MESSAGE: Final = "Health"

_YES_NO: Final[Mapping[int | float, str]] = {0: "No", 1: "Yes"}
_UNITS: Final[Mapping[str, str | None]] = {
    "CpuLoad": "%",
    "Load": None,
    "AgentCpu": "%",
    "CpuTemperature": "°C",
    "CpuFrequency": "MHz",
    "Undervoltage": None,
    "Throttled": None,
    "MemoryAvailable": "MB",
    "SwapUsed": "MB",
    "AgentMemory": "MB",
    "DiskFree": "MB",
    "DiskWritten": "MB",
    "NetworkReceived": "MB",
    "NetworkSent": "MB",
    "WifiSignal": "dBm",
    "Uptime": "s",
    "ClockSynchronised": None,
    "ClockTrusted": None,
    "ClockSteps": None,
    "ClockWaiting": None,
    "SpoolBatches": None,
    "SpoolBytes": "MB",
    "SpoolFill": "%",
    "UplinkLag": "s",
    "UplinkUp": None,
    "UplinkFailures": None,
    "UplinkRefused": None,
    "UplinkSent": "MB",
    "UplinkWay": None,
    "QuotaUsed": "%",
    "Thrift": None,
    "WrittenToday": "MB",
    "SampleRate": "1/s",
    "KeptRate": "1/s",
    "FixRate": "1/s",
    "GpsFailures": None,
    "LostEvicted": None,
    "LostDamaged": None,
    "LostRejected": None,
    "DroppedFrames": None,
}
_OF_BUS: Final[Mapping[str, str | None]] = {
    "FrameRate": "1/s",
    "Dropped": None,
    "ErrorFrames": None,
    "UnknownFrames": None,
    "Restarts": None,
}
_FLAGS: Final = frozenset({"Undervoltage", "Throttled", "ClockSynchronised", "ClockTrusted", "UplinkUp"})
_MB: Final = 1e6


@dataclass(frozen=True, slots=True)
class Look:
    """Everything at one moment."""

    status: AgentStatus
    machine: Machine
    disk_free_bytes: int | None
    synchronised: bool | None


class HealthSignals:
    """The signals' places in the table that the buses' decoders share."""

    def __init__(self, table: SignalTable, buses: Sequence[str]) -> None:
        prefixes = _prefixes(buses)
        names = dict(_UNITS) | {f"{prefix}{name}": unit for prefix in prefixes for name, unit in _OF_BUS.items()}
        self._prefixes = prefixes
        self._indices = {name: table.add(_info(name, unit)) for name, unit in names.items()}

    def samples(self, before: Look, after: Look) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Indices and values of what can be told."""
        values = {**machine_values(before, after), **agent_values(before.status, after.status)}
        rates = frame_rates(before.status, after.status)
        for prefix, bus, rate in zip(self._prefixes, after.status.buses, rates, strict=True):
            values[f"{prefix}FrameRate"] = rate
            values[f"{prefix}Dropped"] = bus.dropped
            values[f"{prefix}ErrorFrames"] = bus.errors
            values[f"{prefix}UnknownFrames"] = bus.faults.get("unknown_id", 0)
            values[f"{prefix}Restarts"] = bus.restarts
        return tuple(self._indices[name] for name in values), tuple(float(value) for value in values.values())


def machine_values(before: Look, after: Look) -> dict[str, float]:
    """By signal; what is not known is left out."""
    values = dict(after.machine.values)
    if (busy_s := _grown(before.machine.busy_s, after.machine.busy_s)) is not None:
        total_s = _grown(before.machine.total_s, after.machine.total_s)
        if total_s:
            values["CpuLoad"] = 100 * busy_s / total_s
    elapsed_s = _elapsed_s(before.status, after.status)
    if elapsed_s and (agent_s := _grown(before.machine.agent_s, after.machine.agent_s)) is not None:
        values["AgentCpu"] = 100 * agent_s / elapsed_s
    if after.disk_free_bytes is not None:
        values["DiskFree"] = after.disk_free_bytes / _MB
    if after.synchronised is not None:
        values["ClockSynchronised"] = after.synchronised
    return values


def agent_values(before: AgentStatus, after: AgentStatus) -> dict[str, float]:
    """By signal."""
    spool, uplink = after.spool, after.uplink
    values: dict[str, float] = {
        "ClockTrusted": after.clock.source is not None,
        "ClockSteps": after.clock.steps,
        "ClockWaiting": after.clock.waiting,
        "SpoolBatches": spool.batches,
        "SpoolBytes": spool.bytes / _MB,
        "SpoolFill": 100 * spool.bytes / spool.max_bytes,
        "UplinkLag": 0.0 if spool.oldest_ms is None else max(after.now_ms - spool.oldest_ms, 0) / 1000,
        "UplinkUp": uplink.problem is None and uplink.last_reply_ms is not None,
        "UplinkFailures": uplink.failures,
        "UplinkRefused": uplink.refused,
        "UplinkSent": uplink.sent_bytes / _MB,
        "Thrift": uplink.thrift,
        "WrittenToday": spool.written_today_bytes / _MB,
        "LostEvicted": after.lost.get("evicted", 0),
        "LostDamaged": after.lost.get("damaged", 0),
        "LostRejected": after.lost.get("rejected", 0),
        "DroppedFrames": after.lost.get("dropped_frames", 0),
    }
    for place, way in enumerate(uplink.ways, 1):
        if way.in_use:
            values["UplinkWay"] = place
            if way.monthly_bytes is not None:
                values["QuotaUsed"] = 100 * way.sent_this_month_bytes / way.monthly_bytes
    if after.gps is not None:
        values["GpsFailures"] = after.gps.failures
    if elapsed_s := _elapsed_s(before, after):
        values["SampleRate"] = (after.samples_seen - before.samples_seen) / elapsed_s
        values["KeptRate"] = (after.samples_kept - before.samples_kept) / elapsed_s
        values["FixRate"] = (after.fixes - before.fixes) / elapsed_s
    return values


def _info(name: str, unit: str | None) -> SignalInfo:
    choices = _YES_NO if name in _FLAGS else None
    return SignalInfo(name=f"{MESSAGE}.{name}", message=MESSAGE, signal=name, unit=unit, choices=choices)


def _prefixes(buses: Iterable[str]) -> list[str]:
    """`can0_` of can0, told apart where two buses come to the same."""
    prefixes: list[str] = []
    for place, bus in enumerate(buses, 1):
        prefix = re.sub(r"[^A-Za-z0-9]+", "_", bus).strip("_") + "_"
        prefixes.append(f"{prefix}{place}_" if prefix in prefixes else prefix)
    return prefixes


def _elapsed_s(before: AgentStatus, after: AgentStatus) -> float:
    return max(after.monotonic_ms - before.monotonic_ms, 0) / 1000


def _grown(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else max(after - before, 0.0)
