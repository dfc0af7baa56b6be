"""'fleetwire doctor' finds what is wrong and says what to do."""

from pathlib import Path

import pytest
import redis.asyncio

from cloud.config import CloudConfig
from cloud.running.checkup import check_database, check_process, check_redis, check_services
from tests.private_services import PrivateRedis

pytestmark = pytest.mark.services


def config(tmp_path: Path, *, database_url: str = "postgresql://x", redis_url: str = "redis://x") -> CloudConfig:
    return CloudConfig(home=tmp_path, database_url=database_url, redis_url=redis_url)


async def test_migrated_database_is_well(tmp_path: Path, database_url: str) -> None:
    finding = await check_database(config(tmp_path, database_url=database_url))
    assert finding.advice is None
    assert "TimescaleDB 2.19" in finding.found


async def test_database_without_schema_wants_migrating(tmp_path: Path, empty_database_url: str) -> None:
    finding = await check_database(config(tmp_path, database_url=empty_database_url))
    assert finding.advice is not None
    assert "fleetwire migrate" in finding.advice


async def test_absent_database_is_said_without_its_password(tmp_path: Path) -> None:
    finding = await check_database(config(tmp_path, database_url="postgresql://me:secret@127.0.0.1:1/x"))
    assert finding.advice is not None
    assert "secret" not in finding.found


async def test_redis_that_evicts_is_to_be_fixed(tmp_path: Path, private_redis_url: str) -> None:
    good = await check_redis(config(tmp_path, redis_url=private_redis_url))
    assert good.advice is None
    async with redis.asyncio.Redis.from_url(private_redis_url) as client:
        await client.config_set("maxmemory-policy", "allkeys-lru")
    bad = await check_redis(config(tmp_path, redis_url=private_redis_url))
    assert bad.advice is not None
    assert "noeviction" in bad.advice


async def test_process_that_does_not_answer_is_to_be_started() -> None:
    finding = await check_process("ingest", "http://127.0.0.1:1")
    assert finding.advice is not None
    assert "fleetwire ingest" in finding.advice


def test_stopped_services_are_to_be_started_and_replaced_ones_are_not(tmp_path: Path) -> None:
    findings = {one.what: one for one in check_services(tmp_path, {"FLEETWIRE_REDIS_URL": "redis://elsewhere"})}
    assert findings["redis"].advice is None
    assert findings["postgres"].advice is not None


@pytest.fixture
async def private_redis_url(private_redis: PrivateRedis) -> str:
    return private_redis.url
