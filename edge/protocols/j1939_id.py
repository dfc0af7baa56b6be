"""What a J1939 identifier is made of (SAE J1939-21): priority, parameter group (PGN), destination, source."""

from typing import Final

TO_ALL: Final = 0xFF
_DEFAULT_PRIORITY: Final = 6
_FIRST_PDU2_FORMAT: Final = 240


def split_id(arbitration_id: int) -> tuple[int, int, int]:
    """PGN, source and destination of a 29 bit identifier; what has no destination is to all."""
    pgn, source = (arbitration_id >> 8) & 0x3FFFF, arbitration_id & 0xFF
    if (pgn >> 8) & 0xFF >= _FIRST_PDU2_FORMAT:
        return pgn, source, TO_ALL
    return pgn & 0x3FF00, source, pgn & 0xFF


def join_id(pgn: int, source: int, destination: int) -> int:
    """The identifier under which such a message would come in one frame, with the usual priority of 6."""
    if (pgn >> 8) & 0xFF < _FIRST_PDU2_FORMAT:
        pgn = (pgn & 0x3FF00) | destination
    return _DEFAULT_PRIORITY << 26 | pgn << 8 | source
