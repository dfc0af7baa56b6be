"""Connections to PostgreSQL, and what must be true of the server before anything is written to it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

from cloud.errors import DatabaseError

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Executor: TypeAlias = Connection | Pool
else:
    Pool = Connection = Executor = object

QUICK_S = 3.0
"""How long a request of somebody who waits may hang in the database."""

UNHURRIED_S = 86_400.0
"""For statements that take as long as there are rows: asyncpg reads None as the pool's own limit, a minute."""

UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InternalClientError,
)
"""What asyncpg raises while the server is down, starting, stopping or out of room: wait and try again."""


TOO_MUCH = (
    TimeoutError,
    asyncpg.QueryCanceledError,
    asyncpg.OutOfMemoryError,
    asyncpg.ProgramLimitExceededError,
)
"""What is raised when a statement is more than the server manages: less at once may do."""


def is_about_the_data(error: BaseException) -> bool:
    """Whether the same rows would be refused again: data exceptions, integrity violations, values out of range."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate)[:2] in ("22", "23")
    return isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)


@dataclass(frozen=True)
class Server:
    """What the server says of itself."""

    version: str
    timescaledb: str
    community: bool


async def connect(database_url: str) -> "asyncpg.Connection[asyncpg.Record]":
    """One connection. Raises DatabaseError that says what to do."""
    try:
        return await asyncpg.connect(database_url, timeout=10, server_settings={"application_name": "fleetwire"})
    except (OSError, TimeoutError) as error:
        raise DatabaseError(f"no PostgreSQL at {_without_password(database_url)}: {error or 'no answer'}") from error
    except (ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseError(f"PostgreSQL at {_without_password(database_url)}: {error}") from error


def make_pool(database_url: str, *, size: int, name: str, **settings: str) -> "Pool":
    """A pool that connects when it is first used, so that a process starts while the database is down.

    `settings` are the server's, for these connections.
    """
    return asyncpg.create_pool(
        database_url,
        min_size=0,
        max_size=size,
        timeout=5,
        command_timeout=60,
        server_settings={"application_name": f"fleetwire-{name}", "timezone": "UTC"} | settings,
        reset=_leave,
    )


async def ping(pool: "Pool") -> None:
    """Raises DatabaseError when no query is answered now."""
    try:
        async with pool.acquire(timeout=QUICK_S) as connection:
            await connection.fetchval("SELECT 1", timeout=QUICK_S)
    except (*UNAVAILABLE, asyncpg.PostgresError) as error:
        raise DatabaseError(f"PostgreSQL does not answer: {error or type(error).__name__}") from error


async def inspect(connection: "Executor") -> Server:
    """Raises DatabaseError for a server that acknowledges what it can lose, or has no TimescaleDB."""
    if await connection.fetchval("SHOW synchronous_commit") == "off":
        raise DatabaseError("synchronous_commit is off: the server acknowledges what it can still lose; set it to on")
    version = await connection.fetchval("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    if version is None:
        raise DatabaseError("the database has no timescaledb extension: run 'fleetwire migrate'")
    community = await connection.fetchval("SELECT _timescaledb_functions.tsl_loaded()")
    return Server(version=await connection.fetchval("SHOW server_version"), timescaledb=version, community=community)


async def _leave(_: "Connection") -> None:
    """No session of ours is changed but within a transaction, so that the pool need not ask the server to reset it."""


def _without_password(database_url: str) -> str:
    scheme, _, rest = database_url.partition("://")
    credentials, at, host = rest.rpartition("@")
    return f"{scheme}://{credentials.partition(':')[0]}{at}{host}"
