"""fleetwire edge install and uninstall: the agent as a service of this computer."""

import os
import re
import sys
from pathlib import Path

import click

from edge.service.install import SYSTEM, apply, known_buses
from edge.service.install_plan import CONFIG, OPT, plan_install, plan_uninstall
from fleetwire.plain_errors import errors_in_a_line

DEFAULT_BITRATE = 500_000


class Bus(click.ParamType[tuple[str, int]]):
    """`can0=250000`."""

    name = "bus"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([a-z][a-z0-9]{0,14})=([1-9]\d{3,6})", value)
        if match is None:
            self.fail(f"'{value}' is no bus; write can0=500000", param, ctx)
        return match[1], int(match[2])


BUS = Bus()
PREFIX = click.option(
    "--prefix",
    type=click.Path(path_type=Path, file_okay=False),
    default=SYSTEM,
    show_default=True,
    help="Another root, as of an image that is being built.",
)
DRY_RUN = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


@click.command(short_help="Install the agent as a service on this computer.")
@click.option(
    "--wheel",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Fleetwire's wheel, for /opt/fleetwire.",
)
@click.option(
    "--can",
    "rates",
    type=BUS,
    multiple=True,
    metavar="NAME=BITRATE",
    help="A bus; can0=500000 unless told. Repeatable.",
)
@PREFIX
@DRY_RUN
def install(wheel: Path | None, rates: tuple[tuple[str, int], ...], prefix: Path, dry_run: bool) -> None:
    """Install on Raspberry Pi OS or Debian 12 and 13: user, environment, service, CAN link, udev rules, settings.

    \b
    sudo python3 -m venv /opt/fleetwire
    sudo /opt/fleetwire/bin/pip install './fleetwire-0.1.0-py3-none-any.whl[edge]'
    sudo /opt/fleetwire/bin/fleetwire edge install

    Or, from any other environment, with --wheel. Doing it again brings everything up to date and keeps the settings.
    """
    with errors_in_a_line():
        _require_root(prefix, dry_run)
        if wheel is None and prefix == SYSTEM and Path(sys.prefix) != Path(OPT) and not dry_run:
            raise click.UsageError(f"this is not the environment {OPT}: give --wheel FILE, and it is made")
        buses = dict(rates) or dict.fromkeys(known_buses(prefix) or ["can0"], DEFAULT_BITRATE)
        at = str(wheel.resolve()) if wheel is not None else None
        apply(
            plan_install(buses=buses, keeps_rates=not rates, wheel=at), prefix=prefix, dry_run=dry_run, say=click.echo
        )
    click.echo(f"next: put the database beside {CONFIG} and look that file through; then, with a code of")
    click.echo("'fleetwire admin vehicle invite ID':")
    click.echo(f"  sudo fleetwire edge enroll CODE --url https://… --config {CONFIG}")
    click.echo(f"  sudo -u fleetwire fleetwire edge check --config {CONFIG}")
    click.echo("  sudo systemctl start fleetwire-edge")


@click.command(short_help="Remove the service; spool and settings stay.")
@PREFIX
@DRY_RUN
def uninstall(prefix: Path, dry_run: bool) -> None:
    """Stop and remove the service, its units and /opt/fleetwire. /etc/fleetwire and /var/lib/fleetwire stay."""
    with errors_in_a_line():
        _require_root(prefix, dry_run)
        apply(plan_uninstall(buses=known_buses(prefix)), prefix=prefix, dry_run=dry_run, say=click.echo)
    click.echo("the spool in /var/lib/fleetwire, the settings in /etc/fleetwire and the user 'fleetwire' stay")


def _require_root(prefix: Path, dry_run: bool) -> None:
    if prefix == SYSTEM and not dry_run and os.geteuid() != 0:
        raise click.ClickException("this changes the system: run it with sudo, or look first with --dry-run")
