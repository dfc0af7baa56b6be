"""Read J1939's trouble codes (SAE J1939-73): DM1, the active ones, and DM2, those that were active before.

Both begin with two bytes of lamps; four bytes a code follow. "No codes" is a code of zeros, or, from older devices, of
ones. The reserved bits of a single frame are ones too.
"""

from typing import Final, NamedTuple

DM1_PGN: Final = 0xFECA
DM2_PGN: Final = 0xFECB
LAMPS: Final = ("malfunction", "red_stop", "amber_warning", "protect")
FLASHING: Final = {0: "slow", 1: "fast"}

_ON: Final = 1
_NO_CODES: Final = (bytes(4), b"\xff" * 4)
_NOT_AVAILABLE: Final = 127


class TroubleCode(NamedTuple):
    """What is wrong where: suspect parameter number, failure mode, and how often, None where the device cannot say.

    `conversion_method` is the bit CM. 0 says that the SPN is laid out as it is today (version 4); 1 leaves open which
    of the older layouts the device means.
    """

    spn: int
    fmi: int
    occurrence: int | None
    conversion_method: int


class DiagnosticMessage(NamedTuple):
    """The lamps' states and flashes, as two bits each (0 off, 1 on, 3 not there), in the order of LAMPS; the codes."""

    lamps: tuple[int, ...]
    flashes: tuple[int, ...]
    codes: tuple[TroubleCode, ...]

    @property
    def lit(self) -> list[str]:
        """The lamps that are on; one that flashes says how: `red_stop:fast`."""
        return [
            f"{name}:{FLASHING[flash]}" if flash in FLASHING else name
            for name, lamp, flash in zip(LAMPS, self.lamps, self.flashes, strict=True)
            if lamp == _ON
        ]


def read_dm(data: bytes, *, older_layout: int = 3) -> DiagnosticMessage | None:
    """The content of DM1 or DM2, None where it is too short to be one.

    `older_layout` (1, 2 or 3) is how codes with CM 1 are laid out; 3 differs from 4 by the bit alone.
    """
    if len(data) < 6:
        return None
    groups = (data[start : start + 4] for start in range(2, len(data) - 3, 4))
    codes = tuple(_read_code(group, older_layout) for group in groups if group not in _NO_CODES)
    return DiagnosticMessage(_pairs(data[0]), _pairs(data[1]), codes)


def _read_code(group: bytes, older_layout: int) -> TroubleCode:
    first, second, third, fourth = group
    method, occurrence = fourth >> 7, fourth & 0x7F
    spn = _spn(first, second, third >> 5, older_layout if method else 4)
    return TroubleCode(spn, third & 0x1F, None if occurrence == _NOT_AVAILABLE else occurrence, method)


def _spn(first: int, second: int, three_bits: int, layout: int) -> int:
    """SAE J1939-73, 5.7.1.7: the 19 bits with the highest first (1), with the upper two bytes swapped (2), or lowest
    byte first and the three highest bits last (3 and 4)."""
    if layout == 1:
        return first << 11 | second << 3 | three_bits
    if layout == 2:
        return second << 11 | first << 3 | three_bits
    return three_bits << 16 | second << 8 | first


def _pairs(byte: int) -> tuple[int, ...]:
    return tuple(byte >> shift & 3 for shift in (6, 4, 2, 0))
