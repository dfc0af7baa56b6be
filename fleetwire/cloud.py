"""fleetwire migrate, ingest, writer: the cloud's processes."""

import asyncio
import os
import secrets
import time
from collections.abc import Callable
from functools import partial, update_wrapper
from pathlib import Path
from typing import Any

import click
from aiohttp import web

from cloud import migrations, runtime
from cloud.bus import Bus
from cloud.config import CloudConfig, load_cloud_config
from cloud.database import QUICK_S, inspect, make_pool, ping
from cloud.errors import CloudError
from cloud.ingest.app import IngestApi
from cloud.ingest.catalogs import Catalogs
from cloud.ingest.devices import Devices
from cloud.ingest.ledgers import LedgerReader
from cloud.ingest.metrics import IngestMetrics
from cloud.ingest.service import Ingest
from cloud.store import Store
from cloud.writer.committer import Committer, until_usable
from cloud.writer.leases import Leases
from cloud.writer.metrics import WriterMetrics
from cloud.writer.service import Writer


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
    """
    runtime.run(partial(_ingest, config))


@click.command()
@with_config
def writer(config: CloudConfig) -> None:
    """Write what is queued into the database, each batch once.

    Any number of writers may run: each shard has one of them, and another takes over when that one is gone.
    Health and metrics are on a port of their own (writer_port).
    """
    runtime.run(partial(_writer, config))


async def _ingest(config: CloudConfig, stop: asyncio.Event) -> None:
    registry = runtime.make_registry()
    metrics = IngestMetrics(registry)
    async with Bus(config.redis_url) as bus, make_pool(config.database_url, size=8, name="ingest") as pool:
        ledgers = LedgerReader(pool)
        service = Ingest(bus, ledgers, Catalogs(pool), Store(pool), metrics, shards=config.shards)
        devices = Devices(pool, now_s=time.monotonic)
        app = IngestApi(
            service, devices, metrics, body_bytes=config.body_bytes, plain_bytes=config.plain_bytes
        ).make_app()
        runtime.add_health(app, {"redis": bus.ping, "postgresql": partial(ping, pool)}, registry)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(ledgers.run(), name="ledgers")
            async with runtime.serve(
                app,
                host=config.host,
                port=config.ingest_port,
                fixed=config.was_set("ingest_port"),
                auto_decompress=False,
            ) as address:
                click.echo(f"ingest is ready on {address}")
                await stop.wait()
            reading.cancel()


async def _writer(config: CloudConfig, stop: asyncio.Event) -> None:
    registry = runtime.make_registry()
    metrics = WriterMetrics(registry)
    async with Bus(config.redis_url) as bus, make_pool(config.database_url, size=4, name="writer") as pool:
        if not await until_usable(partial(_inspect, pool), stop=stop):
            return
        leases = Leases(bus, range(config.shards), owner=secrets.token_hex(8))
        committer = Committer(Store(pool), metrics, stop=stop)
        service = Writer(
            bus, leases, committer, metrics, group_samples=config.group_samples, group_age_ms=config.group_age_ms
        )
        app = web.Application()
        runtime.add_health(app, {"redis": bus.ping, "postgresql": partial(ping, pool)}, registry)
        async with (
            runtime.serve(
                app, host=config.host, port=config.writer_port, fixed=config.was_set("writer_port")
            ) as address,
            asyncio.TaskGroup() as tasks,
        ):
            renewing = tasks.create_task(leases.run(), name="leases")
            click.echo(f"writer is ready, metrics on {address}/metrics")
            await service.run(stop)
            renewing.cancel()
            await leases.release()


async def _inspect(pool: Any) -> None:
    async with pool.acquire(timeout=QUICK_S) as connection:
        await inspect(connection)
