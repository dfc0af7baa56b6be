"""Answers on real cars' buses: values against the drive's own database, messages against a naive reassembly."""

from collections import defaultdict
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.dbc import load_database
from edge.decoder import Decoder, SignalTable
from edge.listener import Listener
from edge.recording import open_recording
from fleetwire.__main__ import cli

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "obd2-trip"
DRIVE = FOLDER / "converted-00000001-60FE3F04.candump.log"
SCAN = FOLDER / "elm327-diagnostic-scan.gvret.csv"
SIGNALS = {
    "CalculatedLoad": "S01PID04_CalcEngineLoad",
    "CoolantTemperature": "S01PID05_EngineCoolantTemp",
    "IntakeManifoldPressure": "S01PID0B_IntakeManiAbsPress",
    "EngineSpeed": "S01PID0C_EngineRPM",
    "VehicleSpeed": "S01PID0D_VehicleSpeed",
    "ThrottlePosition": "S01PID11_ThrottlePosition",
    "FuelLevel": "S01PID2F_FuelTankLevel",
    "BarometricPressure": "S01PID33_AbsBaroPres",
    "ControlModuleVoltage": "S01PID42_ControlModuleVolt",
    "ActualTorque": "S01PID62_ActualEngTorqPct",
}

pytestmark = pytest.mark.skipif(not DRIVE.exists(), reason="no ../shared/data beside this checkout")


def test_values_are_those_of_the_drives_database() -> None:
    with_database = Decoder([load_database(FOLDER / "OBD-v4.4.dbc", strict=False)])
    without = Decoder([], table=SignalTable())
    listener = Listener(without)
    compared: dict[str, int] = defaultdict(int)
    for _, _, arbitration_id, is_extended, data in open_recording(DRIVE):
        if arbitration_id != 0x7E8:
            continue
        decoded = with_database.decode(arbitration_id, is_extended, data)
        assert decoded is not None
        wanted = {with_database.signals[index].signal: value for index, value in zip(*decoded[:2], strict=True)}
        assert without.decode(arbitration_id, is_extended, data) is None
        for indices, values, _ in listener.take(0, arbitration_id, is_extended, data).decoded:
            name = without.signals[indices[0]].signal
            # The database rounds 100/255 to 0.39216 for the older of its values.
            assert values[0] == pytest.approx(wanted[SIGNALS[name]], rel=1e-5)
            compared[name] += 1
    assert compared.keys() == SIGNALS.keys()
    assert sum(compared.values()) > 6000


def rows(*arguments: str) -> list[list[str]]:
    result = CliRunner().invoke(cli, ["decode", *arguments])
    assert result.exit_code == 0
    return [line.split(",") for line in result.stdout.splitlines()[1:]]


def naive() -> list[tuple[str, str, str]]:
    """Time, identifier and content: every message of this scan that is whole came in one frame."""
    found = []
    for line in SCAN.read_text().splitlines()[1:]:
        time_us, identifier, _, _, _, size, *content = line.split(",")
        if int(size, 16) < 8:
            found.append((time_us, identifier[-3:], "".join(content[: int(size, 16)])))
        else:
            assert size == "10"
    return found


def test_messages_of_the_scan_are_those_of_a_naive_reassembly() -> None:
    given = [
        (f"{t.replace('.', '').lstrip('0')}", message.removeprefix("ISO-TP@"), value)
        for t, _, message, _, value in rows(str(SCAN), "--protocol", "isotp")
        if message.startswith("ISO-TP@")
    ]
    assert given == naive()
    assert len(given) == 636


def test_trouble_codes_of_the_scan() -> None:
    told = {(row[2], row[3], row[4]) for row in rows(str(SCAN), "--protocol", "isotp") if row[2].startswith("DTC@")}
    assert {row for row in told if "-" in row[1]} == {
        ("DTC@72D", "B1603-00", "8"),
        ("DTC@7AD", "B1603-00", "8"),
        ("DTC@7BB", "B1238-13", "9"),
        ("DTC@7BF", "C1812-87", "40"),
        ("DTC@7CE", "B1001-52", "9"),
        ("DTC@7DC", "C1812-87", "8"),
    }
    assert {row[1:] for row in told if "-" not in row[1]} == {("stored", ""), ("pending", ""), ("permanent", "")}


def test_messages_whose_rest_was_never_sent_are_said() -> None:
    result = CliRunner().invoke(cli, ["decode", str(SCAN), "--protocol", "isotp"])
    assert "channel 1: messages of several frames: 2 unfinished" in result.stderr
