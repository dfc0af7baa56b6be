"""fleetwire admin: users, API tokens, vehicles, fleets, and what becomes of their data."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import asyncpg
import click

from cloud.access import accounts, invites, osmand
from cloud.config import load_cloud_config
from cloud.database import Executor, connect
from cloud.errors import CloudError
from cloud.running.local_broker import write_broker_passwords
from fleetwire.campaign import campaign
from fleetwire.dead_letters import dead_letters
from fleetwire.durations import Duration
from fleetwire.erase import erase, erasures
from fleetwire.retention import retention
from fleetwire.set_aside import set_aside

T = TypeVar("T")

ROLE = click.option("--role", type=click.Choice(accounts.ROLES), default="viewer", show_default=True)
FLEET = click.option("--fleet", default=accounts.DEFAULT_FLEET, show_default=True, help="The fleet it belongs to.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
PASSWORD_STDIN = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@click.group()
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings as TOML.")
@click.pass_context
def admin(context: click.Context, config: Path | None) -> None:
    """Users, API tokens, vehicles, campaigns; retention and erasure; what was refused or set aside.

    \b
    fleetwire admin user add ann --role admin
    fleetwire admin token add reports
    fleetwire admin vehicle add truck-0001 --json
    """
    context.obj = config


for command in (campaign, dead_letters, set_aside, retention, erase, erasures):
    admin.add_command(command)


@admin.group()
def user() -> None:
    """People who sign in to the dashboard."""


@user.command("add")
@click.argument("name")
@ROLE
@FLEET
@PASSWORD_STDIN
@click.pass_obj
def user_add(config: Path | None, name: str, role: str, fleet: str, password_stdin: bool) -> None:
    """Add a user; asks for the password."""
    password = _read_password(password_stdin)
    _run(
        config,
        lambda db: accounts.add_user(db, name, password, role=role, fleet=fleet),
        action="user.add",
        name=name,
        role=role,
    )
    click.echo(f"user '{name}' may sign in ({role})")


@user.command("password")
@click.argument("name")
@PASSWORD_STDIN
@click.pass_obj
def user_password(config: Path | None, name: str, password_stdin: bool) -> None:
    """Set a new password; ends the user's sessions."""
    password = _read_password(password_stdin)
    _run(config, lambda db: accounts.set_password(db, name, password), action="user.password", name=name)
    click.echo(f"user '{name}' has a new password")


@user.command("list")
@AS_JSON
@click.pass_obj
def user_list(config: Path | None, as_json: bool) -> None:
    """List all users."""
    _show(_run(config, accounts.list_users), as_json)


@admin.group()
def token() -> None:
    """API tokens, for programs that read the history."""


@token.command("add")
@click.argument("name")
@ROLE
@FLEET
@AS_JSON
@click.pass_obj
def token_add(config: Path | None, name: str, role: str, fleet: str, as_json: bool) -> None:
    """Make a token and print it; it cannot be shown again."""
    made = _run(
        config,
        lambda db: accounts.add_token(db, name, role=role, fleet=fleet),
        action="token.add",
        name=name,
        role=role,
    )
    click.echo(json.dumps({"name": name, "role": role, "token": made}) if as_json else made)


@token.command("revoke")
@click.argument("name")
@click.pass_obj
def token_revoke(config: Path | None, name: str) -> None:
    """End a token."""
    _run(config, lambda db: accounts.revoke_token(db, name), action="token.revoke", name=name)
    click.echo(f"token '{name}' is no longer in force")


@token.command("list")
@AS_JSON
@click.pass_obj
def token_list(config: Path | None, as_json: bool) -> None:
    """List the tokens in force."""
    _show(_run(config, accounts.list_tokens), as_json)


@admin.group()
def vehicle() -> None:
    """Vehicles and the tokens with which they send."""


@vehicle.command("add")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@FLEET
@AS_JSON
@click.pass_obj
def vehicle_add(config: Path | None, ids: Sequence[str], fleet: str, as_json: bool) -> None:
    """Register vehicles, or find them, and print a new device token for each.

    With --json one {"vehicle", "token"} per line. Earlier tokens stay in force.
    """
    for ident, made in _run(
        config, lambda db: accounts.add_vehicles(db, ids, fleet=fleet), action="device_token.add", vehicles=ids
    ):
        click.echo(json.dumps({"vehicle": ident, "token": made}) if as_json else f"{ident} {made}")
    _tell_broker(config)


@vehicle.command("invite")
@click.argument("id")
@click.option(
    "--valid",
    type=Duration(invites.SHORTEST, invites.LONGEST),
    default="24h",
    show_default=True,
    help="How long the code holds: 30m, 24h, 7d.",
)
@FLEET
@AS_JSON
@click.pass_obj
def vehicle_invite(config: Path | None, id: str, valid: timedelta, fleet: str, as_json: bool) -> None:
    """Make a one-time code for 'fleetwire edge enroll', and register the vehicle if it is new."""
    made = _run(
        config,
        lambda db: invites.invite_vehicle(db, id, valid=valid, fleet=fleet),
        action="vehicle.invite",
        vehicle=id,
    )
    if as_json:
        click.echo(json.dumps({"vehicle": id, "code": made.code, "expires_at": made.expires_at.isoformat()}))
    else:
        click.echo(f"{made.code}  (good once, until {made.expires_at:%Y-%m-%d %H:%M} UTC)")
        click.echo(f"on the vehicle: fleetwire edge enroll {made.code} --url https://…", err=True)


@vehicle.command("revoke")
@click.argument("id")
@click.pass_obj
def vehicle_revoke(config: Path | None, id: str) -> None:
    """End every device token of a vehicle, and codes that were not used; what it sent stays."""
    count = _run(config, lambda db: accounts.revoke_devices(db, id), action="device_token.revoke", vehicle=id)
    if not count:
        raise click.ClickException(f"vehicle '{id}' has no token in force")
    _tell_broker(config)
    click.echo(f"{count} token{'s' if count > 1 else ''} of '{id}' no longer in force")


@vehicle.command("osmand")
@click.argument("id")
@click.option("--device", metavar="IDENT", help="The identifier that the device sends; without it one is drawn.")
@click.option("--off", is_flag=True, help="The vehicle may report no more.")
@click.pass_obj
def vehicle_osmand(config: Path | None, id: str, device: str | None, off: bool) -> None:
    """Let a vehicle send positions as OsmAnd, Traccar's client and many trackers do, and print its identifier.

    The identifier is all that such a device proves itself with: let it be drawn, or choose one that is hard to guess.
    Reports go to ingest's port 5055.
    """
    if off:
        if not _run(config, lambda db: osmand.disable(db, id), action="osmand.disable", vehicle=id):
            raise click.ClickException(f"vehicle '{id}' could not report anyway")
        click.echo(f"vehicle '{id}' reports no more")
    else:
        click.echo(_run(config, lambda db: osmand.enable(db, id, device), action="osmand.enable", vehicle=id))


@vehicle.command("list")
@AS_JSON
@click.pass_obj
def vehicle_list(config: Path | None, as_json: bool) -> None:
    """List all vehicles with their last sign of life."""
    _show(_run(config, accounts.list_vehicles), as_json)


@admin.group()
def fleet() -> None:
    """Fleets: who sees whose vehicles."""


@fleet.command("add")
@click.argument("name")
@click.pass_obj
def fleet_add(config: Path | None, name: str) -> None:
    """Add a fleet."""
    _run(config, lambda db: accounts.add_fleet(db, name), action="fleet.add", name=name)
    click.echo(f"fleet '{name}' added")


@fleet.command("list")
@AS_JSON
@click.pass_obj
def fleet_list(config: Path | None, as_json: bool) -> None:
    """List all fleets with their number of vehicles."""
    _show(_run(config, accounts.list_fleets), as_json)


def _run(
    config: Path | None, act: Callable[[Executor], Awaitable[T]], *, action: str | None = None, **data: object
) -> T:
    """In one transaction with its entry in the audit log, where it is an `action`."""

    async def connected() -> T:
        connection = await connect(load_cloud_config(config, os.environ).database_url)
        try:
            async with connection.transaction():
                done = await act(connection)
                if action:
                    await accounts.audit(connection, "command line", action, data)
                return done
        finally:
            await connection.close()

    try:
        return asyncio.run(connected())
    except asyncpg.UndefinedTableError as error:
        raise click.ClickException("the database has no schema yet: run 'fleetwire migrate'") from error
    except CloudError as error:
        raise click.ClickException(str(error)) from error


def _tell_broker(config: Path | None) -> None:
    """MQTT's passwords are written at once where that can be done from here; else ingest does it in a moment."""
    try:
        asyncio.run(write_broker_passwords(load_cloud_config(config, os.environ)))
    except CloudError as error:
        click.echo(f"Warning: {error}", err=True)


def _read_password(from_stdin: bool) -> str:
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if not password:
        raise click.ClickException("the password is empty")
    return str(password)


def _show(rows: Sequence[asyncpg.Record], as_json: bool) -> None:
    for row in rows:
        values = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
        if as_json:
            click.echo(json.dumps(values))
        else:
            click.echo("  ".join("-" if value is None else str(value) for value in values.values()))
