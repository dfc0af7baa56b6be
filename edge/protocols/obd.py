"""Read answers of OBD-II (SAE J1979, ISO 15031-5) and UDS (ISO 14229-1): current data, trouble codes, the VIN.

A payload begins with the service: that of the request, 0x40 higher in its answer.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from edge.protocols.obd_pids import PIDS, SIZES, Pid

CURRENT_DATA: Final = 0x41
READ_DTC: Final = 0x19
READ_DATA: Final = 0x22
IS_ANSWER: Final = 0x40
REFUSAL: Final = 0x7F
PENDING: Final = 0x78  # of a refusal: not yet

LISTS: Final = {0x43: "stored", 0x47: "pending", 0x4A: "permanent"}
"""What the answers of modes 03, 07 and 0A list."""

_BY_STATUS_MASK, _SUPPORTED = 0x02, 0x0A  # of service 0x19
_VIN_ANSWERS: Final = (bytes([0x49, 0x02, 0x01]), bytes([READ_DATA | IS_ANSWER, 0xF1, 0x90]))
_VIN_LENGTH: Final = 17


class CodeStatus(NamedTuple):
    """A trouble code of UDS, such as `B1238-13`, and its status byte (ISO 14229-1, D.2)."""

    code: str
    status: int


def read_values(payload: bytes) -> Iterator[tuple[Pid, float]]:
    """The known values in an answer of mode 01, which may hold several PIDs; up to the first of unknown size."""
    at = 1
    while at < len(payload):
        number = payload[at]
        size = SIZES.get(number)
        if size is None or at + 1 + size > len(payload):
            return
        if number in PIDS:
            yield PIDS[number], PIDS[number].value(payload[at + 1 : at + 1 + size])
        at += 1 + size


def read_codes(payload: bytes) -> list[str] | None:
    """The codes that an answer of mode 03, 07 or 0A lists; None where it is none."""
    if len(payload) < 2 or payload[0] not in LISTS or len(payload) < 2 + 2 * payload[1]:
        return None
    pairs = [payload[start : start + 2] for start in range(2, 2 + 2 * payload[1], 2)]
    return [code_text(pair) for pair in pairs if any(pair)]


def read_statuses(payload: bytes) -> list[CodeStatus] | None:
    """The codes in an answer of service 0x19 by status mask, or of all that are supported; None where it is none."""
    if len(payload) < 3 or payload[0] != READ_DTC | IS_ANSWER or payload[1] not in (_BY_STATUS_MASK, _SUPPORTED):
        return None
    if len(payload) % 4 != 3:
        return None
    groups = (payload[start : start + 4] for start in range(3, len(payload), 4))
    return [CodeStatus(f"{code_text(group)}-{group[2]:02X}", group[3]) for group in groups]


def requested_mask(payload: bytes) -> int | None:
    """Which codes a request of service 0x19 asks for: the bits of which one must be set, all for "supported"."""
    if len(payload) >= 3 and payload[0] == READ_DTC and payload[1] & 0x7F == _BY_STATUS_MASK:
        return payload[2]
    if len(payload) >= 2 and payload[0] == READ_DTC and payload[1] & 0x7F == _SUPPORTED:
        return 0xFF
    return None


def read_vin(payload: bytes) -> str | None:
    """The vehicle identification number in an answer of mode 09 or of service 0x22, identifier F190."""
    if payload[:3] not in _VIN_ANSWERS:
        return None
    vin = payload[3:].strip(b"\x00 ")
    return vin.decode("ascii") if len(vin) == _VIN_LENGTH and vin.isalnum() else None


def code_text(data: bytes) -> str:
    """P0123, from its two bytes (SAE J2012)."""
    return f"{'PCBU'[data[0] >> 6]}{data[0] >> 4 & 3}{data[0] & 0xF:X}{data[1]:02X}"
