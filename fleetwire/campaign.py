"""fleetwire admin campaign: what vehicles are asked to keep."""

import json
from collections.abc import Iterator
from pathlib import Path

import click

from cloud import campaigns
from cloud.access import accounts
from cloud.campaigns import Assigned, Reported
from cloud.database import Pool
from cloud.telemetry.retention import fleet_named
from fleetwire.campaign_file import load_campaign
from fleetwire.pool import with_pool

WHO = "command line"
FLEET = click.option("--fleet", default=accounts.DEFAULT_FLEET, show_default=True)


@click.group()
def campaign() -> None:
    """Campaigns: how vehicles sample, and what they capture.

    \b
    fleetwire admin campaign add brake.toml
    fleetwire admin campaign assign truck-0001 harsh-braking
    fleetwire admin campaign show truck-0001

    docs/campaigns.md says what a campaign is. 'fleetwire edge check --campaign' foretells what one would bring.
    """


@campaign.command("add")
@click.argument("file", type=click.Path(path_type=Path))
@FLEET
@click.pass_obj
def add(config: Path | None, file: Path, fleet: str) -> None:
    """Keep FILE (TOML, or .json) as a campaign, or as a newer version of one. Vehicles keep what they have."""
    document = load_campaign(file)

    async def act(pool: Pool) -> None:
        added = await campaigns.add_version(pool, await fleet_named(pool, fleet), document, by=WHO)
        data = {"campaign": document.id, "version": document.version, "etag": added.etag}
        await accounts.audit(pool, WHO, "campaign.put", data)

    with_pool(config, act)
    click.echo(f"{document.id} {document.version} is kept; next: fleetwire admin campaign assign VEHICLE {document.id}")


@campaign.command("list")
@FLEET
@click.pass_obj
def list_all(config: Path | None, fleet: str) -> None:
    """List campaigns in their newest versions, with how many vehicles are meant to go by any version."""

    async def act(pool: Pool) -> list[campaigns.Version]:
        return await campaigns.list_campaigns(pool, await fleet_named(pool, fleet))

    for one in with_pool(config, act):
        click.echo(f"{one.campaign.id}  {one.campaign.version}  {one.vehicles} vehicles  {one.campaign.note}".rstrip())


@campaign.command("assign")
@click.argument("vehicle")
@click.argument("id")
@click.option("--version", type=click.IntRange(1), help="Without it the newest.")
@click.pass_obj
def assign(config: Path | None, vehicle: str, id: str, version: int | None) -> None:
    """Let VEHICLE go by the campaign ID, from its next request on."""

    async def act(pool: Pool) -> int:
        number, fleet = await campaigns.find_vehicle(pool, vehicle)
        given = await campaigns.assign(pool, number, fleet, id, version, by=WHO)
        data = {"vehicle": vehicle, "campaign": id, "version": given}
        await accounts.audit(pool, WHO, "vehicle.campaign", data)
        return given

    given = with_pool(config, act)
    click.echo(f"{vehicle} is to go by {id} {given}; next: fleetwire admin campaign show {vehicle}")


@campaign.command("unassign")
@click.argument("vehicle")
@click.pass_obj
def unassign(config: Path | None, vehicle: str) -> None:
    """Let VEHICLE go by its own file again."""

    async def act(pool: Pool) -> None:
        number, _ = await campaigns.find_vehicle(pool, vehicle)
        if await campaigns.unassign(pool, number):
            await accounts.audit(pool, WHO, "vehicle.campaign", {"vehicle": vehicle, "campaign": None})

    with_pool(config, act)
    click.echo(f"{vehicle} is to go by its own file")


@campaign.command("show")
@click.argument("vehicle")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(config: Path | None, vehicle: str, as_json: bool) -> None:
    """Say what VEHICLE is meant to go by, and what it made of it."""

    async def act(pool: Pool) -> tuple[Assigned | None, Reported | None]:
        number, _ = await campaigns.find_vehicle(pool, vehicle)
        return await campaigns.assigned_to(pool, number), await campaigns.reported_by(pool, number)

    assigned, reported = with_pool(config, act)
    state = campaigns.standing(assigned, reported.data if reported else None)
    if as_json:
        meant = None if assigned is None else {"id": assigned.id, "version": assigned.version, "etag": assigned.etag}
        said = None if reported is None else {"at": reported.at.isoformat(), **reported.data}
        click.echo(json.dumps({"vehicle": vehicle, "state": state, "assigned": meant, "reported": said}))
    else:
        click.echo("\n".join(_lines(vehicle, state, assigned, reported)))


def _lines(vehicle: str, state: str, assigned: Assigned | None, reported: Reported | None) -> Iterator[str]:
    meant = "its own file" if assigned is None else f"{assigned.id} {assigned.version}, by {assigned.by}"
    yield f"{vehicle}: {state}; meant is {meant}"
    if reported is None:
        yield "it has not said anything of a campaign yet"
        return
    named = " ".join(str(reported.data[key]) for key in ("id", "version") if key in reported.data)
    yield f"{reported.at:%Y-%m-%d %H:%M:%S} it said: {reported.data.get('state')} {named}".rstrip()
    yield from (f"{key}: {reported.data[key]}" for key in ("reason", "instead", "idle") if key in reported.data)
