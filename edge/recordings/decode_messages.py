"""Rows for what protocols of several frames say, for `fleetwire decode`: message, signal, value."""

from collections.abc import Container, Iterator

from edge.protocol_names import Protocol
from edge.protocols.heard import Heard, Payload
from edge.protocols.j1939_dm import DM1_PGN, DM2_PGN, LAMPS, DiagnosticMessage, read_dm
from edge.protocols.j1939_transport import Transfer
from edge.protocols.obd import LISTS, read_codes, read_statuses, read_vin

Row = tuple[str, str, int | float | str]

_DM_NAMES = {DM1_PGN: "DM1", DM2_PGN: "DM2"}


def rows(heard: Heard, shown: Container[Protocol]) -> Iterator[Row]:
    """Of the protocols `shown`, what is no signal: trouble codes, and in hexadecimal what no database knows."""
    message = heard.message
    if isinstance(message, Transfer) and "j1939" in shown:
        yield from _of_j1939(message, is_known=bool(heard.decoded))
    elif isinstance(message, Payload) and "isotp" in shown:
        yield from _of_diagnostics(message)


def _of_j1939(message: Transfer, *, is_known: bool) -> Iterator[Row]:
    source = f"@{message.source:02X}"
    if message.pgn in _DM_NAMES:
        said = read_dm(message.data)
        if said is not None:
            yield from ((_DM_NAMES[message.pgn] + source, signal, value) for signal, value in _dm_values(said))
    elif not is_known:
        yield f"PGN{message.pgn}{source}", "data", message.data.hex().upper()


def _of_diagnostics(message: Payload) -> Iterator[Row]:
    content = message.data
    source = f"@{message.arbitration_id:08X}" if message.is_extended else f"@{message.arbitration_id:03X}"
    yield f"ISO-TP{source}", "data", content.hex().upper()
    if (codes := read_codes(content)) is not None:
        yield f"DTC{source}", LISTS[content[0]], " ".join(codes)
    elif (statuses := read_statuses(content)) is not None:
        yield from ((f"DTC{source}", code, status) for code, status in statuses)
    elif (vin := read_vin(content)) is not None:
        yield f"VIN{source}", "vin", vin


def _dm_values(said: DiagnosticMessage) -> Iterator[tuple[str, int]]:
    yield from zip(LAMPS, said.lamps, strict=True)
    yield "codes", len(said.codes)
    for number, code in enumerate(said.codes, start=1):
        yield f"spn{number}", code.spn
        yield f"fmi{number}", code.fmi
        if code.occurrence is not None:
            yield f"occurrence{number}", code.occurrence
