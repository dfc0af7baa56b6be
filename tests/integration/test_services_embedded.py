"""The embedded services start, are found again, survive kill -9, and leave nothing behind."""

import asyncio
import json
import os
import socket
import stat
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis.asyncio
import redis.exceptions

from cloud.services import embedded, root
from cloud.services.errors import ServiceError
from cloud.services.processes import is_alive
from tests.private_services import PrivateServices

pytestmark = pytest.mark.services


async def test_second_start_finds_everything_running(private_services: PrivateServices) -> None:
    first = await private_services.start()
    assert await private_services.start() == first
    assert set(first.running) == {"postgres", "redis", "mosquitto"}


async def test_database_has_timescaledb_and_keeps_what_it_acknowledges(private_services: PrivateServices) -> None:
    url = (await private_services.start("postgres")).running["postgres"].url
    connection = await asyncpg.connect(url)
    try:
        version = await connection.fetchval("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
        assert version.startswith("2.19")
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
    finally:
        await connection.close()


async def test_killed_postgres_comes_back_on_the_same_port_with_its_data(private_services: PrivateServices) -> None:
    before = (await private_services.start("postgres")).running["postgres"]
    connection = await asyncpg.connect(before.url)
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS value")
    await private_services.kill("postgres")
    connection.terminate()
    after = (await private_services.start("postgres")).running["postgres"]
    assert after.port == before.port
    assert after.process != before.process
    connection = await asyncpg.connect(after.url)
    try:
        assert await connection.fetchval("SELECT value FROM kept") == 42
    finally:
        await connection.close()


async def test_redis_appends_and_never_evicts_and_asks_for_its_password(private_services: PrivateServices) -> None:
    one = (await private_services.start("redis")).running["redis"]
    async with redis.asyncio.Redis.from_url(one.url) as client:
        settings = await client.config_get("appendonly", "appendfsync", "maxmemory-policy")
    assert settings == {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
    async with redis.asyncio.Redis(port=one.port) as stranger:
        with pytest.raises(redis.exceptions.AuthenticationError):
            await stranger.ping()


async def test_stop_leaves_no_process_and_no_record_of_one(private_services: PrivateServices) -> None:
    processes = [one.process for one in (await private_services.start()).running.values()]
    await private_services.stop()
    assert not any(is_alive(process) for process in processes)
    assert not (private_services.home / "services.json").exists()
    assert str(private_services.home) not in _command_lines()


async def test_stopped_services_keep_their_port_and_password(private_services: PrivateServices) -> None:
    before = (await private_services.start("redis")).running["redis"]
    await private_services.stop()
    assert (await private_services.start("redis")).running["redis"].url == before.url


async def test_port_taken_meanwhile_moves_on_and_is_said(private_services: PrivateServices) -> None:
    before = (await private_services.start("redis")).running["redis"]
    await private_services.stop()
    said: list[str] = []
    with socket.create_server(("127.0.0.1", before.port)):
        moved = await embedded.start(private_services.home, wanted=["redis"], say=said.append)
    assert moved.running["redis"].port != before.port
    assert any(str(before.port) in line and "taken" in line for line in said)


async def test_addresses_are_for_the_owner_only(private_services: PrivateServices) -> None:
    await private_services.start("redis")
    for name in ("services.json", "services/settings.json", "services/redis/redis.conf"):
        assert stat.S_IMODE((private_services.home / name).stat().st_mode) == 0o600
    written = json.loads((private_services.home / "services.json").read_text())
    assert urlsplit(written["redis_url"]).hostname == "127.0.0.1"
    assert written["pids"] == private_services.status().pids


async def test_starts_at_the_same_time_start_one_server(private_services: PrivateServices) -> None:
    first, second = await asyncio.gather(private_services.start("redis"), private_services.start("redis"))
    assert first == second


async def test_server_that_cannot_start_is_an_error_with_its_words(private_services: PrivateServices) -> None:
    await private_services.start("redis")
    await private_services.stop()
    manifest = next((private_services.home / "services/redis/appendonlydir").glob("*.manifest"))
    manifest.write_text("nonsense\n")
    with pytest.raises(ServiceError, match=r"(?s)redis ended instead of serving.*manifest"):
        await private_services.start("redis")
    assert private_services.status().pids == {}


async def test_damaged_root_is_noticed(tmp_path: Path) -> None:
    """A copy of the unpacked packages with one file gone is not used."""
    sandbox = await root.ensure_sandbox(root.cache_folder(os.environ), lambda line: None)
    assert root.is_intact(sandbox.root)
    copy = tmp_path / "root"
    copy.mkdir()
    (copy / "fleetwire-root.json").write_bytes((sandbox.root / "fleetwire-root.json").read_bytes())
    assert not root.is_intact(copy)


def _command_lines() -> str:
    lines = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                lines.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return "\n".join(lines)
