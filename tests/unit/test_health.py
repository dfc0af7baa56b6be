"""Health signals, from trees of files as a Raspberry Pi and a bare container have them."""

from pathlib import Path

import pytest

from edge.decoder import SignalTable
from edge.service.health import HealthSignals, Look
from edge.service.machine import Machine, read_machine
from edge.service.status import AgentStatus, BusStatus, ClockStatus, SpoolStatus, UplinkStatus, WayStatus

PI = {
    "proc/stat": "cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3\n",
    "proc/loadavg": "0.25 0.10 0.05 1/100 1234\n",
    "proc/uptime": "3600.50 7000.00\n",
    "proc/meminfo": "MemTotal: 1000000 kB\nMemAvailable: 500000 kB\nSwapTotal: 1000 kB\nSwapFree: 250 kB\n",
    "proc/self/stat": "1 (fleet) wire) S " + "0 " * 10 + "200 100 0 0\n",
    "proc/self/statm": "9000 5000 100 0 0 0 0\n",
    "proc/self/io": "rchar: 1\nwrite_bytes: 3000000\n",
    "proc/net/dev": "Inter-|\n face |\n    lo: 9 0 0 0 0 0 0 0 9 0\n  eth0: 2000000 0 0 0 0 0 0 0 1000000 0\n"
    "  can0: 77 0 0 0 0 0 0 0 77 0\n",
    "proc/net/wireless": "Inter-| sta-|\n face |\n wlan0: 0000   50.  -60.  -256        0\n",
    "sys/class/thermal/thermal_zone0/temp": "48312\n",
    "sys/class/thermal/thermal_zone1/temp": "41000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50001\n",
}


def plant(root: Path, files: dict[str, str]) -> Machine:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_machine(root / "proc", root / "sys")


def test_raspberry_pi_is_read(tmp_path: Path) -> None:
    machine = plant(tmp_path, PI)
    assert machine.values == pytest.approx(
        {
            "Load": 0.25,
            "Uptime": 3600.5,
            "CpuTemperature": 48.312,
            "CpuFrequency": 1500.0,
            "MemoryAvailable": 512.0,
            "SwapUsed": 0.768,
            "AgentMemory": 20.48,
            "DiskWritten": 3.0,
            "Undervoltage": 1.0,
            "Throttled": 0.0,
            "NetworkReceived": 2.0,
            "NetworkSent": 1.0,
            "WifiSignal": -60.0,
        }
    )
    assert (machine.busy_s, machine.total_s, machine.agent_s) == (1.5, 10.0, 3.0)


def test_what_is_not_there_is_left_out(tmp_path: Path) -> None:
    assert plant(tmp_path, {}) == Machine({}, None, None, None)


@pytest.mark.parametrize("text", ["", "nonsense", "cpu\n", "\0\xff"])
def test_nonsense_is_left_out(tmp_path: Path, text: str) -> None:
    assert plant(tmp_path, dict.fromkeys(PI, text)) == Machine({}, None, None, None)


def test_voltage_monitor_of_newer_kernels_is_read(tmp_path: Path) -> None:
    hwmon = {"sys/class/hwmon/hwmon0/name": "cpu_thermal\n", "sys/class/hwmon/hwmon1/name": "rpi_volt\n"}
    assert plant(tmp_path, hwmon | {"sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n"}).values == {"Undervoltage": 1.0}


def test_this_machine_is_read() -> None:
    machine = read_machine()
    assert machine.values["Uptime"] > 0
    assert machine.values["AgentMemory"] > 1
    assert machine.total_s is not None


def status(
    *, at_s: float = 0, frames: int = 0, oldest_ms: int | None = None, problem: str | None = None
) -> AgentStatus:
    def bus(name: str) -> BusStatus:
        return BusStatus(
            name=name,
            frames=frames,
            dropped=2,
            errors=3,
            remote=0,
            restarts=1,
            last_error=None,
            faults={"unknown_id": 4},
        )

    return AgentStatus(
        vehicle="v",
        pid=1,
        started_ms=0,
        now_ms=1_000_000 + int(at_s * 1000),
        monotonic_ms=int(at_s * 1000),
        clock=ClockStatus(
            source="ntp", waiting=0, waits_s=None, steps=1, off_ms=0, gps_differs_ms=None, refused_dates=0
        ),
        buses=(bus("can0"), bus("can-0")),
        gps=None,
        fixes=int(at_s),
        samples_seen=frames,
        samples_kept=frames // 2,
        samples_waiting=0,
        samples_dropped={},
        stored=0,
        settled=0,
        spool=SpoolStatus(
            path="x",
            batches=7,
            bytes=5_000_000,
            max_bytes=50_000_000,
            oldest_ms=oldest_ms,
            overtaken=0,
            written_today_bytes=6_000_000,
        ),
        uplink=UplinkStatus(
            url="x",
            requests=9,
            failures=1,
            refused=0,
            sent_bytes=2_000_000,
            last_reply_ms=1,
            last_settled_ms=None,
            problem=problem,
            thrift=2,
            ways=(
                WayStatus(
                    name=name,
                    url="x",
                    is_up=True,
                    in_use=name == "lte",
                    sent_this_month_bytes=300,
                    monthly_bytes=1000 if name == "lte" else None,
                    problem=None,
                )
                for name in ("wifi", "lte")
            ),
        ),
        lost={"evicted": 5, "dropped_frames": 4},
    )


def test_two_looks_give_rates_and_levels() -> None:
    table = SignalTable()
    health = HealthSignals(table, ["can0", "can-0"])
    before = Look(status(), Machine({}, 10.0, 100.0, 1.0), 1, None)
    after = Look(
        status(at_s=10, frames=1000, oldest_ms=950_000, problem="away"),
        Machine({"Load": 0.5}, 15.0, 120.0, 1.5),
        2_000_000,
        True,
    )
    indices, values = health.samples(before, after)
    told = {table.signals[index].name: value for index, value in zip(indices, values, strict=True)}
    assert told == {
        "Health.Load": 0.5,
        "Health.CpuLoad": 25.0,
        "Health.AgentCpu": 5.0,
        "Health.DiskFree": 2.0,
        "Health.ClockSynchronised": 1.0,
        "Health.ClockTrusted": 1.0,
        "Health.ClockSteps": 1.0,
        "Health.ClockWaiting": 0.0,
        "Health.SpoolBatches": 7.0,
        "Health.SpoolBytes": 5.0,
        "Health.SpoolFill": 10.0,
        "Health.UplinkLag": 60.0,
        "Health.UplinkUp": 0.0,
        "Health.UplinkFailures": 1.0,
        "Health.UplinkRefused": 0.0,
        "Health.UplinkSent": 2.0,
        "Health.UplinkWay": 2.0,
        "Health.QuotaUsed": 30.0,
        "Health.Thrift": 2.0,
        "Health.WrittenToday": 6.0,
        "Health.SampleRate": 100.0,
        "Health.KeptRate": 50.0,
        "Health.FixRate": 1.0,
        "Health.LostEvicted": 5.0,
        "Health.LostDamaged": 0.0,
        "Health.LostRejected": 0.0,
        "Health.DroppedFrames": 4.0,
        "Health.can0_FrameRate": 100.0,
        "Health.can0_Dropped": 2.0,
        "Health.can0_ErrorFrames": 3.0,
        "Health.can0_UnknownFrames": 4.0,
        "Health.can0_Restarts": 1.0,
        "Health.can_0_FrameRate": 100.0,
        "Health.can_0_Dropped": 2.0,
        "Health.can_0_ErrorFrames": 3.0,
        "Health.can_0_UnknownFrames": 4.0,
        "Health.can_0_Restarts": 1.0,
    }
    units = {info.name: info.unit for info in table.signals}
    assert units["Health.UplinkLag"] == "s"
    assert {info.message for info in table.signals} == {"Health"}


def test_nothing_is_divided_by_no_time() -> None:
    look = Look(status(), Machine({}, 1.0, 1.0, 1.0), None, None)
    health = HealthSignals(SignalTable(), ["a.b", "a-b"])
    indices, values = health.samples(look, look)
    assert len(set(indices)) == len(indices) == len(values)
