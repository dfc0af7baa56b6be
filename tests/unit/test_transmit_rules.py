"""Nothing leaves for a bus but requests that read, at a bounded rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.frame import Frame
from edge.protocols.transmit_rules import (
    NotAllowedError,
    TooOftenError,
    TransmitRules,
    is_flow_control,
    is_read_request,
)

READ_SPEED = bytes.fromhex("02010dcccccccccc")
GO_ON = bytes.fromhex("300000cccccccccc")


def frame(arbitration_id: int, data: bytes, *, extended: bool = False) -> Frame:
    return Frame(None, "", arbitration_id, extended, data)


@pytest.mark.parametrize(
    "data",
    [
        "0104cccccccccccc",  # clear trouble codes
        "0114cccccccccccc",
        "021003cccccccccc",  # another session
        "021101cccccccccc",  # reset
        "022701cccccccccc",  # security access
        "042e f19041cccccc",  # write
        "0431010203cccccc",  # routine
        "02013e",  # not padded
        "03190aff cccccccc",
        "0601000c0d0ecccc",  # several at once
        "1014490201313233",  # the beginning of a long one
        "2131323334353637",
        "320000cccccccccc",  # overflow
        "00cccccccccccccc",
    ],
)
def test_what_does_more_than_read_is_refused(data: str) -> None:
    with pytest.raises(NotAllowedError, match="only reads"):
        TransmitRules(most_per_s=10).admit(frame(0x7DF, bytes.fromhex(data)), 0.0)


@pytest.mark.parametrize(
    "data",
    [
        "02010dcccccccccc",
        "0103cccccccccccc",
        "0107cccccccccccc",
        "010acccccccccccc",
        "020902cccccccccc",
        "0319020dcccccccc",
    ],
)
def test_what_only_reads_may_leave(data: str) -> None:
    for arbitration_id, extended in ((0x7DF, False), (0x7E3, False), (0x18DB33F1, True), (0x18DA10F1, True)):
        TransmitRules(most_per_s=10).admit(frame(arbitration_id, bytes.fromhex(data), extended=extended), 0.0)


@given(arbitration_id=st.integers(0, 0x1FFFFFFF), extended=st.booleans(), data=st.binary(max_size=8))
def test_whatever_is_admitted_goes_to_diagnostics_and_reads(arbitration_id: int, extended: bool, data: bytes) -> None:
    rules = TransmitRules(most_per_s=10, others=[0x714])
    try:
        rules.admit(frame(arbitration_id, data, extended=extended), 0.0)
    except NotAllowedError:
        return
    allowed = {0x7DF, 0x714, *range(0x7E0, 0x7E8)}
    assert (
        arbitration_id == 0x18DB33F1 or arbitration_id & 0x1FFF00FF == 0x18DA00F1
        if extended
        else arbitration_id in allowed
    )
    assert is_read_request(data) or is_flow_control(data)


@given(waits_s=st.lists(st.floats(0, 0.5), max_size=200), rate=st.integers(1, 20))
def test_no_second_has_more_requests_than_the_rate(waits_s: list[float], rate: int) -> None:
    rules, now_s = TransmitRules(most_per_s=rate), 0.0
    sent_s: list[float] = []
    waits_left_s: list[float] = []
    for wait_s in waits_s:
        now_s += wait_s
        try:
            rules.admit(frame(0x7DF, READ_SPEED), now_s)
        except TooOftenError as error:
            waits_left_s.append(error.wait_s)
            continue
        sent_s.append(now_s)
    assert all(sum(start <= t < start + 1 for t in sent_s) <= rate for start in sent_s)
    assert all(0 < wait_s <= 1 + 1e-9 for wait_s in waits_left_s)


def test_flow_control_passes_when_the_requests_have_used_the_rate_up() -> None:
    rules = TransmitRules(most_per_s=2)
    for _ in range(2):
        rules.admit(frame(0x7DF, READ_SPEED), 0.0)
    for _ in range(16):
        rules.admit(frame(0x7E0, GO_ON), 0.1)
    for data in (READ_SPEED, GO_ON):
        with pytest.raises(TooOftenError, match="frames in 1 s"):
            rules.admit(frame(0x7E0, data), 0.2)


def test_less_than_one_request_in_a_second() -> None:
    rules = TransmitRules(most_per_s=0.25)
    rules.admit(frame(0x7DF, READ_SPEED), 0.0)
    with pytest.raises(TooOftenError) as caught:
        rules.admit(frame(0x7DF, READ_SPEED), 1.0)
    assert caught.value.wait_s == 3.0
    rules.admit(frame(0x7DF, READ_SPEED), 4.0)
