"""What a bus is told about from a few seconds of its traffic."""

import cantools
import pytest
from cantools.database.can import Database

from edge.buses.bus_watch import BusWatch
from edge.frame import Frame
from edge.frame_source import ReaderCounts

DBC = """
VERSION ""
NS_ :
BS_:
BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ Count : 0|32@1+ (1,0) [0|0] "" Vector__XXX
 SG_ Speed : 32|16@1+ (0.25,0) [0|8000] "rpm" Vector__XXX
 SG_ Load : 48|8@1+ (1,0) [0|100] "%" Vector__XXX
BO_ 512 Door: 1 ECU
 SG_ Open : 0|1@1+ (1,0) [0|1] "" Vector__XXX
BA_DEF_ BO_  "GenMsgCycleTime" INT 0 65535;
BA_DEF_DEF_  "GenMsgCycleTime" 0;
BA_ "GenMsgCycleTime" BO_ 256 100;
"""


@pytest.fixture(scope="module")
def database() -> Database:
    loaded = cantools.database.load_string(DBC, "dbc")
    assert isinstance(loaded, Database)
    return loaded


@pytest.fixture
def watch(database: Database) -> BusWatch:
    return BusWatch([database], what="bus can0")


def engine(number: int, *, period_ms: int = 100, speed: int = 4000, load: int = 50, length: int = 8) -> Frame:
    data = number.to_bytes(4, "little") + speed.to_bytes(2, "little") + bytes([load, 0])
    return Frame(number * period_ms * 1_000_000, "can0", 0x100, False, data[:length])


def told(watch: BusWatch, counts: ReaderCounts | None = None) -> list[tuple[str, str]]:
    return [(finding.level, finding.found) for finding in watch.findings(counts or ReaderCounts(), seconds=2)]


def test_good_bus_is_told_with_what_was_not_seen(watch: BusWatch) -> None:
    watch.take([engine(number) for number in range(20)], 0)
    assert told(watch) == [("ok", "20 frames in 2 s, 10/s"), ("note", "1 of 2 messages not seen: Door")]


def test_unknown_ids_are_named_by_their_number(watch: BusWatch) -> None:
    strange = [Frame(0, "can0", 0x18FEF100, True, b""), Frame(0, "can0", 0x6E8, False, b"")]
    watch.take([engine(number) for number in range(6)] + strange, 0)
    assert ("note", "2 unknown ids, 25 % of frames: 18FEF100, 6E8") in told(watch)


def test_database_of_another_bus_is_a_problem(watch: BusWatch) -> None:
    watch.take([Frame(0, "can0", number, False, b"") for number in range(1, 9)], 0)
    assert told(watch)[1] == ("problem", "the databases know none of its 8 ids")


def test_values_out_of_range_are_told_with_what_they_were(watch: BusWatch) -> None:
    watch.take([engine(number, speed=4 * (8000 + number), load=100) for number in range(5)], 0)
    assert ("note", "1 signals out of range: Engine.Speed 8000…8004 of 0…8000") in told(watch)
    assert ("note", "1 signals always at their maximum: Engine.Load 100") in told(watch)


@pytest.mark.parametrize(("period_ms", "is_told"), [(40, True), (60, False), (190, False), (300, True)])
def test_another_pace_is_told(watch: BusWatch, period_ms: int, is_told: bool) -> None:
    watch.take([engine(number, period_ms=period_ms) for number in range(9)], 0)
    text = f"1 messages at another pace: Engine every {period_ms} ms, said to be 100"
    assert (("note", text) in told(watch)) == is_told


def test_short_frames_are_told(watch: BusWatch) -> None:
    watch.take([engine(number, length=5) for number in range(3)], 0)
    assert ("note", "3 frames shorter than the database says: Engine") in told(watch)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        (ReaderCounts(), "no frame in 2 s"),
        (ReaderCounts(error=7), "no data frame in 2 s, but 7 error and 0 remote frames"),
        (ReaderCounts(last_error="Network is down"), "cannot be read: Network is down"),
    ],
)
def test_silence_is_a_problem(watch: BusWatch, counts: ReaderCounts, words: str) -> None:
    assert told(watch, counts) == [("problem", words)]


def test_errors_and_drops_are_problems(watch: BusWatch) -> None:
    watch.take([engine(number) for number in range(10)], 0)
    assert [found for level, found in told(watch, ReaderCounts(error=2, dropped=3)) if level == "problem"] == [
        "2 error frames",
        "3 frames dropped",
    ]


def test_every_note_says_what_to_do(watch: BusWatch) -> None:
    watch.take([Frame(0, "can0", 0x6E8, False, b"")], 0)
    watch.take([engine(number, period_ms=300, speed=4 * 8001, load=100) for number in range(9)], 0)
    watch.take([engine(number, length=5) for number in range(3)], 0)
    notes = [finding for finding in watch.findings(ReaderCounts(), seconds=2) if finding.level == "note"]
    assert len(notes) == 6
    assert all(finding.advice for finding in notes)


def test_bus_that_is_asked_may_be_silent_and_without_a_database() -> None:
    silent = BusWatch([], what="bus can0", polls=True)
    (finding,) = silent.findings(ReaderCounts(), seconds=2)
    assert (finding.level, "the agent will ask" in finding.found) == ("note", True)
    heard = BusWatch([], what="bus can0", polls=True)
    heard.take([Frame(0, "can0", 0x123, False, bytes(8))], 0)
    assert [finding.level for finding in heard.findings(ReaderCounts(), seconds=2)] == ["ok", "note"]
