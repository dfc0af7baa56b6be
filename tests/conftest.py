"""Real servers for tests that ask for them: started when first used, private to this run, gone when it ends.

database_url       a migrated database of the test's own; dropped afterwards
empty_database_url the same without migrations
redis_url          an empty Redis that no other test uses meanwhile (one server per xdist worker, flushed for each test)
mqtt_url           a Mosquitto (one per xdist worker)
redis_cluster      a Redis Cluster of three nodes (one per xdist worker), all alive and empty
private_redis      a Redis of the test's own, to kill, restart and flush
private_services   a home of the test's own, to start, kill and stop any of the services in

FLEETWIRE_TEST_DATABASE_URL and FLEETWIRE_TEST_REDIS_URL name servers to use instead; their contents are not spared.
"""

import asyncio
import concurrent.futures
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import hypothesis
import pytest
import redis.asyncio
import structlog

from cloud.migrations import migrate
from cloud.services import embedded
from cloud.services.processes import Process, identify, is_alive
from tests.private_services import PrivateRedis, PrivateServices
from tests.redis_cluster import RedisCluster, end_cluster

RUN_FOLDER = "FLEETWIRE_TEST_RUN"  # how xdist's workers learn which run they belong to
TEMPLATE = "fleetwire_template"
T = TypeVar("T")

# A slow moment of the machine is no failure.
hypothesis.settings.register_profile("fleetwire", deadline=None)
hypothesis.settings.load_profile("fleetwire")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that sets up its logging would otherwise silence what a later test wants to hear."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def database_server() -> str:
    """The address of a PostgreSQL with TimescaleDB that the whole run shares."""
    if given := os.environ.get("FLEETWIRE_TEST_DATABASE_URL"):
        return given
    started = _blocking(embedded.start(_run_folder() / "shared", wanted=["postgres"], durable=False, say=_quiet))
    return started.running["postgres"].url


@pytest.fixture(scope="session")
def database_template(database_server: str) -> str:
    """The name of a migrated database nobody is connected to."""
    with (_run_folder() / "template.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if not (name := lock.read()):
            name = f"{TEMPLATE}_{secrets.token_hex(4)}"
            _blocking(_make_template(database_server, name))
            lock.write(name)
    return name


@pytest.fixture
async def database_url(database_server: str, database_template: str) -> AsyncIterator[str]:
    async with _database(database_server, f"TEMPLATE {database_template} STRATEGY file_copy") as url:
        yield url


@pytest.fixture
async def empty_database_url(database_server: str) -> AsyncIterator[str]:
    async with _database(database_server, "TEMPLATE template0") as url:
        yield url


@pytest.fixture(scope="session")
def redis_server() -> str:
    """The address of this worker's own Redis."""
    if given := os.environ.get("FLEETWIRE_TEST_REDIS_URL"):
        return given
    started = _blocking(embedded.start(_worker_home(), wanted=["redis"], durable=False, say=_quiet))
    return started.running["redis"].url


@pytest.fixture
async def redis_url(redis_server: str) -> str:
    async with redis.asyncio.Redis.from_url(redis_server) as client:
        await client.flushall()
    return redis_server


@pytest.fixture(scope="session")
def redis_cluster_servers() -> Iterator[RedisCluster]:
    """This worker's own Redis Cluster."""
    cluster = RedisCluster(_run_folder() / f"cluster-{secrets.token_hex(4)}")
    _blocking(cluster.create())
    yield cluster
    _blocking(cluster.stop())


@pytest.fixture
async def redis_cluster(redis_cluster_servers: RedisCluster) -> RedisCluster:
    await redis_cluster_servers.until_ok()
    await redis_cluster_servers.flush()
    return redis_cluster_servers


@pytest.fixture(scope="session")
def mqtt_url() -> str:
    started = _blocking(embedded.start(_worker_home(), wanted=["mosquitto"], durable=False, say=_quiet))
    return started.running["mosquitto"].url


@pytest.fixture
async def private_services(tmp_path: Path) -> AsyncIterator[PrivateServices]:
    services = PrivateServices(_run_folder() / f"private-{secrets.token_hex(4)}")
    yield services
    await services.stop()
    shutil.rmtree(services.home, ignore_errors=True)


@pytest.fixture
async def private_redis(private_services: PrivateServices) -> PrivateRedis:
    started = await private_services.start("redis")
    return PrivateRedis(private_services, started.running["redis"].url)


def pytest_configure(config: pytest.Config) -> None:
    if _is_worker(config):
        return
    _sweep_after_the_killed()
    folder = Path(tempfile.mkdtemp(prefix=_folder_prefix()))
    owner = identify(os.getpid())
    assert owner is not None
    (folder / "owner.json").write_text(json.dumps(asdict(owner)))
    os.environ[RUN_FOLDER] = str(folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    if not _is_worker(config) and (folder := os.environ.pop(RUN_FOLDER, None)):
        _clear(Path(folder))


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _run_folder() -> Path:
    return Path(os.environ[RUN_FOLDER])


def _worker_home() -> Path:
    return _run_folder() / os.environ.get("PYTEST_XDIST_WORKER", "main")


def _folder_prefix() -> str:
    return f"fleetwire-test-{os.getuid()}-"


def _sweep_after_the_killed() -> None:
    """Runs that were killed could not clear up; whoever comes next does it for them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_folder_prefix()}*"):
        with contextlib.suppress(FileNotFoundError):
            if not is_alive(Process(**json.loads((folder / "owner.json").read_text()))):
                _clear(folder)


def _clear(folder: Path) -> None:
    for cluster in folder.glob("cluster-*"):
        _blocking(end_cluster(cluster))
    for services in folder.glob("*/services"):
        _blocking(embedded.stop(services.parent, say=_quiet))
    shutil.rmtree(folder, ignore_errors=True)


async def _make_template(server: str, name: str) -> None:
    await _execute(server, f"CREATE DATABASE {name} TEMPLATE template0")
    await migrate(_with_database(server, name))


@contextlib.asynccontextmanager
async def _database(server: str, how: str) -> AsyncIterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    await _execute(server, f"CREATE DATABASE {name} {how}")
    yield _with_database(server, name)
    await _execute(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def _execute(server: str, statement: str) -> None:
    connection = await asyncpg.connect(_with_database(server, "postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _with_database(server: str, name: str) -> str:
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


def _blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a thread of its own: pytest-asyncio's loop stays untouched."""
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _quiet(line: str) -> None:
    """Progress is of no interest in a test run."""
