"""Real servers and the cloud's own processes for a figure, in a home of their own that is gone afterwards."""

import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bench.figure import Unavailable
from cloud.config import CloudConfig, load_cloud_config
from cloud.database import connect
from cloud.migrations import migrate
from cloud.running.local import address, choose_ports, cloud_orders, ensure_admin
from cloud.running.supervisor import Child, Supervisor
from cloud.services import embedded
from cloud.services.errors import ServiceError
from cloud.services.ports import PortClaims

SERVICES: Final = ("postgres", "redis")
WRITER: Final = "writer"
INGEST: Final = "ingest"
WEB: Final = "web"


@dataclass(frozen=True)
class Stack:
    """What runs. The addresses are without a final slash."""

    config: CloudConfig
    admin_token: str
    ingest_url: str
    web_url: str
    pids: Mapping[str, int]
    """Of the services and the cloud's processes, by name."""

    @asynccontextmanager
    async def with_more(self, *processes: str) -> AsyncIterator[None]:
        """More of the cloud's processes, for a while."""
        async with Supervisor(say=_quiet) as supervisor:
            await supervisor.start(*_children(self.config, processes))
            yield


@asynccontextmanager
async def running(*processes: str, database_url: str | None = None) -> AsyncIterator[Stack]:
    """TimescaleDB and Redis as durable as in service, the schema, and those of the cloud's processes that are named.

    With a `database_url` that database is used instead of the one that is started.
    """
    with tempfile.TemporaryDirectory(prefix="fleetwire-bench-") as folder:
        home = Path(folder)
        try:
            await embedded.start(home, wanted=SERVICES, say=_quiet)
        except ServiceError as error:
            raise Unavailable(f"the services do not start: {error}") from error
        try:
            environ = {"FLEETWIRE_HOME": folder} | ({"FLEETWIRE_DATABASE_URL": database_url} if database_url else {})
            config = choose_ports(load_cloud_config(None, environ), _quiet, PortClaims())
            await migrate(config.database_url)
            admin = await ensure_admin(config.database_url, home, _quiet)
            async with Supervisor(say=_quiet) as supervisor:
                await supervisor.start(*_children(config, processes))
                yield Stack(
                    config,
                    admin.token,
                    ingest_url=address(config, config.ingest_port),
                    web_url=address(config, config.web_port),
                    pids=embedded.status(home).pids | supervisor.pids,
                )
        finally:
            await embedded.stop(home, wanted=SERVICES, say=_quiet)


@asynccontextmanager
async def fresh_database(server_url: str) -> AsyncIterator[str]:
    """On a server that somebody else runs. Raises DatabaseError when it does not answer."""
    name = f"fleetwire_bench_{secrets.token_hex(4)}"
    connection = await connect(server_url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        try:
            yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
        finally:
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


def _children(config: CloudConfig, processes: Collection[str]) -> list[Child]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("FLEETWIRE_")}
    return [Child(order) for order in cloud_orders(config, environ) if order.name in processes]


def _quiet(line: str) -> None:
    """Progress is not what is measured."""
