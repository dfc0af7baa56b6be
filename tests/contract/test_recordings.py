"""Recordings that other people made: every frame as python-can reads it, and every value as cantools decodes it."""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import can
import cantools
import pytest
from cantools.database.can import Database
from cantools.database.errors import DecodeError
from click.testing import CliRunner

from edge.recordings.log_file import RecordingError
from edge.recordings.mf4 import check_mf4
from edge.recordings.recording import open_recording
from edge.recordings.recording_columns import read_columns
from edge.recordings.replay import ReplayReader
from fleetwire.__main__ import cli

DATA = Path(__file__).parents[3] / "shared" / "data"
TRIP = DATA / "obd2-trip"
TRUCK = DATA / "truck-j1939"
KONA = DATA / "car-kona-ev"
TESLA = DATA / "car-tesla-generated"

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="no ../shared/data beside this checkout")

Row = tuple[str, str, str, str]


def test_an_mf4_is_read_as_python_can_reads_it() -> None:
    path = TRIP / "00000005-60FEB5A8.MF4"
    with can.LogReader(path) as reader:
        expected = [(m.timestamp, str(m.channel), m.arbitration_id, m.is_extended_id, bytes(m.data)) for m in reader]
    found = [(float(f"{f.t_ns}e-9"), *f[1:]) for f in open_recording(path)]
    assert [row[1:] for row in found] == [row[1:] for row in expected]
    assert [row[0] for row in found] == pytest.approx([row[0] for row in expected], abs=1e-6, rel=0)


def test_the_trip_has_all_its_frames() -> None:
    recording = open_recording(sorted(TRIP.glob("*.MF4")))
    times = [frame.t_ns for frame in recording if frame.t_ns is not None]
    assert len(times) == 292_097
    assert recording.counts.backwards == 0
    assert 2388 < (times[-1] - times[0]) / 1e9 < 2390


def test_a_candump_conversion_has_the_frames_of_its_original() -> None:
    for original, converted, channel in (
        (TRIP / "00000001-60FE3F04.MF4", TRIP / "converted-00000001-60FE3F04.candump.log", "can{}"),
        (next(KONA.glob("*.csv")), KONA / "converted-power-off-on-ready-off.candump.log", "can{}"),
    ):
        first, second = list(open_recording(original)), list(open_recording(converted))
        assert [(channel.format(f.channel), *f[2:]) for f in first] == [f[1:] for f in second]
        assert max(abs((a.t_ns or 0) - (b.t_ns or 0)) for a, b in zip(first, second, strict=True)) <= 1000


@pytest.mark.parametrize("path", sorted((DATA / "log-formats").glob("*")), ids=lambda path: path.name)
def test_small_logs_have_the_frames_that_python_can_reads(path: Path) -> None:
    with can.LogReader(path) as reader:
        messages = list(reader)
    data = [m for m in messages if not (m.is_error_frame or m.is_remote_frame)]
    recording = open_recording(path)
    frames = list(recording)
    assert [(f.arbitration_id, f.data) for f in frames] == [(m.arbitration_id, bytes(m.data)) for m in data]
    assert recording.counts.remote + recording.counts.error == len(messages) - len(data)


RECORDINGS = {  # frames, remote frames, error frames, comments, times before the one ahead
    "car-kona-ev/230112-7-2019-pcan-ccan-power-off-on-ready-off.csv": (39_546, 0, 0, 1, 1_845),
    "car-tesla-generated/candump_Manual_SOC_DogMode_CabinTemp.log": (12_138, 0, 0, 0, 0),
    "decode-vectors/decode.input.txt": (4, 0, 1, 1, 0),
    "decode-vectors/decode_log_format.input.txt": (6, 0, 1, 1, 1),
    "decode-vectors/decode_timestamp_absolute.input.txt": (4, 0, 0, 0, 0),
    "decode-vectors/single_line_decode.input.txt": (4, 0, 1, 1, 0),
    "log-formats/logfile.asc": (12, 4, 4, 0, 0),
    "log-formats/test_CanFdMessage.asc": (3, 0, 0, 0, 0),
    "log-formats/test_CanFdMessage.blf": (2, 0, 0, 0, 0),
    "log-formats/test_CanMessage.asc": (2, 0, 0, 0, 0),
    "log-formats/test_CanMessage.asc.gz": (2, 0, 0, 0, 0),
    "log-formats/test_CanMessage.blf": (2, 0, 0, 0, 0),
    "log-formats/test_CanMessage.trc": (2, 0, 0, 0, 0),
    "log-formats/test_CanMessage_V1_1.trc": (10, 1, 0, 0, 0),
    "log-formats/test_CanMessage_V2_1.trc": (10, 1, 0, 0, 0),
    "obd2-trip/00000005-60FEB5A8.MF4": (5_477, 0, 0, 0, 0),
    "obd2-trip/elm327-diagnostic-scan.gvret.csv": (638, 0, 0, 1, 0),
    "truck-j1939/truck-idle.MF4": (57_849, 0, 0, 0, 0),
}
"""All there are, but for the two conversions to candump and four of the trip's five files, which other tests read."""


def test_no_recording_is_left_out() -> None:
    formats = (".csv", ".log", ".input.txt", ".asc", ".asc.gz", ".blf", ".trc", ".MF4")
    folders = {name.partition("/")[0] for name in RECORDINGS}
    found = {
        f"{folder}/{path.name}"
        for folder in folders
        for path in (DATA / folder).iterdir()
        if path.name.endswith(formats)
    }
    others = found - RECORDINGS.keys()
    assert found > RECORDINGS.keys()
    assert len(others) == 6
    assert all("/converted-" in name or "/0000000" in name for name in others)


@pytest.mark.parametrize("name", RECORDINGS)
async def test_every_recording_is_decoded_and_replayed_as_far_as_it_is_good(name: str) -> None:
    path = DATA / name
    recording = open_recording(path)
    frames = list(recording)
    counts = recording.counts
    assert (len(frames), counts.remote, counts.error, counts.comments, counts.backwards) == RECORDINGS[name]
    assert (counts.frames, counts.bad, counts.negative, counts.cut) == (len(frames), 0, 0, [])
    in_columns = open_recording(path)
    assert [columns.frame(row) for columns in read_columns(in_columns) for row in range(len(columns))] == frames
    assert in_columns.counts == counts
    async with ReplayReader([path], name="bus", speed=0) as reader:
        replayed = [frame for some in [taken async for taken in reader] for frame in some]
    assert [frame[2:] for frame in replayed] == [frame[2:] for frame in frames]
    assert (reader.counts.remote, reader.counts.error) == (counts.remote, counts.error)
    _, told = _decode([path], [TESLA / "Model3CAN.dbc"])
    assert f"from {len(frames):,} frames" in told
    for problem in counts.problems():
        assert f"{path.name}: {problem}" in told


@pytest.mark.parametrize("kept", [0, 40, 100, 5_000, 20_000, 135_250, 150_000, -1])
def test_a_cut_mf4_is_one_clear_error(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "cut.MF4"
    path.write_bytes((TRIP / "00000005-60FEB5A8.MF4").read_bytes()[:kept])
    with pytest.raises(RecordingError, match=r"cut\.MF4: is (cut|empty|no MF4)"):
        open_recording(path)


def test_a_damaged_mf4_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "damaged.MF4"
    content = bytearray((TRIP / "00000005-60FEB5A8.MF4").read_bytes())
    content[135_256:135_264] = b"rubbish!"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="is damaged"):
        check_mf4(path)


def test_decode_equals_cantools_on_the_trips_first_file() -> None:
    databases = [TRIP / "OBD-v4.4.dbc", TRIP / "canmod-gnss.dbc"]
    path = TRIP / "00000001-60FE3F04.MF4"
    rows, told = _decode([path], databases)
    assert rows == list(_reference(_frames(path), _database(databases)))
    assert "frames with an identifier that no database has: 17F00010" in told


def test_decode_equals_cantools_on_the_car() -> None:
    path = KONA / "converted-power-off-on-ready-off.candump.log"
    database = KONA / "pcan-without-ns-block.dbc"
    rows, told = _decode([path], [f"can0={database}"])
    frames = [row for row in _frames(path) if row[1] == "can0"]
    assert rows == list(_reference(frames, _database([database])))
    assert "282 frames shorter than the database says" in told


def test_decode_equals_cantools_on_the_generated_traffic() -> None:
    path = next(TESLA.glob("*.log"))
    rows, _ = _decode([path], [TESLA / "Model3CAN.dbc"])
    assert rows == list(_reference(_frames(path), _database([TESLA / "Model3CAN.dbc"])))


def test_decode_matches_the_trucks_parameter_groups() -> None:
    rows, _ = _decode([TRUCK / "truck-idle.MF4"], [f"1={TRUCK / 'CSS-Electronics-SAE-J1939-DEMO.dbc'}"])
    speeds = [
        float(value) for _, (_, message, signal, value) in rows if (message, signal) == ("EEC1", "EngineSpeed@00")
    ]
    assert (min(speeds), max(speeds)) == (646.5, 653.75)
    groups = {
        (frame.arbitration_id >> 8) & 0x3FFFF for frame in open_recording(TRUCK / "truck-idle.MF4") if frame.is_extended
    }
    assert {0xF004, 0xFEF1} <= groups
    assert len(speeds) == sum(
        (f.arbitration_id >> 8) & 0x3FFFF == 0xF004 for f in open_recording(TRUCK / "truck-idle.MF4") if f.is_extended
    )


def test_decode_reads_candumps_console_form_without_times() -> None:
    vectors = DATA / "decode-vectors"
    rows, told = _decode([vectors / "decode.input.txt"], [vectors / "socialledge.dbc"])
    assert (None, ("vcan0", "IO_DEBUG", "IO_DEBUG_test_enum", "2")) in rows
    assert "1 error frames" in told


def test_decode_gives_the_fixes_of_an_nmea_log() -> None:
    rows, _ = _decode([DATA / "nmea" / "haicom-305N.log"], [])
    assert {(channel, message) for _, (channel, message, _, _) in rows} == {("gps", "Fix")}
    assert sum(signal == "lat" for _, (_, _, signal, _) in rows) == 68


def _decode(logs: Iterable[Path], databases: Iterable[Path | str]) -> tuple[list[tuple[float | None, Row]], str]:
    arguments = [str(log) for log in logs]
    for database in databases:
        arguments += ["--dbc", str(database)]
    result = CliRunner().invoke(cli, ["decode", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    header, *rows = csv.reader(io.StringIO(result.stdout))
    assert header == ["t", "channel", "message", "signal", "value"]
    return [
        (float(t) if t else None, (channel, message, signal, value)) for t, channel, message, signal, value in rows
    ], result.stderr


def _frames(path: Path) -> Iterator[tuple[float, str, int, bytes]]:
    with can.LogReader(path) as reader:
        for message in reader:
            yield round(message.timestamp, 6), str(message.channel), message.arbitration_id, bytes(message.data)


def _reference(frames: Iterable[tuple[float, str, int, bytes]], database: Database) -> Iterator[tuple[float, Row]]:
    """A plain loop over cantools; the logs have no selector value that their database lacks, except where it raises."""
    for t, channel, arbitration_id, data in frames:
        try:
            message = database.get_message_by_frame_id(arbitration_id)
            decoded = message.decode(data, decode_choices=False, allow_truncated=True)
        except (KeyError, DecodeError):
            continue
        assert isinstance(decoded, dict)
        for signal, value in decoded.items():
            yield t, (channel, message.name, signal, repr(value))


def _database(paths: Iterable[Path]) -> Database:
    database = cantools.database.Database()
    for path in paths:
        database.add_dbc_file(path)
    assert isinstance(database, Database)
    return database
