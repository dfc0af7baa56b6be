"""fleetwire web: the dashboard, the live socket and the history API."""

import asyncio
import os
from pathlib import Path

import click

from cloud import web as web_process
from cloud.config import load_cloud_config
from cloud.errors import CloudError
from cloud.runtime import run


@click.command()
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file; FLEETWIRE_* variables go before it.",
)
def web(config_path: Path | None) -> None:
    """Serve the dashboard, the live socket and the history API.

    Listens on port 8080, or the next free one; FLEETWIRE_WEB_PORT sets it, and then a port that is taken is an error.
    Needs the database (FLEETWIRE_DATABASE_URL) and Redis (FLEETWIRE_REDIS_URL), or what 'fleetwire services start'
    brought up. Without Redis the history goes on, and nothing is live.
    """

    async def main(stop: asyncio.Event) -> None:
        await web_process.run(load_cloud_config(config_path, os.environ), stop, click.echo)

    try:
        run(main)
    except CloudError as error:
        raise click.ClickException(str(error)) from error
