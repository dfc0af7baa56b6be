import gzip
from pathlib import Path

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.frame import Frame
from edge.recordings.candump import parse_line, time_ns
from edge.recordings.log_file import RecordingCounts, RecordingError
from edge.recordings.recording import is_nmea_log, open_recording

T_NS = 1594172461_968006000


@pytest.mark.parametrize(
    ("line", "frame"),
    [
        ("(1594172461.968006) vcan0 0C8#F000\n", Frame(T_NS, "vcan0", 0xC8, False, b"\xf0\0")),
        ("(1594172461.968006) vcan0 0C8#F000 R\n", Frame(T_NS, "vcan0", 0xC8, False, b"\xf0\0")),
        ("(1594172461.968006) can1 18FEF100#AA T\n", Frame(T_NS, "can1", 0x18FEF100, True, b"\xaa")),
        ("(1594172461.968006) can1 00000123#\n", Frame(T_NS, "can1", 0x123, True, b"")),
        ("(0.5) can0 123##1AABBCC\n", Frame(500_000_000, "can0", 0x123, False, b"\xaa\xbb\xcc")),
        ("(-0.5) can0 123#AA\n", Frame(-500_000_000, "can0", 0x123, False, b"\xaa")),
        ("  vcan0  0C8   [2]  F0 00\n", Frame(None, "vcan0", 0xC8, False, b"\xf0\0")),
        ("  vcan0  123  [00] \n", Frame(None, "vcan0", 0x123, False, b"")),
        ("  vcan0  0C8   [3]  41 42 43   'ABC'\n", Frame(None, "vcan0", 0xC8, False, b"ABC")),
        (
            " (2020-07-08 01:41:01.968006)  can0  RX - -  18FEF100   [1]  41\n",
            Frame(T_NS, "can0", 0x18FEF100, True, b"A"),
        ),
        (" (000.000123)  can0  123   [1]  41\n", Frame(123_000, "can0", 0x123, False, b"A")),
    ],
)
def test_a_candump_line_is_a_frame(line: str, frame: Frame) -> None:
    assert parse_line(line, RecordingCounts()) == frame


@pytest.mark.parametrize(
    ("line", "counted"),
    [
        ("(1.0) can0 123#R\n", "remote"),
        ("(1.0) can0 123#R8\n", "remote"),
        ("  can0  123   [8]  remote request\n", "remote"),
        ("(1.0) can0 20000004#0004000000000000\n", "error"),
        ("  can0  20000080   [8]  00 00 00 00 00 00 00 00   ERRORFRAME\n", "error"),
        ("(1.0) vcan0 ERROR\n", "error"),
        ("  vcan0  ERROR\n", "error"),
        ("# a comment\n", "comments"),
        ("; a comment\n", "comments"),
        ("\n", "comments"),
    ],
)
def test_a_line_that_is_no_data_frame_is_counted(line: str, counted: str) -> None:
    counts = RecordingCounts()
    assert parse_line(line, counts) is None
    assert getattr(counts, counted) == 1


@pytest.mark.parametrize(
    "line",
    [
        "(1594172461.968006) vcan0 0C8#F00\n",
        "(1594172461.968006) vcan0 0C8\n",
        "(1594172461.96",
        "(x) vcan0 0C8#F0\n",
        "(1.2.3) vcan0 0C8#F0\n",
        "(2020-13-08 01:41:01.9)  can0  123   [1]  41\n",
        "  can0  123   [8]  41 42 4\n",
        "  can0  123   [8]  41 42\n",
        "(1.0) can0 123#" + "00" * 65 + "\n",
        "something else\n",
    ],
)
def test_a_broken_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_line(line, RecordingCounts())


@given(st.integers(min_value=-(10**18), max_value=2 * 10**18))
def test_times_are_exact(t_ns: int) -> None:
    sign = "-" if t_ns < 0 else ""
    seconds, below = divmod(abs(t_ns), 10**9)
    assert time_ns(f"{sign}{seconds}.{below:09d}") == t_ns


@given(st.binary(max_size=200))
def test_any_bytes_in_a_log_are_frames_or_counted(tmp_path_factory: pytest.TempPathFactory, rubbish: bytes) -> None:
    path = tmp_path_factory.mktemp("log") / "log.log"
    path.write_bytes(b"(1.0) can0 123#AA\n" + rubbish)
    recording = open_recording(path)
    frames = len(list(recording))
    counts = recording.counts
    assert counts.frames == frames
    lines = (
        1 + len([line for line in rubbish.split(b"\n") if line]) + rubbish.count(b"\n\n") + rubbish.startswith(b"\n")
    )
    assert counts.frames + counts.bad + counts.comments + counts.remote + counts.error <= lines


def test_a_log_is_played_as_far_as_it_is_good(tmp_path: Path) -> None:
    path = tmp_path / "cut.log"
    path.write_text(
        "# logged by hand\n"
        "(5.0) can0 123#01\n"
        "(4.0) can0 123#02\n"
        "(-1.0) can0 123#03\n"
        "(6.0) can0 123#R\n"
        "nonsense\n"
        "(7.0) can0 123#04\n"
        "(8.0) can0 123#0"
    )
    recording = open_recording(path)
    assert [frame.data for frame in recording] == [b"\1", b"\2", b"\3", b"\4"]
    counts = recording.counts
    assert (counts.comments, counts.remote, counts.bad, counts.backwards, counts.negative) == (1, 1, 2, 2, 1)
    assert counts.first_bad == "cut.log, line 6: 'nonsense'"
    assert "2 lines that are no frame" in list(counts.problems())


def test_a_recording_can_be_gone_through_again(tmp_path: Path) -> None:
    path = tmp_path / "drive.log"
    path.write_text("(1.0) can0 123#01\n(2.0) can0 123#02\n")
    recording = open_recording(path)
    assert list(recording) == list(recording)
    assert recording.counts.frames == 2


def test_several_files_are_one_recording(tmp_path: Path) -> None:
    paths = [tmp_path / "1.log", tmp_path / "2.log"]
    for number, path in enumerate(paths):
        path.write_text(f"({number}.0) can0 123#0{number}\n")
    assert [frame.t_ns for frame in open_recording(paths)] == [0, 1_000_000_000]


def test_a_gzipped_log_is_read_and_a_cut_one_is_read_as_far_as_it_is_good(tmp_path: Path) -> None:
    packed = gzip.compress("".join(f"({number}.0) can0 123#01\n" for number in range(50_000)).encode())
    whole, cut = tmp_path / "whole.log.gz", tmp_path / "cut.log.gz"
    whole.write_bytes(packed)
    cut.write_bytes(packed[: len(packed) // 2])
    assert len(list(open_recording(whole))) == 50_000
    recording = open_recording(cut)
    assert 0 < len(list(recording)) < 50_000
    assert len(recording.counts.cut) == 1


@pytest.mark.parametrize(
    "header", ["Time Stamp,ID,Extended,Bus,LEN,D1,D2,D3", "Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3"]
)
def test_gvret_csv_names_its_columns(tmp_path: Path, header: str) -> None:
    path = tmp_path / "savvy.csv"
    between = "Rx," if ",Dir," in header else ""
    path.write_text(f"{header}\n1500000,18FEF100,true,{between}1,2,AA,BB,\n1600000,00000123,false,{between}0,8,01,02\n")
    recording = open_recording(path)
    assert list(recording) == [Frame(1_500_000_000, "1", 0x18FEF100, True, b"\xaa\xbb")]
    assert recording.counts.bad == 1


def test_what_python_can_writes_is_read_back(tmp_path: Path) -> None:
    message = can.Message(
        timestamp=1594172461.968006, arbitration_id=0x123, is_extended_id=False, data=b"\1\2", channel=0
    )
    remote = can.Message(timestamp=1594172462.0, arbitration_id=0x123, is_remote_frame=True, dlc=2, channel=0)
    for suffix in (".blf", ".csv", ".trc", ".db", ".log"):
        path = tmp_path / f"log{suffix}"
        with can.Logger(path) as logger:
            logger(message)
            logger(remote)
        recording = open_recording(path)
        (frame,) = recording
        assert (frame.arbitration_id, frame.is_extended, frame.data) == (0x123, False, b"\1\2"), suffix
        assert recording.counts.remote == (suffix != ".trc"), suffix  # python-can's TRC writer leaves them out


def test_a_cut_blf_is_played_as_far_as_it_is_good(tmp_path: Path) -> None:
    path = tmp_path / "log.blf"
    with can.Logger(path) as logger:
        for number in range(20_000):
            logger(
                can.Message(
                    timestamp=1594172461 + number / 1000, arbitration_id=number % 0x700, data=number.to_bytes(8)
                )
            )
    path.write_bytes(path.read_bytes()[:-1000])
    recording = open_recording(path)
    assert 0 < len(list(recording)) < 20_000
    assert len(recording.counts.cut) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.db", b"hello"),
        ("log.trc", b";$FILEVERSION=1.1\n;$STARTTIME=1e400\n;\n     1)       1e400  Rx         0300  1  00\n"),
    ],
)
def test_what_a_library_cannot_read_is_told(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    recording = open_recording(tmp_path / name)
    assert list(recording) == []
    (told,) = recording.counts.cut
    assert told.startswith(f"{name}: cannot be read on after 0 frames: ")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("empty.log", b"", "is empty"),
        ("notes.txt", b"this is no recording\n", "no recording of a known format"),
        ("gps.log", b"$GPRMC,1,V,,,,,,,*00\r\n", "no CAN frames"),
        ("wrong.mf4", b"no MF4 at all", "is no MF4 recording"),
        (
            "rotten.log.gz",
            gzip.compress(b"(1.0) can0 123#11\n" * 9, mtime=0)[:10] + b"\xff" * 20,
            "cannot be read: Error -3",
        ),
        ("header.csv", b"Time Stamp,ID,Extended,LEN\n1,2,3,4\n", "lacks the columns bus, d1"),
    ],
)
def test_what_is_no_recording_is_one_clear_error(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=problem):
        list(open_recording(path))


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        open_recording(tmp_path / "none.log")


def test_sentences_of_a_receiver_are_known(tmp_path: Path) -> None:
    path = tmp_path / "gps.log"
    path.write_bytes(b"\x00\xffrubbish\r\n$GPRMC,1,V,,,,,,,*00\r\n")
    assert is_nmea_log(path)
    path.write_text("(1.0) can0 123#AA\n")
    assert not is_nmea_log(path)
