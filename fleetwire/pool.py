"""A command that needs the database: its pool, and every expected failure as one line."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import asyncpg
import click

from cloud.config import load_cloud_config
from cloud.database import UNAVAILABLE, Pool, make_pool, ping
from cloud.errors import CloudError

T = TypeVar("T")


def with_pool(config: Path | None, act: Callable[[Pool], Awaitable[T]], *, size: int = 1) -> T:
    """What `act` returns. Raises ClickException."""

    async def connected() -> T:
        async with make_pool(load_cloud_config(config, os.environ).database_url, size=size, name="admin") as pool:
            await ping(pool)
            return await act(pool)

    try:
        return asyncio.run(connected())
    except asyncpg.UndefinedTableError as error:
        raise click.ClickException("the database has no schema yet: run 'fleetwire migrate'") from error
    except UNAVAILABLE as error:
        raise click.ClickException(f"PostgreSQL does not answer: {error or type(error).__name__}") from error
    except CloudError as error:
        raise click.ClickException(str(error)) from error
