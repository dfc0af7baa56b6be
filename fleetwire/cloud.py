"""fleetwire migrate, ingest, writer: the cloud's processes."""

import asyncio
import os
from collections.abc import Callable
from functools import update_wrapper
from pathlib import Path
from typing import Any

import click

from cloud import migrations, runtime
from cloud.config import CloudConfig, load_cloud_config
from cloud.errors import CloudError
from cloud.ingest import process as ingest_process
from cloud.running.local_broker import broker_passwords
from cloud.writer import process as writer_process


def with_config(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command `--config FILE` and calls it with the CloudConfig; a CloudError becomes one line."""

    @click.option("--config", "path", type=click.Path(path_type=Path), metavar="FILE", help="Settings as TOML.")
    def with_settings(path: Path | None, **arguments: Any) -> None:
        try:
            command(load_cloud_config(path, os.environ), **arguments)
        except CloudError as error:
            raise click.ClickException(str(error)) from error

    return update_wrapper(with_settings, command)


@click.command()
@with_config
def migrate(config: CloudConfig) -> None:
    """Bring the database's schema up to date.

    Forward only; a second run finds nothing to do. Two at once wait for one another.
    """
    applied = asyncio.run(migrations.migrate(config.database_url))
    for migration in applied:
        click.echo(f"applied {migration.number:04d}_{migration.name}")
    if not applied:
        click.echo("the schema is up to date")


@click.command()
@with_config
def ingest(config: CloudConfig) -> None:
    """Take batches from vehicles and queue them for the writer.

    \b
    POST /v1/batches          batches of a vehicle, its device token as bearer
    PUT  /v1/catalogs/{hash}  what the signals mean
    POST /v1/events           flat JSON, for devices without a spool
    /healthz /readyz /metrics

    With FLEETWIRE_MQTT_URL, or the embedded Mosquitto, batches come over MQTT as well.
    """
    passwords = broker_passwords(config)
    runtime.run(lambda stop: ingest_process.run(config, stop, click.echo, passwords=passwords))


@click.command()
@with_config
def writer(config: CloudConfig) -> None:
    """Write what is queued into the database, each batch once.

    Any number of writers may run: each shard has one of them, and another takes over when that one is gone.
    Health and metrics are on a port of their own (writer_port).
    """
    runtime.run(lambda stop: writer_process.run(config, stop, click.echo))
