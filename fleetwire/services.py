"""fleetwire services: PostgreSQL with TimescaleDB, Redis and Mosquitto for this machine, without Docker."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from cloud.config import default_home
from cloud.errors import CloudError
from cloud.services import embedded

T = TypeVar("T")


@click.group()
def services() -> None:
    """The real servers that Fleetwire stands on, without Docker and without root.

    TimescaleDB 2.19 on PostgreSQL 17, Redis 8 and Mosquitto 2 are taken from Debian 13's packages, unpacked once into
    ~/.cache/fleetwire (or $FLEETWIRE_CACHE) and run in a sandbox. Their data, passwords and logs are in FLEETWIRE_HOME
    (default: .fleetwire). A FLEETWIRE_DATABASE_URL, FLEETWIRE_REDIS_URL or FLEETWIRE_MQTT_URL in the environment
    replaces that service.
    """


@services.command()
def start() -> None:
    """Bring them up, or find them running. The addresses are in FLEETWIRE_HOME/services.json."""
    wanted = embedded.wanted_services(os.environ)
    home = _home()
    for name in embedded.ALL:
        if name not in wanted:
            click.echo(f"{name} is not started: FLEETWIRE_{embedded.URL_KEYS[name].upper()} is set")
    already = embedded.status(home).pids
    running = _or_error(lambda: embedded.start(home, wanted=wanted, say=click.echo))
    for name in wanted:
        if name in already and already[name] == running.pids[name]:
            click.echo(f"{name} was running (pid {already[name]})")
    if wanted:
        click.echo(f"addresses: {home / 'services.json'}, logs: {home / 'logs'}")


@services.command()
def stop() -> None:
    """End them; data and ports are kept for the next start."""
    stopped = _or_error(lambda: embedded.stop(_home(), say=click.echo))
    click.echo(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@services.command()
def status() -> None:
    """Say what runs; exit status 1 if one of them does not."""
    home = _home()
    running = embedded.status(home).running
    wanted = embedded.wanted_services(os.environ)
    for name in embedded.ALL:
        if name not in wanted:
            click.echo(f"{name:10} replaced by FLEETWIRE_{embedded.URL_KEYS[name].upper()}")
        elif one := running.get(name):
            click.echo(
                f"{name:10} running   127.0.0.1:{one.port}   pid {one.process.pid}   {embedded.log_path(home, name)}"
            )
        else:
            click.echo(f"{name:10} stopped")
    if not all(name in running for name in wanted):
        sys.exit(1)


def _home() -> Path:
    return Path(os.environ.get("FLEETWIRE_HOME") or default_home()).absolute()


def _or_error(action: Callable[[], Coroutine[Any, Any, T]]) -> T:
    try:
        return asyncio.run(action())
    except CloudError as error:
        raise click.ClickException(str(error)) from error
