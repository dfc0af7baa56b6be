"""Raw frames as candump's log writes them, which `fleetwire decode` and can-utils read."""

from wire.model import EXTENDED_ID, LONGEST_STANDARD_ID

CLASSIC_BYTES = 8


def candump_line(t_us: int, bus: str, arbitration_id: int, data: bytes, *, is_extended: bool) -> str:
    """One line. More than 8 bytes are a CAN FD frame; blanks in the bus's name become `_`. `t_us` is Unix time."""
    sign, seconds, micros = "-" if t_us < 0 else "", *divmod(abs(t_us), 1_000_000)
    identifier = f"{arbitration_id:08X}" if is_extended else f"{arbitration_id:03X}"
    marker = "##0" if len(data) > CLASSIC_BYTES else "#"
    name = "_".join(bus.split()) or "can"
    return f"({sign}{seconds}.{micros:06d}) {name} {identifier}{marker}{data.hex().upper()}\n"


def split_identifier(number: int) -> tuple[int, bool]:
    """What the wire's `id` says: the identifier, and whether it has 29 bits."""
    return number & ~EXTENDED_ID, number > LONGEST_STANDARD_ID
