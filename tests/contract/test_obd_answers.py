"""Answers on real cars' buses: values against the drive's own database, messages against a naive reassembly."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.dbc import load_database
from edge.decoder import Decoder, SignalTable
from edge.protocols.listener import Listener
from edge.recordings.recording import open_recording
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


def naive(lines: Iterable[str]) -> tuple[list[tuple[str, str, str]], int]:
    """Time, identifier and content of each message, after ISO 15765-2 and by hand; how many were begun and not ended.

    A text of hexadecimal digits is cut as the standard's pictures show it: 0N single, 1NNN first, 2n consecutive, 3x
    flow control.
    """
    found = []
    begun: dict[str, tuple[int, str, int]] = {}
    for line in lines:
        time_us, identifier, _, _, _, size, *cells = line.strip().split(",")
        frame = size + "".join(cells)
        if frame[0] == "0":
            found.append((time_us, identifier[-3:], frame[2 : 2 + 2 * int(frame[1], 16)]))
        elif frame[0] == "1":
            begun[identifier] = (2 * int(frame[1:4], 16), frame[4:16], 1)
        elif frame[0] == "2":
            wanted, content, number = begun.pop(identifier)
            assert int(frame[1], 16) == number % 16
            content += frame[2:16]
            if len(content) < wanted:
                begun[identifier] = (wanted, content, number + 1)
            else:
                found.append((time_us, identifier[-3:], content[:wanted]))
        else:
            assert frame[0] == "3"
    return found, len(begun)


def scan_lines() -> list[str]:
    return SCAN.read_text().splitlines()


def isotp_of(path: Path) -> list[tuple[str, str, str]]:
    return [
        (t.replace(".", "").lstrip("0"), message.removeprefix("ISO-TP@"), value)
        for t, _, message, _, value in rows(str(path), "--protocol", "isotp")
        if message.startswith("ISO-TP@")
    ]


def test_messages_of_the_scan_are_those_of_a_naive_reassembly() -> None:
    wanted, unfinished = naive(scan_lines()[1:])
    assert isotp_of(SCAN) == wanted
    assert (len(wanted), unfinished) == (636, 2)
    # What was recorded has no consecutive frame: nobody asked for the rest of the two answers that needed more.
    assert {line.split(",")[5][0] for line in scan_lines()[1:]} == {"0", "1"}


def test_answers_of_the_scan_would_be_whole_had_their_rest_been_sent(tmp_path: Path) -> None:
    """The recording's own two first frames, each followed by made-up frames, mixed up with each other and the rest."""
    header, *lines = scan_lines()
    begun = [line.split(",") for line in lines if line.split(",")[5] == "10"]
    assert [(cells[1][-3:], cells[6]) for cells in begun] == [("7CC", "13"), ("778", "17")]
    rest = [
        ",".join([str(8_700_000 + 1000 * number + place), *cells[1:5], f"2{number}", *[f"{number}{place}"] * 7])
        for number in range(1, 4)
        for place, cells in enumerate(begun)
        if 6 + 7 * (number - 1) < int(cells[6], 16)
    ]
    wanted_us = {cells[1]: int(cells[0]) for cells in begun}
    near = [line.replace(line.split(",")[0], str(max(wanted_us.values()) + 1 + n), 1) for n, line in enumerate(rest)]
    path = tmp_path / "scan.csv"
    last = max(place for place, line in enumerate(lines) if line.split(",")[5] == "10")
    path.write_text("\n".join([header, *lines[: last + 1], *near, *lines[last + 1 :]]) + "\n")
    wanted, unfinished = naive(path.read_text().splitlines()[1:])
    assert unfinished == 0
    assert [len(content) // 2 for _, _, content in wanted if len(content) > 14] == [0x13, 0x17]
    assert isotp_of(path) == wanted


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
