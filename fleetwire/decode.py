"""fleetwire decode: what a recording says, by the agent's own decoder."""

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import click
from cantools.database.can import Database

from edge.dbc import load_database
from edge.errors import EdgeError
from edge.lean_imports import without_blas_threads
from edge.protocol_names import PROTOCOLS, Protocol
from edge.recordings.decode_log import CsvLines, JsonLines, LogDecoder
from edge.recordings.drive import is_drive
from edge.recordings.recording import Recording, is_nmea_log, open_recording
from fleetwire.memory import keep_freed_blocks, rare_collections

_FORMS: dict[str, type[CsvLines] | type[JsonLines]] = {"csv": CsvLines, "jsonl": JsonLines}


@click.command()
@click.argument("logs", metavar="LOG...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--dbc", "databases", metavar="[CHANNEL=]FILE", multiple=True, help="A CAN database; repeat for more.")
@click.option("--format", "form", type=click.Choice(list(_FORMS)), default="csv", show_default=True)
@click.option(
    "--protocol",
    "protocols",
    type=click.Choice(PROTOCOLS),
    multiple=True,
    help="Also give what it says beyond the databases; repeat for more.",
)
@click.option("--no-strict", is_flag=True, help="Take a database although signals in it overlap or do not fit.")
def decode(
    logs: tuple[Path, ...], databases: tuple[str, ...], form: str, protocols: tuple[Protocol, ...], no_strict: bool
) -> None:
    """Decode recordings, one value a line: t, channel, message, signal, value.

    \b
    fleetwire decode drive.log --dbc vehicle.dbc
    fleetwire decode *.MF4 --dbc 1=obd.dbc --dbc 2=gnss.dbc --format jsonl

    LOG is a candump log, MF4, GVRET CSV, ASC, BLF, TRC, or python-can's CSV or SQLite; several are decoded one after
    the other. A database is used for every channel, or with CHANNEL= for the one that the log names so. A GPS
    receiver's NMEA log gives channel gps, message Fix, signals lat lon alt speed course hdop sats, and needs no
    database.

    t is in seconds as recorded (of an NMEA log, the receiver's own time), empty where the log has none. value is the
    number, also where the database has a text for it. A J1939 signal from another source address than the database
    names carries that address in hex, as in EngineSpeed@0B.

    Where a database has J1939 messages, those that come in several frames (BAM, RTS/CTS) are put together, and decoded
    if the database knows them. --protocol j1939 adds, for DM1 and DM2, a message such as DM1@00 with the lamps
    malfunction, red_stop, amber_warning, protect (0 off, 1 on, 3 not there), codes (how many), and spn1, fmi1,
    occurrence1, spn2 …; and for other messages of several frames that no database knows, such as PGN65251@00, the
    signal data, whose value is text: the bytes in hex.

    --protocol isotp adds what a scan tool and a car say to each other, whole: ISO-TP@7E8 with the signal data, the
    bytes in hex; trouble codes as DTC@7E8, with the signal stored, pending or permanent and the codes as text, or by
    UDS with the code as signal and its status byte as value; the VIN as VIN@7E8; and where no database defines the
    identifier, the values of current data as OBD with signals such as EngineSpeed. Answers that a database decodes in
    one frame are left to it. With --protocol no database is needed.

    What was not decoded, and why, is said at the end on stderr.
    """
    try:
        with rare_collections():
            _decode(logs, databases, form, protocols, strict=not no_strict)
    except EdgeError as error:
        raise click.ClickException(str(error)) from error
    except BrokenPipeError:  # the reader, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _decode(
    logs: Iterable[Path], databases: Iterable[str], form: str, protocols: Collection[Protocol], *, strict: bool
) -> None:
    parts = [_open(path) for path in logs]
    loaded = [_load(text, strict=strict) for text in databases]
    if not loaded and not protocols and any(isinstance(part, Recording) for part in parts):
        raise click.UsageError("name the CAN database with --dbc FILE")
    decoder = LogDecoder(loaded, _FORMS[form](), protocols)
    lines = _lines_of(decoder)
    sys.stdout.flush()
    out = sys.stdout.buffer
    out.write(_FORMS[form].header.encode())
    for part in parts:
        out.writelines(map(str.encode, decoder.fixes(part)) if isinstance(part, Path) else lines(part))
    out.flush()
    for line in _summary(parts, decoder):
        click.echo(line, err=True)
    for part in parts:
        if isinstance(part, Recording) and part.counts.cut and not part.counts.frames:
            raise click.ClickException(f"nothing in {part.name} can be read")


def _lines_of(decoder: LogDecoder) -> Callable[[Recording], Iterable[bytes]]:
    """Many frames at a time where there is numpy, else one after the other: the lines are the same."""
    if find_spec("numpy") is None:
        return lambda recording: map(str.encode, decoder.frames(recording))
    with without_blas_threads():
        from edge.recordings.decode_log_columns import ColumnLogDecoder

    keep_freed_blocks()
    return ColumnLogDecoder(decoder).lines


def _open(path: Path) -> Recording | Path:
    if is_drive(path):
        raise click.ClickException(f"{path} is a drive, not a recording: play it with 'fleetwire simulate replay'")
    return path if is_nmea_log(path) else open_recording(path)


def _load(text: str, *, strict: bool) -> tuple[str | None, Database]:
    channel, equals, path = text.partition("=")
    if not equals or Path(text).exists():
        return None, load_database(Path(text), strict=strict)
    return channel, load_database(Path(path), strict=strict)


def _summary(parts: Iterable[Recording | Path], decoder: LogDecoder) -> Iterator[str]:
    recordings = [part for part in parts if isinstance(part, Recording)]
    frames = sum(recording.counts.frames for recording in recordings)
    yield f"{decoder.values:,} values from {frames:,} frames" if recordings else f"{decoder.values:,} values"
    for recording in recordings:
        yield from (f"{recording.name}: {line}" for line in recording.counts.problems())
    yield from decoder.problems()
    for channel in decoder.unused_channels():
        yield f"channel {channel}: a database was given for it, but no log has it"
