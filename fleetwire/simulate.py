"""`fleetwire simulate`: make drives, play recordings onto a bus, run a whole fleet."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from simulator.bus_out import BusPlan
    from simulator.fleet import FleetCounts
    from simulator.replay import Progress

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
QUIET_REPORT_EVERY_S = 60


@click.group()
def simulate() -> None:
    """Make drives, replay them or recordings onto a CAN bus, run a whole fleet.

    \b
    fleetwire simulate drive --minutes 30 -o drive.json
    fleetwire simulate replay drive.json --interface udp_multicast --channel 239.74.163.2 --gps-link /tmp/gps
    fleetwire simulate fleet --vehicles 25 --ingest http://127.0.0.1:8081 --tokens tokens.jsonl
    """


@simulate.command()
@click.option(
    "--seed", default=1, show_default=True, help="Another seed, another drive; the same seed, the same bytes."
)
@click.option("--minutes", default=20.0, show_default=True, help="How long it drives.")
@click.option(
    "--round-trip", is_flag=True, help="End when it is parked where it began (--minutes at most): for --loop."
)
@click.option("--route", default="helsinki-airport", show_default=True, help="See 'fleetwire simulate routes'.")
@click.option("--start", default="2025-06-02T06:00:00Z", show_default=True, help="When the drive begins (RFC 3339).")
@click.option("--vehicle", default="demo-0001", show_default=True, help="Whose drive it is.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file; else standard output.")
def drive(minutes: float, start: str, output: Path | None, **settings: Any) -> None:
    """Make a drive from a small vehicle model, as JSON.

    \b
    fleetwire simulate drive --seed 7 --minutes 45 --route helsinki-turku -o drive.json
    """
    from simulator.drive_maker import drive_text, make_drive

    with spoken_errors():
        document = make_drive(minutes=minutes, start=_moment(start), **settings)
    text = drive_text(document)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{output}: cannot be written: {error.strerror}") from error
    length = f"{document['duration'] / 60:.1f} minutes on {document['route']}"
    click.echo(f"{output}: {length}, {len(text) / 1e6:.1f} MB", err=True)


@simulate.command()
def routes() -> None:
    """List the roads that 'drive' and 'fleet' know."""
    from simulator.routes import road, road_names

    for name in road_names():
        one = road(name)
        click.echo(f"{name:24} {one.length_m / 1000:6.1f} km  {one.title}")


@simulate.command()
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--interface", required=True, help="python-can's name: socketcan, udp_multicast, virtual, pcan …")
@click.option("--channel", help="The bus: can0, vcan0, 239.74.163.2 …")
@click.option("--map", "maps", multiple=True, metavar="FROM=TO", help="A channel of the recording and its bus: 1=can0.")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="More for python-can: port=43113.")
@click.option("--dbc", type=FILE, help="Encode drives with this DBC instead of the one that they name.")
@click.option("--vehicle", help="Of events of several vehicles play this one's.")
@click.option("--speed", default=1.0, show_default=True, type=click.FloatRange(0), help="0: as fast as --max-rate.")
@click.option(
    "--max-rate", default=4000.0, show_default=True, type=click.FloatRange(1), help="Frames a second at most."
)
@click.option("--max-gap", default=600.0, show_default=True, type=click.FloatRange(0), help="Longest pause, in s.")
@click.option("--loop", is_flag=True, help="Begin again at the end.")
@click.option(
    "--gps-link", type=click.Path(path_type=Path), help="Send a drive's positions as NMEA to a pty, linked here."
)
def replay(files: tuple[Path, ...], **settings: Any) -> None:
    """Play recordings or JSON drives onto a CAN bus, in their own time.

    FILES are played one after another: candump, MF4, ASC, BLF, TRC …, a JSON drive, or a JSON array of events with a
    position and a time.

    \b
    fleetwire simulate replay drive.json --interface socketcan --channel vcan0 --gps-link /tmp/gps --loop
    fleetwire simulate replay log.mf4 --interface socketcan --map 1=vcan0 --map 2=vcan1 --speed 2
    fleetwire simulate replay candump.log --interface udp_multicast --channel 239.74.163.2 --option port=43113
    """
    from edge.dbc import load_database
    from simulator.bus_out import BusOut
    from simulator.gps_port import GpsPort
    from simulator.replay import PlayedDrive, open_played
    from simulator.replay import replay as play
    from simulator.replay_summary import drive_notes, summary

    plan = _bus_plan(settings)
    with spoken_errors(), ExitStack() as stack:
        dbc: Path | None = settings["dbc"]
        played = open_played(
            files,
            database=load_database(dbc) if dbc else None,
            vehicle=settings["vehicle"],
            longest_gap_s=settings["max_gap"],
        )
        drives = [one for one in played if isinstance(one, PlayedDrive)]
        link: Path | None = settings["gps_link"]
        if link and not any(one.drive.fixes for one in drives):
            raise click.UsageError("--gps-link needs a drive with positions; a CAN recording has none of its own.")
        for note in [note for one in drives for note in drive_notes(one)]:
            click.echo(note, err=True)
        stop = stack.enter_context(stopped_by_signals())
        bus = stack.enter_context(BusOut(plan, stop))
        gps = stack.enter_context(GpsPort(link)) if link else None
        progress = play(
            played,
            bus=bus,
            gps=gps,
            speed=settings["speed"],
            max_rate=settings["max_rate"],
            loop=settings["loop"],
            stop=stop,
            report=_reporter(),
        )
        if sys.stderr.isatty():
            click.echo(err=True)
        for line in summary(played, progress, bus=bus, gps=gps):
            click.echo(line, err=True)


@simulate.command()
@click.option("--vehicles", type=click.IntRange(1), help="How many of the file's vehicles; all when not given.")
@click.option("--ingest", required=True, metavar="URL", help="Where to: http://127.0.0.1:8081")
@click.option("--tokens", required=True, type=FILE, help='One {"vehicle","token"} a line.')
@click.option(
    "--home", default="fleet", show_default=True, type=click.Path(path_type=Path), help="Folder of the spools."
)
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1, 64), help="About 100 vehicles each.")
@click.option("--seed", default=1, show_default=True, help="Who drives where, and how.")
@click.option("--speed", default=1.0, show_default=True, type=click.FloatRange(0.1, 100), help="Of the vehicles' time.")
def fleet(tokens: Path, vehicles: int | None, **settings: Any) -> None:
    """Run many vehicles through the agent's own batcher, spool and uplink.

    Each drives its road there and back, with stops, and sends a position and about 25 samples a second, in batches of
    two seconds. Whatever is not settled when it ends, or is killed, waits in its spool for the next start.

    \b
    for n in 1 2 3; do fleetwire admin vehicle add van-$n --json; done > tokens.jsonl
    fleetwire simulate fleet --vehicles 3 --ingest http://127.0.0.1:8081 --tokens tokens.jsonl --home /tmp/fleet
    """
    from simulator.fleet_plan import plan_fleet, read_tokens
    from simulator.fleet_processes import run_plans

    if not settings["ingest"].startswith(("http://", "https://")):
        raise click.UsageError(f"--ingest {settings['ingest']!r} is not an address such as http://127.0.0.1:8081.")
    with spoken_errors():
        run_plans(plan_fleet(read_tokens(tokens, vehicles=vehicles), **settings), report=report_fleet)


def report_fleet(counts: FleetCounts) -> None:
    """One line a minute."""
    line = f"{counts.vehicles} vehicles: {counts.samples:,} samples, {counts.fixes:,} positions stored"
    line += f"; {counts.settled:,} batches settled, {counts.unsettled:,} to go"
    if counts.failures:
        line += f"; {counts.failures:,} requests failed"
    click.echo(line, err=True)


@contextmanager
def spoken_errors() -> Iterator[None]:
    """What the user can act on becomes one line."""
    from edge.errors import EdgeError
    from simulator.errors import SimulatorError

    try:
        yield
    except (EdgeError, SimulatorError) as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and the first Ctrl-C set; a second Ctrl-C ends at once."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _reporter() -> Any:
    """Shows progress: a line that renews itself on a terminal, a line a minute in a log."""
    from simulator.replay_summary import progress_line

    calls = 0

    def report(progress: Progress) -> None:
        nonlocal calls
        calls += 1
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[K{progress_line(progress)}", nl=False, err=True)
        elif calls % QUIET_REPORT_EVERY_S == 1:
            click.echo(progress_line(progress), err=True)

    return report


def _bus_plan(settings: dict[str, Any]) -> BusPlan:
    from simulator.bus_out import BusPlan

    channels = dict(_pair(text, "--map 1=can0") for text in settings["maps"])
    if settings["channel"] is None and not channels:
        raise click.UsageError("Name the bus with --channel, or with --map for each channel of the recording.")
    options = {
        key: _typed(value) for key, value in (_pair(text, "--option port=43113") for text in settings["options"])
    }
    return BusPlan(settings["interface"], channels, settings["channel"], options)


def _pair(text: str, example: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise click.UsageError(f"{text!r} is not of the form {example}.")
    return key, value


def _typed(text: str) -> bool | int | float | str:
    """A python-can option in the type that it looks like."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (lambda value: int(value, 0), float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError(f"--start {text!r} is not a time such as 2025-06-02T06:00:00Z.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
