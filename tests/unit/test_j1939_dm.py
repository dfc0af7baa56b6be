import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.protocols.j1939_dm import DiagnosticMessage, TroubleCode, read_dm


def dm(data: str) -> DiagnosticMessage:
    said = read_dm(bytes.fromhex(data))
    assert said is not None
    return said


def test_single_frame() -> None:
    # SAE J1939-73's example of a code: SPN 1208, failure mode 3, occurred 10 times, and its layout as of today
    assert dm("04FF B804 030A FFFF").codes == (TroubleCode(1208, 3, 10, 0),)


@pytest.mark.parametrize(("layout", "group"), [(1, "0097038A"), (2, "9700038A"), (3, "B804038A")])
def test_older_layouts_of_the_same_code(layout: int, group: str) -> None:
    said = read_dm(bytes.fromhex("04FF" + group + "FFFF"), older_layout=layout)
    assert said is not None
    assert said.codes == (TroubleCode(1208, 3, 10, 1),)


def test_several_codes() -> None:
    said = dm("43FF D403097E 900C1402 61020901 61020C03")  # real: a truck's, as it idles
    assert said.codes == (
        TroubleCode(980, 9, 126, 0),
        TroubleCode(3216, 20, 2, 0),
        TroubleCode(609, 9, 1, 0),
        TroubleCode(609, 12, 3, 0),
    )
    assert said.lamps == (1, 0, 0, 3)
    assert said.lit == ["malfunction"]


@pytest.mark.parametrize("data", ["00FF00000000FFFF", "FFFFFFFFFFFFFFFF", "00FF00000000", "00FF00000000FFFFFFFF"])
def test_no_codes(data: str) -> None:
    assert dm(data).codes == ()


def test_lamps_that_flash_say_how() -> None:
    assert dm("550000000000FFFF").lit == [f"{lamp}:slow" for lamp in LAMPS_IN_ORDER]
    assert dm("5555000000000000").lit == [f"{lamp}:fast" for lamp in LAMPS_IN_ORDER]
    assert dm("1400000000000000").lit == ["red_stop:slow", "amber_warning:slow"]


LAMPS_IN_ORDER = ["malfunction", "red_stop", "amber_warning", "protect"]


def test_count_that_the_device_does_not_keep() -> None:
    assert dm("00FF B804 037F FFFF").codes == (TroubleCode(1208, 3, None, 0),)


def test_too_short_to_be_one() -> None:
    assert read_dm(bytes.fromhex("04FFB80403")) is None


@given(
    st.lists(st.tuples(st.integers(1, 0x7FFFE), st.integers(0, 31), st.integers(0, 126)), max_size=400),
    st.binary(min_size=2, max_size=2),
)
def test_what_was_encoded_is_read(codes: list[tuple[int, int, int]], lamps: bytes) -> None:
    data = b"".join((spn & 0xFFFF).to_bytes(2, "little") + bytes([spn >> 16 << 5 | fmi, oc]) for spn, fmi, oc in codes)
    said = read_dm(lamps + (data or bytes(4)))
    assert said is not None
    assert [(code.spn, code.fmi, code.occurrence) for code in said.codes] == codes
