"""What is not good about a sample travels with it."""

from collections.abc import Iterable, Mapping

import cantools
import pytest
from cantools.database.can import Database

from edge.buses.frame_check import byte_sum, byte_sum_with_length, nibble_sum, nibble_xor
from edge.decoder import Decoder
from edge.flagged import Flagged, flags_of
from edge.frame import Frame
from edge.pipeline import NS_PER_MS, Pipeline
from edge.protocol_names import CheckTable
from edge.sampler import SamplingPolicy, SamplingRule
from wire.quality import BAD_CHECKSUM, COUNTER_SKIP, INEXACT, OUT_OF_RANGE, STALE, UNKNOWN_MUX

DBC = """VERSION ""
BS_:
BU_: ECU
BO_ 1 Ranged: 2 ECU
 SG_ Tenths : 0|8@1+ (0.1,0) [0|25.3] "" ECU
 SG_ Free : 8|8@1+ (1,0) [0|0] "" ECU
BO_ 2 Chosen: 2 ECU
 SG_ Way M : 0|4@1+ (1,0) [0|0] "" ECU
 SG_ Always : 4|4@1+ (1,0) [0|0] "" ECU
 SG_ One m1 : 8|8@1+ (1,0) [0|0] "" ECU
BO_ 3 Cyclic: 1 ECU
 SG_ Value : 0|8@1+ (1,0) [0|0] "" ECU
BO_ 4 Counted: 3 ECU
 SG_ COUNTER : 7|4@0+ (1,0) [0|14] "" ECU
 SG_ Value : 15|8@0+ (1,0) [0|0] "" ECU
 SG_ CHECKSUM : 23|8@0+ (1,0) [0|0] "" ECU
BA_DEF_ BO_ "GenMsgCycleTime" INT 0 65535;
BA_DEF_DEF_ "GenMsgCycleTime" 0;
BA_ "GenMsgCycleTime" BO_ 3 200;
"""
Flagging = Mapping[str, list[tuple[int, float, int]]]


@pytest.fixture(scope="module")
def database() -> Database:
    loaded = cantools.database.load_string(DBC, "dbc")
    assert isinstance(loaded, Database)
    return loaded


class Stand:
    """A pipeline that keeps every change."""

    def __init__(self, database: Database, checks: CheckTable | None = None, **policy: int) -> None:
        self.decoder = Decoder([database], checks=checks)
        rules = [SamplingRule("*", SamplingPolicy(**({"min_interval_ms": 0} | policy)))]
        self.pipeline = Pipeline(self.decoder.signals, rules, max_age_ms=10**9, max_samples=10**9)

    def take(self, frames: Iterable[tuple[int, int, str]]) -> "Stand":
        for t_ms, arbitration_id, data in frames:
            frame = Frame(t_ms * NS_PER_MS, "can0", arbitration_id, False, bytes.fromhex(data))
            self.pipeline.take_frames(self.decoder, [frame], 0)
        return self

    def tick(self, *times_ms: int) -> "Stand":
        for t_ms in times_ms:
            self.pipeline.tick(wall_ms=t_ms, monotonic_ms=0)
        return self

    def kept(self) -> Flagging:
        """Time, value and flags of each sample, by signal."""
        self.pipeline.finish(wall_ms=0)
        (draft,) = self.pipeline.take().drafts
        batch = draft.to_batch(vehicle="v", stream="0199c0de-0000-7000-8000-000000000001", seq=0)
        return {
            name: [
                (batch.t0 + dt, value, (column.q or {}).get(place, 0))
                for place, (dt, value) in enumerate(zip(column.dt, column.v, strict=True))
            ]
            for name, column in batch.signals.items()
        }


def test_value_out_of_the_databases_range_is_sent_and_flagged(database: Database) -> None:
    kept = Stand(database).take([(0, 1, "fd00"), (1, 1, "fe00"), (2, 1, "00ff")]).kept()
    assert kept["Ranged.Tenths"] == [(0, 253 * 0.1, 0), (1, 254 * 0.1, OUT_OF_RANGE), (2, 0.0, 0)]
    assert {flags for _, _, flags in kept["Ranged.Free"]} == {0}


def test_unknown_selector_flags_what_does_not_depend_on_it(database: Database) -> None:
    stand = Stand(database).take([(0, 2, "1105"), (1, 2, "2705"), (2, 2, "3105")])
    kept = stand.kept()
    assert kept["Chosen.Way"] == [(0, 1, 0), (1, 7, UNKNOWN_MUX), (2, 1, 0)]
    assert kept["Chosen.Always"] == [(0, 1, 0), (1, 2, UNKNOWN_MUX), (2, 3, 0)]
    assert kept["Chosen.One"] == [(0, 5, 0)]
    assert stand.decoder.counts.unknown_mux["Chosen"] == 1


def test_message_that_stays_away_is_told_once_as_stale(database: Database) -> None:
    stand = Stand(database).tick(0).take([(0, 3, "07"), (200, 3, "07"), (400, 3, "08")])
    kept = stand.tick(500, 1_000, 1_399, 1_900, 2_400, 2_900).take([(3_000, 3, "08")]).tick(3_400).kept()
    assert kept["Cyclic.Value"] == [(0, 7, 0), (400, 8, 0), (1_900, 8, STALE), (3_000, 8, 0)]


def test_message_without_a_cycle_is_never_stale(database: Database) -> None:
    kept = Stand(database).tick(0).take([(0, 1, "0000")]).tick(500, 1_000, 4_000, 8_000).kept()
    assert kept["Ranged.Free"] == [(0, 0, 0)]


def test_step_of_the_clock_makes_nothing_stale(database: Database) -> None:
    stand = Stand(database).tick(0).take([(0, 3, "07")]).tick(3_600_000)
    assert stand.take([(3_600_001, 3, "07")]).tick(3_600_500).kept()["Cyclic.Value"] == [(0, 7, 0), (3_600_001, 7, 0)]


def test_frame_of_a_counter_that_skips_is_flagged(database: Database) -> None:
    frames = [(0, "d0"), (1, "e0"), (2, "00"), (3, "20"), (4, "30"), (5, "30")]  # the counter's maximum is 14
    stand = Stand(database, "opendbc").take([(t, 4, f"{counter}{t:02x}00") for t, counter in frames])
    kept = stand.kept()
    assert [flags for _, _, flags in kept["Counted.Value"]] == [0, 0, 0, COUNTER_SKIP, 0, COUNTER_SKIP]
    assert stand.decoder.counts.counter_skip == {"Counted": 2}


def test_repeated_frame_is_no_skip(database: Database) -> None:
    kept = Stand(database, "opendbc", max_interval_ms=1).take([(t, 4, "d00000") for t in range(3)]).kept()
    assert kept["Counted.COUNTER"] == [(0, 13, 0), (1, 13, 0), (2, 13, 0)]


def test_frame_with_a_wrong_checksum_is_flagged(database: Database) -> None:
    good = [(t, 4, bytes([t << 4, t, 4 + 3 + (t << 4) + t]).hex()) for t in range(4)]
    wrong = (4, 4, "400400")
    stand = Stand(database, "toyota").take([*good, wrong])
    kept = stand.kept()
    assert [flags for _, _, flags in kept["Counted.Value"]] == [0, 0, 0, 0, BAD_CHECKSUM]
    assert stand.decoder.counts.bad_checksum == {"Counted": 1}


def test_without_a_table_nothing_is_checked(database: Database) -> None:
    kept = Stand(database).take([(0, 4, "d00000"), (1, 4, "100100")]).kept()
    assert {flags for samples in kept.values() for _, _, flags in samples} == {0}


def test_sums() -> None:
    data = bytes.fromhex("12f0")
    assert nibble_sum(0, data) == 1 + 2 + 15
    assert nibble_xor(0, data) == 1 ^ 2 ^ 15
    assert byte_sum(0x2E4, data) == 0xE4 + 2 + 0x12 + 0xF0
    assert byte_sum_with_length(0x2E4, data) == byte_sum(0x2E4, data) + 2


def test_flags_add_up() -> None:
    value = Flagged(Flagged(2**60, STALE), OUT_OF_RANGE)
    assert value == 2.0**60
    assert flags_of(value) == INEXACT | STALE | OUT_OF_RANGE
    assert flags_of(1.5) == 0
