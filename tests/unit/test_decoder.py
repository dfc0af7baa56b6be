import math
import struct

import cantools
import pytest
from cantools.database.can import Database

from edge.decoder import Decoder, SignalTable

HEADER = 'VERSION ""\n\nBS_:\n\nBU_: ECU\n\n'
ENGINE = (
    "BO_ 256 Engine: 8 ECU\n"
    ' SG_ Speed : 0|16@1+ (0.25,0) [0|8000] "rpm" ECU\n'
    ' SG_ Torque : 23|16@0- (0.5,-100) [-100|100] "Nm" ECU\n'
    ' SG_ Gear : 32|4@1+ (1,0) [0|8] "" ECU\n'
    'VAL_ 256 Gear 0 "Neutral" 1 "First" ;\n'
)
MULTIPLEXED = (
    "BO_ 512 Mux: 8 ECU\n"
    ' SG_ Selector M : 0|8@1+ (1,0) [0|0] "" ECU\n'
    ' SG_ Always : 8|8@1+ (1,0) [0|0] "" ECU\n'
    ' SG_ One m1 : 16|8@1+ (1,0) [0|0] "" ECU\n'
    ' SG_ Two m2 : 16|16@1+ (1,0) [0|0] "" ECU\n'
)
J1939 = (
    "BO_ 2364540158 EEC1: 8 ECU\n"
    ' SG_ EngineSpeed : 24|16@1+ (0.125,0) [0|8031] "rpm" ECU\n'
    "BO_ 2566843392 TSC: 8 ECU\n"  # 0x18FEEC00: from 0x00 by its identifier
    ' SG_ Value : 0|8@1+ (1,0) [0|0] "" ECU\n'
    "BO_ 2565799936 Request: 8 ECU\n"  # 0x18EF0000: to anybody
    ' SG_ Asked : 0|8@1+ (1,0) [0|0] "" ECU\n'
    'BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN","reserved","J1939PG";\n'
    'BA_DEF_DEF_ "VFrameFormat" "J1939PG";\n'
)


def test_values_come_scaled_with_the_index_of_their_signal() -> None:
    decoder = Decoder([_database(ENGINE)])
    assert _values(decoder, 256, struct.pack("<H", 4000) + struct.pack(">h", -20) + b"\x01\0\0\0") == {
        "Engine.Speed": 1000.0,
        "Engine.Torque": -110.0,
        "Engine.Gear": 1,
    }


def test_a_signal_carries_what_the_database_says_about_it() -> None:
    signals = {info.name: info for info in Decoder([_database(ENGINE)], bus="pt").signals}
    speed, gear = signals["pt:Engine.Speed"], signals["pt:Engine.Gear"]
    assert (speed.unit, speed.minimum, speed.maximum, speed.choices) == ("rpm", 0, 8000, None)
    assert gear.choices == {0: "Neutral", 1: "First"}
    assert speed.pattern_name == "Engine.Speed"


def test_an_unchanged_payload_gives_the_same_objects_and_says_so() -> None:
    decoder = Decoder([_database(ENGINE)])
    first = decoder.decode(256, False, bytes(8))
    second = decoder.decode(256, False, bytes(8))
    third = decoder.decode(256, False, b"\1" + bytes(7))
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first[2], second[2], third[2]) == (True, False, True)
    assert second[0] is first[0]
    assert second[1] is first[1]


def test_an_unknown_identifier_gives_none_and_is_counted() -> None:
    decoder = Decoder([_database(ENGINE)])
    assert decoder.decode(0x123, False, bytes(8)) is None
    assert decoder.decode(256, True, bytes(8)) is None
    assert decoder.counts.unknown_id == {"123": 1, "00000100": 1}


def test_unknown_identifiers_do_not_fill_the_memory() -> None:
    decoder = Decoder([])
    for arbitration_id in range(3000):
        decoder.decode(arbitration_id, True, b"")
    assert len(decoder.counts.unknown_id) <= 1001
    assert decoder.counts.unknown_id.total() == 3000


def test_a_short_frame_gives_the_signals_that_fit() -> None:
    decoder = Decoder([_database(ENGINE)])
    assert _values(decoder, 256, b"\x04\0\0") == {"Engine.Speed": 1.0}
    assert _values(decoder, 256, b"") == {}
    assert decoder.counts.too_short == {"Engine": 2}


def test_a_short_frame_without_its_selector_gives_nothing_that_depends_on_it() -> None:
    text = MULTIPLEXED.replace("Selector M : 0|8", "Selector M : 56|8")
    assert _values(Decoder([_database(text)]), 512, b"\0\7\5") == {"Mux.Always": 7}


def test_a_long_frame_is_cut() -> None:
    decoder = Decoder([_database(ENGINE)])
    assert _values(decoder, 256, b"\x04" + bytes(11))["Engine.Speed"] == 1.0
    assert decoder.counts.too_long == {"Engine": 1}


def test_every_faulty_frame_is_counted_also_when_it_is_repeated() -> None:
    decoder = Decoder([_database(ENGINE + MULTIPLEXED)])
    for _ in range(3):
        decoder.decode(256, False, b"\x04\0\0")
        decoder.decode(512, False, b"\x09" + bytes(7))
    assert decoder.counts.totals() == {
        "unknown_id": 0,
        "too_short": 3,
        "too_long": 0,
        "unknown_mux": 3,
        "undecodable": 0,
        "bad_checksum": 0,
        "counter_skip": 0,
    }


def test_an_unknown_selector_gives_what_does_not_depend_on_it() -> None:
    decoder = Decoder([_database(MULTIPLEXED)])
    assert _values(decoder, 512, b"\x01\x05\x06" + bytes(5)) == {"Mux.Selector": 1, "Mux.Always": 5, "Mux.One": 6}
    assert _values(decoder, 512, b"\x09\x05\x06" + bytes(5)) == {"Mux.Selector": 9, "Mux.Always": 5}
    assert decoder.counts.unknown_mux == {"Mux": 1}


def test_a_message_that_cannot_be_unpacked_is_named_and_its_frames_counted() -> None:
    text = 'BO_ 100 Bad: 8 ECU\n SG_ A : 0|16@1+ (1,0) [0|0] "" ECU\n SG_ B : 8|16@1+ (1,0) [0|0] "" ECU\n' + ENGINE
    decoder = Decoder([_database(text)])
    assert decoder.undecodable == ["Bad"]
    assert _values(decoder, 100, bytes(8)) == {}
    assert decoder.counts.undecodable == {"Bad": 1}
    assert all(info.message == "Engine" for info in decoder.signals)


def test_signals_of_different_byte_order_may_overlap() -> None:
    text = 'BO_ 100 Both: 8 ECU\n SG_ A : 0|16@1+ (1,0) [0|0] "" ECU\n SG_ B : 7|16@0+ (1,0) [0|0] "" ECU\n'
    assert _values(Decoder([_database(text)]), 100, b"\1\2" + bytes(6)) == {"Both.A": 0x201, "Both.B": 0x102}


def test_a_message_without_bytes_or_signals_gives_no_values() -> None:
    decoder = Decoder([_database("BO_ 100 Empty: 0 ECU\n")])
    assert decoder.decode(100, False, b"") == ((), (), True)


@pytest.mark.parametrize("start", [0, 3])
def test_a_float_is_read_also_off_the_byte_boundary(start: int) -> None:
    text = f'BO_ 100 F: 8 ECU\n SG_ X : {start}|32@1- (2,0) [0|0] "" ECU\nSIG_VALTYPE_ 100 X : 1;\n'
    bits = int.from_bytes(struct.pack("<f", 1.5), "little") << start
    assert _values(Decoder([_database(text)]), 100, bits.to_bytes(8, "little")) == {"F.X": 3.0}


def test_a_float_that_is_not_a_number_is_left_to_the_one_who_samples() -> None:
    text = 'BO_ 100 F: 4 ECU\n SG_ X : 0|32@1- (1,0) [0|0] "" ECU\nSIG_VALTYPE_ 100 X : 1;\n'
    values = _values(Decoder([_database(text)]), 100, struct.pack("<f", math.nan))
    assert math.isnan(values["F.X"])


def test_many_independent_selectors_do_not_fill_the_memory() -> None:
    lines = ["BO_ 100 Wide: 8 ECU\n"]
    ranges = []
    for number in range(3):
        lines.append(
            f' SG_ M{number} M : {8 * number}|8@1+ (1,0) [0|0] "" ECU\n'.replace(" M :", " m0M :" if number else " M :")
        )
        for value in range(16):
            lines.append(f' SG_ S{number}_{value} m{value} : {24 + 8 * number}|8@1+ (1,0) [0|0] "" ECU\n')
            ranges.append(f"SG_MUL_VAL_ 100 S{number}_{value} M{number} {value}-{value};\n")
    database = _database("".join(lines) + "".join(ranges))
    for number in (1, 2):  # independent of the first, which a DBC can only say by omission
        selector = database.messages[0].get_signal_by_name(f"M{number}")
        selector.multiplexer_ids, selector.multiplexer_signal = None, None
    database.refresh()
    decoder = Decoder([database])
    message = database.messages[0]
    for first in range(16):
        for second in range(16):
            for third in range(0, 16, 2):
                data = bytes([first, second, third, 1, 2, 3, 0, 0])
                expected = message.decode(data, decode_choices=False)
                assert isinstance(expected, dict)
                assert _values(decoder, 100, data) == {f"Wide.{name}": value for name, value in expected.items()}


def test_the_later_of_two_databases_holds_and_the_other_is_named() -> None:
    other = ENGINE.replace("Engine", "Motor")
    decoder = Decoder([_database(ENGINE), _database(other)])
    assert decoder.overridden == ["Engine"]
    assert "Motor.Speed" in _values(decoder, 256, bytes(8))


def test_buses_can_share_a_table_of_signals() -> None:
    table = SignalTable()
    first = Decoder([_database(ENGINE)], bus="a", table=table)
    second = Decoder([_database(ENGINE)], bus="b", table=table)
    decoded = second.decode(256, False, bytes(8))
    assert decoded is not None
    assert [first.signals[index].name for index in decoded[0]] == ["b:Engine.Speed", "b:Engine.Torque", "b:Engine.Gear"]


def test_messages_that_share_a_name_are_never_unchanged() -> None:
    table = SignalTable()
    first, second = (Decoder([_database(ENGINE)], table=table) for _ in range(2))
    first.decode(256, False, bytes(8))
    second.decode(256, False, b"\1" + bytes(7))
    second.decode(256, False, b"\2" + bytes(7))
    repeated = second.decode(256, False, b"\2" + bytes(7))
    assert repeated is not None
    assert repeated[2]
    assert len(table.signals) == 3


def test_a_parameter_group_is_matched_from_any_source_and_with_any_priority() -> None:
    decoder = Decoder([_database(J1939)])
    data = bytes(3) + struct.pack("<H", 8000) + bytes(3)
    assert _values(decoder, 0x0CF00400, data, extended=True) == {"EEC1.EngineSpeed@00": 1000.0}
    assert _values(decoder, 0x18F0040B, data, extended=True) == {"EEC1.EngineSpeed@0B": 1000.0}
    assert decoder.decode(0x0CF00500, True, data) is None
    labels = {info.name: (info.pattern_name, info.label, info.source) for info in decoder.signals}
    assert labels["EEC1.EngineSpeed@0B"] == ("EEC1.EngineSpeed", "EngineSpeed@0B", 0x0B)


def test_a_source_that_is_heard_later_joins_the_signals_behind_the_others() -> None:
    decoder = Decoder([_database(J1939)])
    before = list(decoder.signals)
    decoder.decode(0x0CF00400, True, bytes(8))
    assert list(decoder.signals[: len(before)]) == before
    assert [info.name for info in decoder.signals[len(before) :]] == ["EEC1.EngineSpeed@00"]


def test_the_source_that_the_database_names_needs_no_address_behind_its_name() -> None:
    decoder = Decoder([_database(J1939)])
    assert decoder.decode(0x18FEEC00, True, bytes(8)) is not None
    names = {"TSC.Value"} | {"TSC.Value@21"}
    decoder.decode(0x18FEEC21, True, bytes(8))
    assert names <= {info.name for info in decoder.signals}


def test_the_destination_of_a_parameter_group_does_not_matter_and_does_not_hide_changes() -> None:
    decoder = Decoder([_database(J1939)])
    to_first, to_second = 0x18EF0000 | 0x0100, 0x18EF0000 | 0x0200
    assert _values(decoder, to_first, b"\1" + bytes(7), extended=True) == {"Request.Asked": 1}
    assert _values(decoder, to_second, b"\2" + bytes(7), extended=True) == {"Request.Asked": 2}
    again = decoder.decode(to_first, True, b"\1" + bytes(7))
    assert again is not None
    assert again[2], "the other destination's frame changed the signal in between"


def test_filters_name_identifiers_and_parameter_groups() -> None:
    assert Decoder([_database(ENGINE)]).filters() == [{"can_id": 256, "can_mask": 0x7FF, "extended": False}]
    masks = {entry["can_id"]: entry["can_mask"] for entry in Decoder([_database(J1939)]).filters()}
    assert masks == {0x00F00400: 0x03FFFF00, 0x00FEEC00: 0x03FFFF00, 0x00EF0000: 0x03FF0000}


def test_too_many_filters_are_none() -> None:
    text = "".join(f"BO_ {number} Message{number}: 8 ECU\n" for number in range(600))
    assert Decoder([_database(text)]).filters() == []


def _database(text: str) -> Database:
    database = cantools.database.load_string(HEADER + text, "dbc", strict=False)
    assert isinstance(database, Database)
    return database


def _values(decoder: Decoder, arbitration_id: int, data: bytes, *, extended: bool = False) -> dict[str, int | float]:
    decoded = decoder.decode(arbitration_id, extended, data)
    assert decoded is not None
    return {decoder.signals[index].name: value for index, value in zip(decoded[0], decoded[1], strict=True)}
