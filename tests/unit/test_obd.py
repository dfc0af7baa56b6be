"""Answers of OBD-II and UDS. The payloads that a maker of adapters publishes are marked so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.protocols.obd import CodeStatus, read_codes, read_statuses, read_values, read_vin, requested_mask
from edge.protocols.obd_pids import PIDS, SIZES


def values(payload: str) -> dict[str, float]:
    return {pid.name: value for pid, value in read_values(bytes.fromhex(payload))}


@pytest.mark.parametrize(
    ("payload", "wanted"),
    [
        ("41057B", {"CoolantTemperature": 83}),  # ELM327 data sheet, "Talking to the vehicle"
        ("410C1AF8", {"EngineSpeed": 1726}),  # ELM327 data sheet: 1AF8 is 6904 quarters
        ("410D58", {"VehicleSpeed": 88}),
        ("4111FF", {"ThrottlePosition": 100}),
        ("410680", {"ShortTermFuelTrimBank1": 0}),
        ("4142369C", {"ControlModuleVoltage": 13.98}),
        ("41627D", {"ActualTorque": 0}),
        ("41A6000F4240", {"Odometer": 100_000}),
        ("4144 8000", {"CommandedEquivalenceRatio": 1}),
    ],
)
def test_values(payload: str, wanted: dict[str, float]) -> None:
    assert values(payload) == pytest.approx(wanted)


def test_answer_with_several_pids() -> None:
    assert values("41 0C1AF8 0D58 0100076500 057B") == {
        "EngineSpeed": 1726,
        "VehicleSpeed": 88,
        "CoolantTemperature": 83,
    }


def test_answer_is_read_up_to_what_is_not_known_or_not_whole() -> None:
    assert values("41 0D58 FE01 057B") == {"VehicleSpeed": 88}
    assert values("41 0D58 0C1A") == {"VehicleSpeed": 88}
    assert values("41") == {}


def test_every_value_has_a_size_and_a_name_of_its_own() -> None:
    assert len({pid.name for pid in PIDS.values()}) == len(PIDS)
    assert all(SIZES[number] == pid.size for number, pid in PIDS.items())


def test_codes() -> None:
    assert read_codes(bytes.fromhex("4306010002000300040005000600")) == [  # ELM327 data sheet, multi-frame answer
        "P0100",
        "P0200",
        "P0300",
        "P0400",
        "P0500",
        "P0600",
    ]
    assert read_codes(bytes.fromhex("47040133D016A200 4321")) == ["P0133", "U1016", "B2200", "C0321"]  # letters: J2012
    assert read_codes(bytes.fromhex("4A00")) == []
    assert read_codes(bytes.fromhex("43020123 0000")) == ["P0123"]
    assert read_codes(bytes.fromhex("43020123")) is None
    assert read_codes(b"\x43") is None
    assert read_codes(bytes.fromhex("44")) is None


def test_statuses() -> None:
    assert read_statuses(bytes.fromhex("590289 58128708 9603002F")) == [
        CodeStatus("C1812-87", 0x08),
        CodeStatus("B1603-00", 0x2F),
    ]
    assert read_statuses(bytes.fromhex("5902FF")) == []
    assert read_statuses(bytes.fromhex("590AFF 01234567")) == [CodeStatus("P0123-45", 0x67)]
    assert read_statuses(bytes.fromhex("5902FF581287")) is None
    assert read_statuses(bytes.fromhex("5901FF010003")) is None  # how many, not which


def test_masks() -> None:
    requests = ["190208", "198208", "190A", "1901FF", "1902", "22F190"]
    assert [requested_mask(bytes.fromhex(request)) for request in requests] == [0x08, 0x08, 0xFF, None, None, None]


def test_vehicle_identification_number() -> None:
    published = bytes.fromhex("490201 314434 47503030523535 42313233343536")  # ELM327 data sheet, "Multiline responses"
    assert read_vin(published) == "1D4GP00R55B123456"
    assert read_vin(bytes.fromhex("62F190") + b"WVWZZZ1JZXW000001") == "WVWZZZ1JZXW000001"
    assert read_vin(bytes.fromhex("490201") + b"\0\0\0WVWZZZ1JZXW000001") == "WVWZZZ1JZXW000001"
    assert read_vin(bytes.fromhex("490201") + b"short") is None
    assert read_vin(bytes.fromhex("490201") + bytes(17)) is None
    assert read_vin(bytes.fromhex("62F18C") + b"WVWZZZ1JZXW000001") is None


@given(st.binary(min_size=1, max_size=40))
def test_any_payload_is_taken(payload: bytes) -> None:
    list(read_values(payload))
    read_codes(payload)
    read_statuses(payload)
    read_vin(payload)
    requested_mask(payload)
