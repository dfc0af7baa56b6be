"""`fleetwire simulate`: it teaches, it works, and wrong use is one line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge.recordings.drive import load_drive
from fleetwire.simulate import simulate


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(simulate, [str(argument) for argument in arguments], prog_name="fleetwire simulate")


def test_drive_writes_a_drive(tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    result = run("drive", "--minutes", "1", "--seed", "4", "--vehicle", "van-4", "-o", file)
    assert result.exit_code == 0, result.output
    assert load_drive(file).vehicle == "van-4"
    printed = run("drive", "--minutes", "1", "--seed", "4", "--vehicle", "van-4")
    assert printed.stdout == file.read_text()


def test_routes_are_listed() -> None:
    result = run("routes")
    assert "helsinki-turku" in result.output
    assert "156.8 km" in result.output


def test_replay_plays_and_sums_up(tmp_path: Path) -> None:
    log = tmp_path / "c.log"
    log.write_text("(1.0) can0 123#01\n(1.1) can0 123#02\n")
    result = run("replay", log, "--interface", "virtual", "--channel", "cli", "--speed", "0")
    assert result.exit_code == 0, result.output
    assert "Played 0.1 s: 2 frames, 0 positions." in result.output


def test_replay_takes_another_dbc(tmp_path: Path) -> None:
    drive, dbc = tmp_path / "d.json", tmp_path / "x.dbc"
    drive.write_text(
        json.dumps({"format": "fleetwire-drive", "version": 1, "signals": {"A.B": {"t": [0, 1], "v": [1, 2]}}})
    )
    dbc.write_text('VERSION ""\nBU_: N\nBO_ 5 A: 1 N\n SG_ B : 0|8@1+ (1,0) [0|0] "" N\n')
    arguments = ("replay", drive, "--interface", "virtual", "--channel", "cli", "--speed", "0")
    assert "2 frames" in run(*arguments, "--dbc", dbc).output
    refused = run(*arguments)
    assert refused.exit_code == 1
    assert refused.output.strip() == "Error: the database has none of the drive's signals: A.B"


@pytest.mark.parametrize("command", [(), ("drive",), ("replay",), ("fleet",)])
def test_help_teaches_with_an_example(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "fleetwire simulate" in result.output.split("Options:")[0].replace("Usage: fleetwire simulate", "")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("drive", "--route", "nowhere"), "no route 'nowhere'; there are helsinki-turku"),
        (("drive", "--start", "yesterday"), "--start 'yesterday' is not a time such as"),
        (("drive", "--minutes", "0"), "takes between 0 and 1440 minutes"),
        (("drive", "-o", "/nowhere/d.json"), "/nowhere/d.json: cannot be written"),
        (("replay", "LOG", "--channel", "c"), "Missing option '--interface'"),
        (("replay", "LOG", "--interface", "virtual"), "Name the bus with --channel"),
        (("replay", "LOG", "--interface", "virtual", "--map", "1"), "'1' is not of the form --map 1=can0"),
        (("replay", "LOG", "--interface", "virtual", "--channel", "c", "--option", "=1"), "--option port=43113"),
        (("replay", "LOG", "--interface", "nothing", "--channel", "c"), "python-can knows"),
        (("replay", "LOG", "--interface", "virtual", "--channel", "c", "--gps-link", "/tmp/x"), "needs a drive"),
        (("replay", "gone.log", "--interface", "virtual", "--channel", "c"), "'gone.log' does not exist"),
        (("replay", "TEXT", "--interface", "virtual", "--channel", "c"), "is no recording of a known format"),
        (("fleet", "--ingest", "nowhere", "--tokens", "LOG"), "not an address such as"),
        (("fleet", "--ingest", "http://x", "--tokens", "LOG"), "line 1: is not JSON"),
        (("fleet", "--ingest", "http://x", "--tokens", "TOKENS", "--vehicles", "9"), "tokens of 2 vehicles, not of 9"),
        (("fleet", "--ingest", "http://x", "--tokens", "TWICE"), "names a vehicle twice"),
        (("fleet", "--ingest", "http://x", "--tokens", "BAD"), "line 2: is not of the form"),
    ],
)
def test_wrong_use_is_one_line(arguments: tuple[str, ...], problem: str, tmp_path: Path) -> None:
    one, two = '{"vehicle":"a","token":"t"}\n', '{"vehicle":"b","token":"t"}\n'
    contents = {
        "LOG": "(1.0) can0 123#01\n",
        "TEXT": "hello\n",
        "TOKENS": one + two,
        "TWICE": one + one,
        "BAD": one + '{"vehicle":"-","token":"t"}\n',
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    result = run(*(tmp_path / argument if argument in contents else argument for argument in arguments))
    assert result.exit_code != 0
    assert problem in result.output
    error = [line for line in result.output.splitlines() if line.startswith("Error:")]
    assert error == [result.output.splitlines()[-1]]
