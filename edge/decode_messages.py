"""Rows for what protocols of several frames say, for `fleetwire decode`: message, signal, value."""

from collections.abc import Container, Iterator

from edge.heard import Heard
from edge.j1939_dm import DM1_PGN, DM2_PGN, LAMPS, DiagnosticMessage, read_dm
from edge.protocols import Protocol

Row = tuple[str, str, int | float | str]

_DM_NAMES = {DM1_PGN: "DM1", DM2_PGN: "DM2"}


def rows(heard: Heard, shown: Container[Protocol]) -> Iterator[Row]:
    """Of the protocols `shown`, what is no signal: trouble codes, and in hexadecimal what no database knows."""
    message = heard.message
    if message is None or "j1939" not in shown:
        return
    source = f"@{message.source:02X}"
    if message.pgn in _DM_NAMES:
        said = read_dm(message.data)
        if said is not None:
            yield from ((_DM_NAMES[message.pgn] + source, signal, value) for signal, value in _dm_values(said))
    elif not heard.decoded:
        yield f"PGN{message.pgn}{source}", "data", message.data.hex().upper()


def _dm_values(said: DiagnosticMessage) -> Iterator[tuple[str, int]]:
    yield from zip(LAMPS, said.lamps, strict=True)
    yield "codes", len(said.codes)
    for number, code in enumerate(said.codes, start=1):
        yield f"spn{number}", code.spn
        yield f"fmi{number}", code.fmi
        if code.occurrence is not None:
            yield f"occurrence{number}", code.occurrence
