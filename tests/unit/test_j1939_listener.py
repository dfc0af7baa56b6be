"""Messages of several frames and trouble codes of a J1939 bus, as the agent keeps them."""

import cantools
from cantools.database.can import Database

from edge.batcher import Draft
from edge.decoder import Decoder, SignalTable
from edge.frame import Frame
from edge.pipeline import Pipeline
from edge.protocols.listener import Listener
from edge.sampler import SamplingPolicy, SamplingRule

T_NS = 1_700_000_000_000_000_000
DBC = """VERSION ""
NS_ :
BS_:
BU_: ECU
BO_ 2566844926 CCVS1: 8 ECU
 SG_ Speed : 8|16@1+ (0.00390625,0) [0|0] "km/h" ECU
BO_ 2566841342 EC1: 39 ECU
 SG_ SpeedAtIdle : 0|16@1+ (0.125,0) [0|0] "rpm" ECU
 SG_ LastByte : 304|8@1+ (1,0) [0|0] "" ECU
BO_ 2565800190 Private: 12 ECU
 SG_ Level : 80|16@1+ (1,0) [0|0] "" ECU
BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN","reserved","J1939PG";
BA_DEF_DEF_ "VFrameFormat" "J1939PG";
"""
NO_CODES = "00FF00000000FFFF"
ONE_CODE = "04FFB804030AFFFF"


class Truck:
    """A bus with its pipeline; every frame comes 10 ms after the one before."""

    def __init__(self, *, bus: str | None = None, dbc: str = DBC, protocols: tuple[str, ...] | None = None) -> None:
        database = cantools.database.load_string(dbc, "dbc")
        assert isinstance(database, Database)
        table = SignalTable()
        self.decoder = Decoder([database], bus=bus, table=table)
        self.listener = Listener(self.decoder, protocols)  # type: ignore[arg-type]
        every = SamplingRule("*", SamplingPolicy(min_interval_ms=0, max_interval_ms=0, deadband=0, every=True))
        self.pipeline = Pipeline(table.signals, [every], max_age_ms=1000, max_samples=5000)
        self._t_ns = T_NS

    def hear(self, *frames: tuple[int, str]) -> Draft:
        """What a batch has after these frames."""
        stamped = []
        for arbitration_id, data in frames:
            stamped.append(Frame(self._t_ns, "can0", arbitration_id, True, bytes.fromhex(data)))
            self._t_ns += 10_000_000
        self.pipeline.take_frames(self.decoder, stamped, 0, self.listener)
        self.pipeline.finish(wall_ms=self._t_ns // 1_000_000)
        drafts = self.pipeline.take().drafts
        return drafts[0] if drafts else Draft()

    def events(self, *frames: tuple[int, str]) -> list[tuple[str, dict[str, object]]]:
        return [(event.kind, dict(event.data)) for event in self.hear(*frames).events]


def bam(pgn: int, data: str, source: int = 0) -> list[tuple[int, str]]:
    whole = bytes.fromhex(data)
    chunks = [whole[start : start + 7].ljust(7, b"\xff") for start in range(0, len(whole), 7)]
    head = b"\x20" + len(whole).to_bytes(2, "little") + bytes([len(chunks), 0xFF]) + pgn.to_bytes(3, "little")
    packets = [(0x1CEBFF00 | source, f"{number:02X}{chunk.hex()}") for number, chunk in enumerate(chunks, start=1)]
    return [(0x1CECFF00 | source, head.hex()), *packets]


def code(spn: int, fmi: int, occurrence: int, *lamps: str, source: str = "00") -> dict[str, object]:
    told = {"protocol": "j1939", "source": source, "status": "active", "lamps": list(lamps)}
    return {**told, "spn": spn, "fmi": fmi, "occurrence": occurrence}


def test_message_of_several_frames_is_decoded_at_the_time_of_its_last() -> None:
    draft = Truck().hear(*bam(0xFEE3, "5014" + 36 * "00" + "2A", source=0x0B))
    assert {name: (list(column.t_ms), list(column.v)) for name, column in draft.columns.items()} == {
        "EC1.SpeedAtIdle@0B": ([T_NS // 1_000_000 + 60], [650.0]),
        "EC1.LastByte@0B": ([T_NS // 1_000_000 + 60], [42]),
    }


def test_message_to_one_is_known_by_its_group() -> None:
    rts = (0x18ECF900, "100C0002FF00EF00")
    packets = [(0x18EBF900, "0100000000000000"), (0x18EBF900, "020000000739FFFF")]
    draft = Truck().hear(rts, (0x18EC00F9, "110201FFFF00EF00"), *packets)
    assert {name: list(column.v) for name, column in draft.columns.items()} == {"Private.Level@00": [0x3907]}


def test_frames_of_the_database_stay_as_they_are() -> None:
    truck = Truck()
    draft = truck.hear((0x18FEF100, "FF0050FFFFFFFFFF"), *bam(0xFEE3, 39 * "00"), (0x18FEF100, "FF0060FFFFFFFFFF"))
    assert list(draft.columns["CCVS1.Speed@00"].v) == [80.0, 96.0]
    assert truck.decoder.counts.totals() == dict.fromkeys(truck.decoder.counts.totals(), 0)


def test_codes_become_events_when_they_appear_and_disappear() -> None:
    truck = Truck()
    dm1 = 0x18FECA00
    assert truck.events((dm1, NO_CODES)) == []
    assert truck.events((dm1, ONE_CODE)) == [("dtc_set", code(1208, 3, 10, "amber_warning"))]
    assert truck.events(*[(dm1, ONE_CODE)] * 3) == []
    two = bam(0xFECA, "04FFB804030A61020901")
    assert truck.events(*two) == [("dtc_set", code(609, 9, 1, "amber_warning"))]
    assert truck.events((dm1, "00FF61020901FFFF")) == [("dtc_cleared", code(1208, 3, 10))]
    assert truck.events((dm1, NO_CODES)) == [("dtc_cleared", code(609, 9, 1))]


def test_code_that_occurs_again_is_an_event() -> None:
    truck = Truck()
    truck.events((0x18FECA00, ONE_CODE))
    assert truck.events((0x18FECA00, "04FFB804030BFFFF")) == [("dtc_set", code(1208, 3, 11, "amber_warning"))]


def test_each_source_has_its_own_codes() -> None:
    truck = Truck()
    truck.events((0x18FECA00, ONE_CODE))
    assert truck.events((0x18FECA0B, ONE_CODE)) == [("dtc_set", code(1208, 3, 10, "amber_warning", source="0B"))]
    assert truck.events((0x18FECA0B, NO_CODES)) == [("dtc_cleared", code(1208, 3, 10, source="0B"))]


def test_codes_that_were_active_before_are_told_apart() -> None:
    [(kind, data)] = Truck(bus="pt").events((0x18FECB00, "00FFB804038AFFFF"))
    assert (kind, data["status"], data["bus"], data["conversion_method"]) == ("dtc_set", "previously_active", "pt", 1)


def test_broken_transfer_gives_nothing_and_is_counted() -> None:
    truck = Truck()
    frames = bam(0xFEE3, 39 * "11")
    draft = truck.hear(*frames[:3], *frames[4:])
    assert (draft.columns, draft.events) == ({}, ())
    found = {cause: count for cause, count in truck.listener.faults().items() if count}
    assert found == {"j1939_wrong_sequence": 1, "j1939_stray": 2}


def test_whole_message_that_no_database_knows_is_counted_once() -> None:
    truck = Truck()
    truck.hear(*bam(0xFEEC, "31" * 18), *bam(0xFECA, ONE_CODE[:12] + "61020901"))
    assert truck.decoder.counts.unknown_id == {"18FEEC00": 1}


def test_database_may_know_the_codes_and_the_transport_too() -> None:
    dbc = DBC.replace(
        "BA_DEF_ ",
        'BO_ 2566834942 DM1: 8 ECU\n SG_ Amber : 2|2@1+ (1,0) [0|0] "" ECU\n'
        'BO_ 2565603582 TPCM: 8 ECU\n SG_ Control : 0|8@1+ (1,0) [0|0] "" ECU\nBA_DEF_ ',
        1,
    )
    draft = Truck(dbc=dbc).hear((0x18FECA00, ONE_CODE), *bam(0xFECA, "00FFB804030A61020901"))
    assert {name: list(column.v) for name, column in draft.columns.items()} == {
        "DM1.Amber@00": [1, 0],
        "TPCM.Control@00": [32],
    }


def test_protocols_can_be_chosen() -> None:
    truck = Truck(protocols=())
    assert truck.events((0x18FECA00, ONE_CODE)) == []
    assert truck.decoder.counts.unknown_id == {"18FECA00": 1}
    car = Truck(dbc=DBC.replace('"VFrameFormat" "J1939PG"', '"VFrameFormat" "ExtendedCAN"'))
    assert car.events((0x18FECA00, ONE_CODE)) == []


def test_filters_let_the_protocols_frames_in() -> None:
    truck = Truck()
    known = truck.decoder.filters(truck.listener.filters())
    for arbitration_id in (0x1CECFF00, 0x18EB00F9, 0x18FECA21, 0x18FECB21):
        assert any(arbitration_id & filter_["can_mask"] == filter_["can_id"] for filter_ in known)


def test_identifiers_without_number_are_forgotten_and_known_again() -> None:
    truck = Truck()
    for number in range(0x1800):
        truck.decoder.decode(0x18EC0000 | number, True, bytes(8))
    assert len(truck.decoder.reserved_ids) < 0x1800
    assert truck.events((0x18FECA00, ONE_CODE), *[(0x18EC0000, bytes(8).hex())]) != []
    assert 0x18EC0000 in truck.decoder.reserved_ids
