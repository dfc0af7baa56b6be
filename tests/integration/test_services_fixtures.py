"""The shared fixtures keep tests apart."""

import asyncpg
import pytest
import redis.asyncio

from tests.private_services import PrivateRedis

pytestmark = pytest.mark.services


@pytest.mark.parametrize("turn", range(3))
async def test_each_test_has_a_migrated_database_of_its_own(database_url: str, turn: int) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM vehicles") == 0
        await connection.execute("INSERT INTO vehicles (fleet_id, ident, name) VALUES (1, 'truck-1', 'truck-1')")
    finally:
        await connection.close()


@pytest.mark.parametrize("turn", range(3))
async def test_each_test_finds_redis_empty(redis_url: str, turn: int) -> None:
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0
        await client.set("left", "behind")


async def test_killed_private_redis_comes_back_with_its_data(private_redis: PrivateRedis) -> None:
    async with redis.asyncio.Redis.from_url(private_redis.url) as client:
        await client.set("kept", "yes")
        await client.config_set("appendfsync", "always")
        await client.set("kept", "still")
    await private_redis.kill()
    await private_redis.restart()
    async with redis.asyncio.Redis.from_url(private_redis.url) as client:
        assert await client.get("kept") == b"still"
