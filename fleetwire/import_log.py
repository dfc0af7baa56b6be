"""fleetwire import: a recording into the archive of a vehicle, through the same pipeline as live data."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import click

from cloud.access import accounts
from cloud.config import CloudConfig, load_cloud_config
from cloud.database import connect
from cloud.errors import CloudError
from cloud.running.local import address
from cloud.running.run_file import NAME as RUN_FILE
from edge.dbc import load_database
from edge.errors import EdgeError
from edge.recordings.import_plan import (
    DatabaseFile,
    Survey,
    Wish,
    check,
    numbered_batches,
    same_recording,
    stream_of,
    survey,
)
from edge.recordings.import_sender import ImportSender, Sent
from edge.ways.uplink_http import HttpTransport
from fleetwire.durations import Instant
from wire.names import is_vehicle

FIX_NAMES = ("lat", "lon", "valid", "alt", "speed", "course", "hdop", "sats")


@click.command("import")
@click.argument("logs", metavar="LOG...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--vehicle", required=True, metavar="ID", help="Whose recording it is.")
@click.option("--dbc", "databases", metavar="[CHANNEL=]FILE", multiple=True, help="A CAN database; repeat for more.")
@click.option(
    "--fix", "fixes", metavar="NAME=SIGNAL", multiple=True, help="Positions from decoded signals: lat=Gps.Lat, lon=…"
)
@click.option("--begin", type=Instant(), metavar="TIME", help="When the recording began; else its own times hold.")
@click.option("--again", is_flag=True, help="Also if the file was imported with other databases or settings before.")
@click.option("--no-strict", is_flag=True, help="Take a database although signals in it overlap or do not fit.")
@click.option("--url", metavar="URL", help="Another ingest than the one that runs here.")
@click.option("--token-file", type=click.Path(path_type=Path, exists=True), help="The vehicle's token; with --url.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="The cloud's settings as TOML.")
def import_log(
    logs: Sequence[Path],
    vehicle: str,
    databases: Sequence[str],
    fixes: Sequence[str],
    begin: datetime | None,
    again: bool,
    no_strict: bool,
    url: str | None,
    token_file: Path | None,
    config: Path | None,
) -> None:
    """Store what recordings say as data of a vehicle, each value at the time at which it was recorded.

    \b
    fleetwire import drive.log --dbc vehicle.dbc --vehicle truck-1
    fleetwire import *.MF4 --dbc 1=obd.dbc --dbc 2=gnss.dbc --fix lat=Gps.Lat --fix lon=Gps.Lon --vehicle truck-1
    fleetwire import gps.nmea --vehicle truck-1

    LOG is whatever 'fleetwire decode' reads, NMEA logs included. Every value of every frame is stored. It is as fast
    as the cloud has room beside live data, and may be interrupted: the same command goes on where it ended. A file that
    was imported before is known, and not stored twice.

    Without --url it goes to the ingest that runs here, with a token of its own that ends with it; a vehicle that is not
    known is registered.
    """
    if (url is None) != (token_file is None):
        raise click.UsageError("--url and --token-file go together")
    if not is_vehicle(vehicle):
        raise click.UsageError(f"'{vehicle}' is no vehicle id: 1 to 64 letters, digits or _ . : -, the first no sign")
    if begin is not None and len(logs) > 1:
        raise click.UsageError("--begin is of one recording: import them one by one")
    try:
        wish = Wish(
            vehicle=vehicle,
            databases=tuple(_load(text, strict=not no_strict) for text in databases),
            fix_signals=_fix_signals(fixes),
            begin_ms=None if begin is None else round(begin.timestamp() * 1000),
        )
        found = [_look(path, wish) for path in logs]
        if url is not None and token_file is not None:
            token = token_file.read_text().split()[-1]
            asyncio.run(_send(found, wish, url, token))
        else:
            asyncio.run(_send_here(found, wish, load_cloud_config(config, os.environ), again=again))
    except (EdgeError, CloudError) as error:
        raise click.ClickException(str(error)) from error


def _look(path: Path, wish: Wish) -> Survey:
    found = survey(path, wish)
    check(found, wish)
    what = f"{found.units:,} bytes of NMEA" if found.is_nmea else f"{found.units:,} frames"
    first, last = (datetime.fromtimestamp((ms or 0) / 1000, UTC) for ms in (found.first_ms, found.last_ms))
    click.echo(f"{path.name}: {what}, recorded {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC", err=True)
    if found.untimed:
        click.echo(f"{path.name}: {found.untimed:,} frames without a time are left out", err=True)
    if found.prefixed:
        names = ", ".join(sorted(found.prefixed))
        click.echo(
            f"{path.name}: channels {names} share identifiers, so that signals carry the channel's name", err=True
        )
    return found


async def _send_here(found: Sequence[Survey], wish: Wish, config: CloudConfig, *, again: bool) -> None:
    async with _token(config, wish.vehicle, found, wish, again=again) as token:
        await _send(found, wish, _ingest(config), token)


async def _send(found: Sequence[Survey], wish: Wish, url: str, token: str) -> None:
    async with aiohttp.ClientSession() as session:
        transport = HttpTransport(session, url=url, token=lambda: token)
        for one in found:
            sent = await _send_one(one, wish, transport)
            stored = f"{sent.samples:,} samples, {sent.fixes:,} fixes"
            events = f", {sent.events:,} events" if sent.events else ""
            known = f"; {sent.known:,} batches were there already" if sent.known else ""
            click.echo(f"{one.path.name}: {stored}{events} in {sent.batches:,} batches stored{known}")
            if sent.rejected:
                seq, problem = next(iter(sent.rejected.items()))
                raise click.ClickException(f"{len(sent.rejected):,} batches were refused; batch {seq}: {problem}")


async def _send_one(one: Survey, wish: Wish, transport: HttpTransport) -> Sent:
    with click.progressbar(length=one.units, label=one.path.name, file=sys.stderr) as bar:
        sender = ImportSender(
            transport,
            lambda: numbered_batches(one, wish),
            vehicle=wish.vehicle,
            stream=stream_of(one, wish),
            told=lambda read: bar.update(read - bar.pos),
        )
        return await sender.run()


@asynccontextmanager
async def _token(
    config: CloudConfig, vehicle: str, found: Sequence[Survey], wish: Wish, *, again: bool
) -> AsyncIterator[str]:
    """A device token for as long as the import lasts."""
    connection = await connect(config.database_url)
    try:
        if not await accounts.is_registered(connection, vehicle):
            click.echo(f"vehicle '{vehicle}' is new: it is registered", err=True)
        if not again:
            for one in found:
                stream = stream_of(one, wish)
                if await accounts.other_streams(connection, vehicle, same_recording(stream), stream):
                    raise click.ClickException(
                        f"{one.path.name} was imported for '{vehicle}' with other databases or settings; importing it "
                        "anew would store its values beside those. Erase them first with 'fleetwire admin erase', or "
                        "say --again"
                    )
        ((_, token),) = await accounts.add_vehicles(connection, [vehicle])
        names = [one.path.name for one in found]
        await accounts.audit(connection, "command line", "import", {"vehicle": vehicle, "files": names})
        try:
            yield token
        finally:
            await accounts.revoke_token_of_device(connection, token)
    finally:
        await connection.close()


def _ingest(config: CloudConfig) -> str:
    """As 'fleetwire up' wrote it down, or where ingest is by its settings."""
    try:
        said: str = json.loads((config.home / RUN_FILE).read_text())["ingest"]
    except (OSError, ValueError, KeyError):
        return address(config, config.ingest_port)
    return said


def _load(text: str, *, strict: bool) -> DatabaseFile:
    channel, equals, path = text.partition("=")
    if not equals or Path(text).exists():
        return DatabaseFile(None, Path(text), load_database(Path(text), strict=strict))
    return DatabaseFile(channel, Path(path), load_database(Path(path), strict=strict))


def _fix_signals(texts: Sequence[str]) -> Mapping[str, str]:
    """Raises ClickException."""
    named: dict[str, str] = {}
    for text in texts:
        name, equals, signal = text.partition("=")
        if not equals or name not in FIX_NAMES or not signal:
            raise click.UsageError(f"--fix {text}: write NAME=Message.Signal, NAME one of {', '.join(FIX_NAMES)}")
        named[name] = signal
    if named and not {"lat", "lon"} <= named.keys():
        raise click.UsageError("--fix needs lat and lon")
    return named
