import gzip
import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fleetwire.__main__ import cli

DBC = (
    'VERSION ""\n\nBS_:\n\nBU_: ECU\n\n'
    'BO_ 291 Engine: 8 ECU\n SG_ Speed : 0|16@1+ (0.5,0) [0|0] "rpm" ECU\n SG_ Gear : 16|8@1+ (1,0) [0|0] "" ECU\n'
    'BO_ 292 Real: 4 ECU\n SG_ Value : 0|32@1- (1,0) [0|0] "" ECU\n'
    "SIG_VALTYPE_ 292 Value : 1;\n"
)
LOG = "(1594172461.968006) can0 123#0300050000000000\n(1594172461.969001) can1 123#04000600\n"


@pytest.fixture
def dbc(tmp_path: Path) -> Path:
    path = tmp_path / "vehicle.dbc"
    path.write_text(DBC)
    return path


def test_csv_has_a_header_exact_times_and_numbers_as_they_are(tmp_path: Path, dbc: Path) -> None:
    result = _decode(_log(tmp_path), "--dbc", dbc)
    assert result.stdout == (
        "t,channel,message,signal,value\n"
        "1594172461.968006,can0,Engine,Speed,1.5\n"
        "1594172461.968006,can0,Engine,Gear,5\n"
        "1594172461.969001,can1,Engine,Speed,2.0\n"
        "1594172461.969001,can1,Engine,Gear,6\n"
    )
    assert "4 values from 2 frames" in result.stderr
    assert "channel can1: 1 frames shorter than the database says" in result.stderr


def test_jsonl_has_an_object_a_line(tmp_path: Path, dbc: Path) -> None:
    log = _log(tmp_path, "  can0  123   [8]  03 00 05 00 00 00 00 00\n(1.5) can0 124#0000C07F\n")
    rows = [json.loads(line) for line in _decode(log, "--dbc", dbc, "--format", "jsonl").stdout.splitlines()]
    assert rows == [
        {"t": None, "channel": "can0", "message": "Engine", "signal": "Speed", "value": 1.5},
        {"t": None, "channel": "can0", "message": "Engine", "signal": "Gear", "value": 5},
        {"t": 1.5, "channel": "can0", "message": "Real", "signal": "Value", "value": None},
    ]


def test_protocols_are_shown_when_asked_for(tmp_path: Path, dbc: Path) -> None:
    scan = "(1.0) can0 7DF#02010C\n(1.1) can0 7E8#04410C1AF8AAAAAA\n(1.2) can0 7E8#04430101230000AA\n"
    tool = "(1.3) can0 7E8#1014490201314434\n(1.4) can0 7E8#2147503030523535\n(1.5) can0 7E8#2242313233343536\n"
    log = _log(tmp_path, scan + tool + "(1.6) can0 18FECA0B#04FFB804030AFFFF\n")
    assert _decode(log, "--dbc", dbc).stdout == "t,channel,message,signal,value\n"
    isotp = [line.split(",", 2)[2] for line in _decode(log, "--protocol", "isotp").stdout.splitlines()[1:]]
    assert isotp == [
        "ISO-TP@7DF,data,010C",
        "OBD,EngineSpeed,1726.0",
        "ISO-TP@7E8,data,410C1AF8",
        "ISO-TP@7E8,data,43010123",
        "DTC@7E8,stored,P0123",
        "ISO-TP@7E8,data,4902013144344750303052353542313233343536",
        "VIN@7E8,vin,1D4GP00R55B123456",
    ]
    rows = [json.loads(line) for line in _decode(log, "--protocol", "j1939", "--format", "jsonl").stdout.splitlines()]
    assert {row["message"] for row in rows} == {"DM1@0B"}
    assert {row["signal"]: row["value"] for row in rows} == {
        **{"malfunction": 0, "red_stop": 0, "amber_warning": 1, "protect": 0},
        **{"codes": 1, "spn1": 1208, "fmi1": 3, "occurrence1": 10},
    }


def test_a_database_can_be_for_one_channel(tmp_path: Path, dbc: Path) -> None:
    result = _decode(_log(tmp_path), "--dbc", f"can1={dbc}", "--dbc", f"can9={dbc}")
    assert {line.split(",")[1] for line in result.stdout.splitlines()[1:]} == {"can1"}
    assert "channel can9: a database was given for it, but no log has it" in result.stderr


def test_an_equals_sign_in_a_files_name_is_no_channel(tmp_path: Path, dbc: Path) -> None:
    path = dbc.rename(tmp_path / "a=b.dbc")
    assert len(_decode(_log(tmp_path), "--dbc", path).stdout.splitlines()) == 5


def test_what_is_wrong_with_a_log_is_said_and_the_rest_decoded(tmp_path: Path, dbc: Path) -> None:
    result = _decode(_log(tmp_path, LOG + "(1.0) can0 123#R\nnonsense\n(2.0) can0 7FF#00\n"), "--dbc", dbc)
    assert len(result.stdout.splitlines()) == 5
    for told in ("1 remote frames", "1 lines that are no frame", "line 4: 'nonsense'", "no database has: 7FF (1)"):
        assert told in result.stderr


def test_what_is_wrong_with_a_receivers_log_is_said(tmp_path: Path) -> None:
    path = tmp_path / "gps.nmea.gz"
    good = b"$GPRMC,101530.00,A,4807.0380,N,01131.0000,E,10.0,084.4,230394,,,A*6C\r\n"
    whole = gzip.compress(100 * (good + good.replace(b"4807", b"4817") + b"$GPRMC,101\r\n" + _noise(60)))
    path.write_bytes(whole[: len(whole) // 2])
    result = _decode(path)
    assert result.stdout.splitlines()[1].startswith("764417730.000000,gps,Fix,lat,48.1173")
    for told in ("sentences with a wrong checksum", "sentences without a checksum", "cannot be read on: Compressed"):
        assert told in result.stderr


def test_log_of_which_nothing_can_be_read_is_an_error(tmp_path: Path, dbc: Path) -> None:
    path = tmp_path / "drive.db"
    path.write_text("hello")
    result = CliRunner().invoke(cli, ["decode", str(path), "--dbc", str(dbc)])
    assert result.exit_code == 1
    assert "nothing in drive.db can be read" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "problem"),
    [
        ([], 2, "Missing argument"),
        (["drive.log"], 2, "name the CAN database with --dbc FILE"),
        (["drive.log", "--dbc", "none.dbc"], 1, "none.dbc: cannot be read: No such file or directory"),
        (["none.log", "--dbc", "vehicle.dbc"], 1, "none.log: cannot be read: No such file or directory"),
        (["vehicle.dbc", "--dbc", "vehicle.dbc"], 1, "no recording of a known format"),
        (["drive.log", "--dbc", "overlapping.dbc"], 1, "overlapping.dbc, line 9: The signals"),
        (["drive.json", "--dbc", "vehicle.dbc"], 1, "play it with 'fleetwire simulate replay'"),
    ],
)
def test_wrong_use_says_what_is_wrong(
    tmp_path: Path, dbc: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    _log(tmp_path)
    Path("overlapping.dbc").write_text(DBC.replace("Gear : 16|8", "Gear : 8|8"))
    result = CliRunner().invoke(cli, ["decode", *arguments])
    assert result.exit_code == status
    assert problem in result.stderr


def test_overlapping_signals_are_left_out_without_the_strict_check(tmp_path: Path, dbc: Path) -> None:
    dbc.write_text(DBC.replace("Gear : 16|8", "Gear : 8|8"))
    result = _decode(_log(tmp_path, LOG + "(1.0) can0 124#00000000\n"), "--dbc", dbc, "--no-strict")
    assert result.stdout.splitlines()[1:] == ["1.000000,can0,Real,Value,0.0"]
    assert "cannot unpack them: Engine (1)" in result.stderr


def _decode(log: Path, *arguments: Path | str) -> Result:
    result = CliRunner().invoke(cli, ["decode", str(log), *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result


def _noise(length: int) -> bytes:
    """What does not compress, in a line of its own."""
    return random.Random(1).randbytes(length).hex().encode() + b"\r\n"


def _log(folder: Path, text: str = LOG) -> Path:
    path = folder / "drive.log"
    path.write_text(text)
    return path
