"""Columns say what frames say, one after the other: the same frames, counts, numbers and text."""

import math
from collections.abc import Sequence
from pathlib import Path

import cantools
import numpy as np
import pytest
from cantools.database.can import Database
from hypothesis import given
from hypothesis import strategies as st

from edge.decoder import Decoder
from edge.frame import Frame
from edge.recordings.candump import parse_line
from edge.recordings.candump_columns import parse_block
from edge.recordings.decode_columns import ColumnDecoder, Lookup
from edge.recordings.decode_log import CsvLines, JsonLines, LogDecoder
from edge.recordings.decode_log_columns import ColumnLogDecoder
from edge.recordings.frame_columns import columns_of
from edge.recordings.log_file import RecordingCounts
from edge.recordings.recording import Recording, open_recording
from edge.recordings.recording_columns import read_columns

DBC = """VERSION ""
BS_:
BU_: ECU
BO_ 256 Mixed: 8 ECU
 SG_ Little : 3|13@1- (0.25,-7) [0|0] "" ECU
 SG_ Big : 23|20@0+ (1,0) [0|0] "" ECU
 SG_ Wide : 40|20@1+ (3,1) [0|0] "" ECU
BO_ 257 Chosen: 8 ECU
 SG_ Way M : 0|3@1+ (1,0) [0|0] "" ECU
 SG_ Always : 8|8@1+ (1,0) [0|0] "" ECU
 SG_ One m1 : 16|16@0- (0.1,0) [0|0] "" ECU
 SG_ Two m2 : 16|32@1+ (1,0) [0|0] "" ECU
BO_ 258 Real: 8 ECU
 SG_ R : 31|32@0- (1,0) [0|0] "" ECU
 SG_ S : 32|32@1- (2,1) [0|0] "" ECU
BO_ 259 Long: 64 ECU
 SG_ Far : 500|12@1+ (1,0) [0|0] "" ECU
 SG_ Near : 7|64@0+ (1,0) [0|0] "" ECU
BO_ 260 TooWide: 16 ECU
 SG_ Crossing : 4|64@1+ (1,0) [0|0] "" ECU
BO_ 261 Nothing: 1 ECU
BO_ 2566844672 EEC: 8 ECU
 SG_ Speed : 24|16@1+ (0.125,0) [0|0] "" ECU
BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN","reserved","J1939PG";
BA_DEF_DEF_ "VFrameFormat" "J1939PG";
SIG_VALTYPE_ 258 R : 1;
SIG_VALTYPE_ 258 S : 1;
"""
IDS = st.sampled_from([256, 257, 257, 258, 259, 260, 261, 300, 0x7DF, 0x18FEF100, 0x18FEF10B, 0x1CECFF00, 0x1CEBFF00])
PAYLOADS = st.one_of(
    st.binary(min_size=8, max_size=8),
    st.binary(max_size=9),
    st.binary(min_size=64, max_size=64),
    st.binary(min_size=16, max_size=16),
    st.sampled_from([bytes.fromhex("2012000201CAFE00"), bytes.fromhex("7FC000000000807F")]),
)
TIMES = st.one_of(st.none(), st.integers(-3 * 10**9, 2 * 10**18), st.integers(0, 2 * 10**12).map(lambda us: us * 1000))
FRAMES = st.lists(st.tuples(TIMES, st.sampled_from(["can0", "1", "a,b"]), IDS, PAYLOADS), max_size=40)
LINE = st.one_of(
    st.builds(
        "({}.{:06d}) {} {}#{}".format,
        st.sampled_from(["0", "1594172461", "0000000012", "9223372037", "99999999999"]),
        st.integers(0, 999_999),
        st.sampled_from(["can0", "vcan0", "can1"]),
        st.sampled_from(["123", "7fF", "18FEF100", "20000004"]),
        st.binary(max_size=9).map(bytes.hex),
    ),
    st.sampled_from(["", "# a comment", "(1.5) can0 123#00", "(1.000000) can0 123#R", "(1.000000) can0 123##100"]),
    st.sampled_from(
        ["(-1.000000) can0 123#00", "(1.000000) can0 123#0", "(1.000000)  can0 123#00", " can0 123 [1] 00"]
    ),
    st.text("(). 01aZ#\r\tcnäR", max_size=40),
)


@pytest.fixture(scope="module")
def database() -> Database:
    loaded = cantools.database.load_string(DBC, "dbc", strict=False)
    assert isinstance(loaded, Database)
    return loaded


@given(frames=FRAMES, form=st.sampled_from([CsvLines, JsonLines]), shows=st.booleans())
def test_text_is_that_of_one_frame_after_the_other(
    database: Database, frames: list[tuple[int | None, str, int, bytes]], form: type[CsvLines | JsonLines], shows: bool
) -> None:
    recorded = [Frame(t_ns, channel, can_id, can_id > 0x7FF, data) for t_ns, channel, can_id, data in frames]
    one_by_one, at_once = (
        LogDecoder([(None, database)], form(), ["j1939", "isotp"] if shows else []) for _ in range(2)
    )
    wanted = "".join(one_by_one.frames(recorded))
    found = b"".join(ColumnLogDecoder(at_once).lines(Listed(recorded)))
    assert found.decode() == wanted
    assert at_once.values == one_by_one.values
    assert sorted(at_once.problems()) == sorted(one_by_one.problems())


@given(
    recordings=st.lists(
        st.lists(
            st.tuples(
                st.sampled_from([None, 1000, 2_000_001]),
                st.sampled_from(["can0", "can1"]),
                st.sampled_from([256, 257, 258, 260, 261, 300, 0x18FEF100, 0x18FEF10B]),
                st.sampled_from([bytes(8), bytes(7), bytes(1), bytes(9), *(bytes([n]) * 8 for n in range(1, 5))]),
            ),
            max_size=12,
        ),
        max_size=5,
    ),
    most_of_one=st.integers(0, 4),
    place_bits=st.sampled_from([1, 2, 10]),
)
def test_text_of_payloads_that_come_again_is_the_same(
    database: Database,
    recordings: list[list[tuple[int | None, str, int, bytes]]],
    most_of_one: int,
    place_bits: int,
) -> None:
    one_by_one, at_once = (LogDecoder([(None, database)], CsvLines()) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge.recordings.known_frames._MOST_OF_ONE", most_of_one)
        patch.setattr("edge.recordings.known_frames._PLACE_BITS", place_bits)
        columns = ColumnLogDecoder(at_once)
        for frames in recordings:
            recorded = [Frame(t_ns, channel, can_id, can_id > 0x7FF, data) for t_ns, channel, can_id, data in frames]
            wanted = "".join(one_by_one.frames(recorded))
            assert b"".join(columns.lines(Listed(recorded))).decode() == wanted
    assert at_once.values == one_by_one.values
    assert sorted(at_once.problems()) == sorted(one_by_one.problems())


@given(
    lines=st.lists(
        st.builds(
            "({}.{:06d}) can0 {}#{}".format,
            st.sampled_from(["0", "7", "12", "99"]),
            st.integers(0, 999_999),
            st.sampled_from(["100", "101", "103", "12C", "18FEF10B"]),
            st.sampled_from(["0123456789ABCDEF", "0000000000000000", "00", ""]),
        ),
        min_size=1,
        max_size=12,
    ),
    odd=st.sampled_from(["", "(07.000000) can0 100#0123456789abcdef\n", "(1.5) can0 100#0123456789abcdef\n"]),
    form=st.sampled_from([CsvLines, JsonLines]),
)
def test_times_are_written_as_seconds_are(
    database: Database,
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[str],
    odd: str,
    form: type[CsvLines | JsonLines],
) -> None:
    path = tmp_path_factory.mktemp("log") / "drive.log"
    path.write_text("".join(f"{line}\n" for line in lines) + odd)
    one_by_one, at_once = (LogDecoder([(None, database)], form()) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge.recordings.decode_log_columns._FRAMES_AT_ONCE", 5)
        found = b"".join(ColumnLogDecoder(at_once).lines(open_recording(path)))
    assert found.decode() == "".join(one_by_one.frames(open_recording(path)))


def test_short_frame_is_not_taken_for_a_known_one(database: Database) -> None:
    one_by_one, at_once = (LogDecoder([(None, database)], CsvLines()) for _ in range(2))
    columns = ColumnLogDecoder(at_once)
    whole, short = (Frame(1000, "can0", 256, False, bytes(length)) for length in (8, 7))
    for frames in ([whole], [whole, short], [short], [short], [short]):
        assert b"".join(columns.lines(Listed(frames))).decode() == "".join(one_by_one.frames(frames))
    assert [*at_once.problems()] == [*one_by_one.problems()]


@given(st.lists(LINE, min_size=1, max_size=12))
def test_block_is_parsed_as_its_lines_are_or_left_to_them(lines: list[str]) -> None:
    counts = RecordingCounts()
    columns = parse_block("".join(f"{line}\n" for line in lines).encode())
    if columns is not None:
        wanted = [parse_line(line, counts) for line in lines]
        assert [columns.frame(row) for row in range(len(columns))] == wanted
        assert counts == RecordingCounts()


def test_block_of_data_frames_is_not_left_to_its_lines() -> None:
    columns = parse_block(b"(1594172461.968006) can0 123#\n(0.000001) vcan10 18FEF100#0011223344556677\n")
    assert columns is not None
    assert columns.frame(0) == Frame(1_594_172_461_968_006_000, "can0", 0x123, False, b"")
    assert columns.frame(1) == Frame(1000, "vcan10", 0x18FEF100, True, bytes.fromhex("0011223344556677"))


@given(text=st.lists(LINE, max_size=12), ends=st.booleans(), size=st.sampled_from([1, 7, 100]))
def test_recording_is_read_and_counted_the_same(
    tmp_path_factory: pytest.TempPathFactory, text: list[str], ends: bool, size: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "drive.log"
    path.write_text("(1.000000) can0 123#00\n" + "\n".join(text) + "\n" * ends, newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge.recordings.recording_columns._BLOCK_BYTES", size)
        in_lines, in_columns = open_recording(path), open_recording([path, path])
        frames = [frame for _ in range(2) for frame in in_lines]
        found = [columns.frame(row) for columns in read_columns(in_columns) for row in range(len(columns))]
    assert found == frames
    again = open_recording([path, path])
    assert list(again) == frames
    assert in_columns.counts == again.counts


def test_blocks_hold_the_decoders_numbers(database: Database) -> None:
    frames = [Frame(0, "", 256, False, bytes([number] * 8)) for number in range(200)]
    decoder, columns = Decoder([database]), columns_of(frames)
    blocks, rest = ColumnDecoder(Decoder([database])).decode(columns, np.arange(len(columns)))
    (block,) = blocks
    assert not len(rest)
    rows = zip(*(Lookup(signal.length, signal.value).at(signal.bits) for signal in block.signals), strict=True)
    for place, row in zip(block.rows, rows, strict=True):
        decoded = decoder.decode(*frames[place][2:])
        assert decoded is not None
        assert decoded[:2] == (tuple(signal.index for signal in block.signals), row)
        assert [*map(type, row)] == [*map(type, decoded[1])]


@given(st.lists(st.integers(0, 2**20 - 1)), st.sampled_from([4, 20]))
def test_lookup_makes_each_value_once(numbers: list[int], length: int) -> None:
    made: list[int] = []

    def make(bits: int) -> float:
        made.append(bits)
        return math.sqrt(bits)

    lookup = Lookup(length, make)
    bits = np.array([number % (1 << length) for number in numbers], np.uint64)
    for _ in range(2):
        assert lookup.at(bits) == [math.sqrt(number) for number in bits.tolist()]
    assert len(made) == len(set(made))


class Listed(Recording):
    """A recording that is a list."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        super().__init__([(Path("listed"), lambda path, counts: iter(frames))])
