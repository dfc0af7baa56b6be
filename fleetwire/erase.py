"""fleetwire admin erase: a vehicle's data, or a span of it, gone for ever."""

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from cloud.access import accounts
from cloud.database import Pool
from cloud.errors import ErasureError
from cloud.telemetry.erasure import carry_out, list_erasures, order, vehicle_named
from fleetwire.durations import Instant
from fleetwire.pool import with_pool


@click.command()
@click.argument("vehicle", metavar="VEHICLE")
@click.option("--from", "begin", type=Instant(), metavar="TIME", help="From this time on; without it all before.")
@click.option("--to", "end", type=Instant(), metavar="TIME", help="Up to before this time; without it up to now.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def erase(config: Path | None, vehicle: str, begin: datetime | None, end: datetime | None, yes: bool) -> None:
    """Erase what a vehicle recorded: all of it up to now, or a span.

    It cannot be undone, and it holds for what arrives later: data of that time that still lies in a spool or a queue is
    dropped when it comes. The vehicle itself, its tokens and the names of its signals stay.

    \b
    fleetwire admin erase truck-1
    fleetwire admin erase truck-1 --from 2026-01-31T08:00Z --to 2026-01-31T09:30Z
    """
    now = datetime.now(UTC)
    end = end or now
    if end > now:
        raise click.UsageError("--to lies in the future: what was not recorded yet cannot be erased")
    if begin and begin >= end:
        raise click.UsageError("--from must lie before --to")
    since = begin.isoformat() if begin else "the beginning"
    if not yes:
        click.confirm(f"Erase all data of '{vehicle}' from {since} to {end.isoformat()}?", abort=True, err=True)
    row = with_pool(config, lambda pool: _erase(pool, vehicle, begin, end))
    counts = ", ".join(f"{row[kind]:,} {kind}" for kind in ("samples", "fixes", "events", "frames"))
    apart = f", {row['kept_apart']:,} rows that were set aside or refused" if row["kept_apart"] else ""
    click.echo(f"erased: {counts}{apart}")


@click.command()
@click.option("--vehicle", metavar="ID", help="Only those of this vehicle.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def erasures(config: Path | None, vehicle: str | None, as_json: bool) -> None:
    """List erasures: number, vehicle, from, to, by whom, when, when done, and rows of each kind.

    After a restore from a backup, repeat those that were ordered since: the backup does not know them.
    """
    for row in with_pool(config, lambda pool: list_erasures(pool, vehicle)):
        values = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
        click.echo(json.dumps(values) if as_json else "  ".join("-" if v is None else str(v) for v in values.values()))


async def _erase(pool: Pool, vehicle: str, begin: datetime | None, end: datetime) -> dict[str, int]:
    async with pool.acquire() as connection:
        vehicle_id = await vehicle_named(connection, vehicle)
        async with connection.transaction():
            number = await order(connection, vehicle_id, begin=begin, end=end, actor="command line")
            span = {"from": begin and begin.isoformat(), "to": end.isoformat()}
            await accounts.audit(
                connection, "command line", "erasure.order", {"vehicle": vehicle, "erasure": number, **span}
            )
        try:
            await carry_out(connection, number)
        except ErasureError as error:
            raise ErasureError(f"erasure {number} is ordered and not done yet: {error}") from error
        return next(dict(row) for row in await list_erasures(connection, vehicle) if row["id"] == number)
