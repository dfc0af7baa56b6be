"""The `fleetwire` command. Commands are imported when they are used, so that the agent starts fast."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Mapping

import click

from edge.lean_imports import defer_cantools, without_asammdf
from fleetwire.memory import no_collections

COMMANDS: Mapping[str, tuple[str, str]] = {
    "up": ("fleetwire.up:up", "Run the whole system on this machine."),
    "services": ("fleetwire.services:services", "Start and stop PostgreSQL, Redis and Mosquitto."),
    "migrate": ("fleetwire.cloud:migrate", "Bring the database's schema up to date."),
    "ingest": ("fleetwire.cloud:ingest", "Take batches from vehicles."),
    "writer": ("fleetwire.cloud:writer", "Write what arrived into the database."),
    "web": ("fleetwire.web:web", "Serve the dashboard, the live socket and the history API."),
    "edge": ("fleetwire.edge:edge", "The agent in the vehicle."),
    "simulate": ("fleetwire.simulate:simulate", "Make and replay drives; run a whole fleet."),
    "decode": ("fleetwire.decode:decode", "Decode a recording with a DBC."),
    "import": ("fleetwire.import_log:import_log", "Store recordings as data of a vehicle."),
    "admin": ("fleetwire.admin:admin", "Users, tokens and vehicles."),
    "doctor": ("fleetwire.doctor:doctor", "Say what is wrong with this installation."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        defer_cantools()
        with without_asammdf(), no_collections():
            command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else " See 'fleetwire --help'."
            ctx.fail(f"There is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fleetwire")
def cli() -> None:
    """Vehicle telematics that never loses data.

    \b
    Try it all on this machine:    fleetwire up --demo
    In a vehicle:                  fleetwire edge run --config edge.toml
    Look into a recording:         fleetwire decode drive.log --dbc vehicle.dbc
    """


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as help_page:
        click.echo(help_page.ctx.get_help())
        sys.exit(2)
    except click.ClickException as error:
        click.echo(f"Error: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        extra = {"asyncpg": "cloud", "redis": "cloud", "cantools": "edge", "can": "edge", "serial": "edge"}.get(
            error.name or ""
        )
        if extra is None:
            raise
        click.echo(f"Error: {error.name} is not installed: install fleetwire[{extra}]", err=True)
        sys.exit(1)
    except click.Abort:
        sys.exit(130)


if __name__ == "__main__":
    main()
