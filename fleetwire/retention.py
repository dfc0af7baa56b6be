"""fleetwire admin retention: how long each fleet's data is kept."""

import json
from datetime import timedelta
from pathlib import Path

import click

from cloud.access import accounts
from cloud.database import Pool
from cloud.telemetry.retention import CLASSES, fleet_named, list_settings, set_retention
from fleetwire.durations import Duration
from fleetwire.pool import with_pool

FLEET = click.option("--fleet", default=accounts.DEFAULT_FLEET, show_default=True)
CLASS = click.argument("kind", metavar="CLASS", type=click.Choice(list(CLASSES)))


@click.group()
def retention() -> None:
    """How long a fleet's samples, fixes, events and raw frames are kept. What is not set is kept for ever.

    \b
    fleetwire admin retention list
    fleetwire admin retention set samples 90d
    fleetwire admin retention set fixes 30d --fleet vans
    fleetwire admin retention unset samples

    A writer looks once an hour. Fixes and events then go to the moment; samples and frames go by the day.
    """


@retention.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_all(config: Path | None, as_json: bool) -> None:
    """List what every fleet keeps for how long."""
    for row in with_pool(config, list_settings):
        days = row["keep"] / timedelta(days=1) if row["keep"] else None
        if as_json:
            click.echo(json.dumps({"fleet": row["fleet"], "class": row["class"], "days": days}))
        else:
            click.echo(f"{row['fleet']}  {row['class']}  {days:g} days" if days else f"{row['fleet']}  all for ever")


@retention.command("set")
@CLASS
@click.argument("keep", type=Duration(timedelta(days=1), timedelta(days=36_500)))
@FLEET
@click.pass_obj
def set_one(config: Path | None, kind: str, keep: timedelta, fleet: str) -> None:
    """Keep CLASS for so long, as in 90d: by the time of recording, also of what arrives late."""
    with_pool(config, lambda pool: _set(pool, fleet, kind, keep))
    click.echo(f"fleet '{fleet}' keeps {kind} for {keep / timedelta(days=1):g} days")


@retention.command("unset")
@CLASS
@FLEET
@click.pass_obj
def unset(config: Path | None, kind: str, fleet: str) -> None:
    """Keep CLASS for ever again."""
    with_pool(config, lambda pool: _set(pool, fleet, kind, None))
    click.echo(f"fleet '{fleet}' keeps {kind} for ever")


async def _set(pool: Pool, fleet: str, kind: str, keep: timedelta | None) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await set_retention(connection, await fleet_named(connection, fleet), kind, keep)
        data = {"fleet": fleet, "class": kind, "days": keep / timedelta(days=1) if keep else None}
        await accounts.audit(connection, "command line", "retention.set", data)
