"""OsmAnd-style reports and flat events over real services: 200 means committed, and a repeat is known."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import asyncpg
import pytest
from redis.asyncio import Redis

from cloud.access import osmand
from cloud.config import CloudConfig
from cloud.errors import AccountError
from cloud.ingest import process as ingest_process
from cloud.migrations import migrate
from tests.private_services import PrivateServices
from tests.recount import assert_counts_agree
from tests.running import PATIENCE_S, Sender, add_vehicle, eventually, fetch, settings

pytestmark = pytest.mark.services

NOW_S = time.time_ns() // 1_000_000_000
REPORT = {"id": "phone", "lat": "47.5", "lon": "8.25", "timestamp": str(NOW_S - 60), "speed": "10", "batt": "50"}


@dataclass
class Addresses:
    ingest: str
    osmand: str


@asynccontextmanager
async def running(config: CloudConfig) -> AsyncIterator[Addresses]:
    stop = asyncio.Event()
    said: asyncio.Queue[str] = asyncio.Queue()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ingest_process.run(config, stop, said.put_nowait))
        try:
            async with asyncio.timeout(PATIENCE_S):
                line = await said.get()
            yield Addresses(*(word for word in line.split() if word.startswith("http")))
        finally:
            stop.set()


@pytest.fixture
async def ingest(database_url: str, redis_url: str) -> AsyncIterator[Addresses]:
    async with running(settings(database_url, redis_url)) as addresses:
        yield addresses


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE_S)) as session:
        yield session


async def enable(database_url: str, vehicle: str = "truck-1", device: str = "phone") -> None:
    await add_vehicle(database_url, vehicle)
    connection = await asyncpg.connect(database_url)
    try:
        await osmand.enable(connection, vehicle, device)
    finally:
        await connection.close()


async def get(http: aiohttp.ClientSession, url: str, **parameters: str) -> tuple[int, str]:
    async with http.get(url, params=parameters) as response:
        return response.status, await response.text()


async def test_report_is_stored_before_the_answer_in_whatever_form_it_comes(
    database_url: str, ingest: Addresses, http: aiohttp.ClientSession
) -> None:
    await enable(database_url)
    assert await get(http, ingest.osmand, **REPORT) == (200, "OK\n")
    (fix,) = await fetch(database_url, "SELECT extract(epoch FROM ts)::bigint AS t, lat, lon, speed FROM fixes")
    assert tuple(fix) == (NOW_S - 60, 47.5, 8.25, 18.52)
    later = REPORT | {"timestamp": str(NOW_S - 50)}
    async with http.post(ingest.osmand, data=later) as response:  # a form
        assert response.status == 200
    async with http.post(ingest.osmand, params=REPORT | {"timestamp": str(NOW_S - 40)}) as response:
        assert response.status == 200
    coords = {"latitude": 47.5, "longitude": 8.25, "speed": 10}
    body = {"device_id": "phone", "location": {"timestamp": (NOW_S - 30) * 1000, "coords": coords}}
    async with http.post(ingest.osmand, json=body) as response:
        assert response.status == 200
    rows = await fetch(database_url, "SELECT extract(epoch FROM ts)::bigint - $1 AS t FROM fixes ORDER BY ts", NOW_S)
    assert [row["t"] for row in rows] == [-60, -50, -40, -30]
    (latest,) = await fetch(database_url, "SELECT speed FROM latest")
    assert latest["speed"] == 36
    await assert_counts_agree(database_url)


async def test_repeat_is_known_also_after_redis_was_wiped(
    database_url: str, redis_url: str, ingest: Addresses, http: aiohttp.ClientSession
) -> None:
    await enable(database_url)
    token = await add_vehicle(database_url)
    event = json.dumps({"time": (NOW_S - 60) * 1000, "kind": "refuel", "id": "7"})
    async with Sender(ingest.ingest, token) as sender, Redis.from_url(redis_url) as redis:
        for wiped in (False, True):
            if wiped:
                await redis.flushall()
            assert (await get(http, ingest.osmand, **REPORT))[0] == 200
            assert await sender.post("/v1/events", event) == (200, {"stored": 1 - wiped, "repeated": int(wiped)})
    assert len(await fetch(database_url, "SELECT FROM fixes")) == 1
    assert len(await fetch(database_url, "SELECT FROM device_events")) == 1


async def test_same_events_at_once_are_stored_once(database_url: str, ingest: Addresses) -> None:
    token = await add_vehicle(database_url)
    events = [{"time": (NOW_S - n) * 1000, "kind": "x"} for n in range(20)]
    async with Sender(ingest.ingest, token) as sender:
        some = (events, events[::-1], events[5:], events + events)
        answers = await asyncio.gather(*(sender.post("/v1/events", json.dumps(one)) for one in some))
    assert {status for status, _ in answers} == {200}
    assert sum(answer["stored"] for _, answer in answers) == 20
    assert len(await fetch(database_url, "SELECT FROM device_events")) == 20
    await assert_counts_agree(database_url)


async def test_impossible_time_is_kept_aside_and_its_repeat_known_when_it_has_become_possible(
    database_url: str, ingest: Addresses, http: aiohttp.ClientSession
) -> None:
    """A report from ten minutes ahead, sent again when that time has come."""
    await enable(database_url)
    token = await add_vehicle(database_url)
    ahead_ms = (NOW_S + 3_600) * 1000
    async with Sender(ingest.ingest, token) as sender:
        event = json.dumps([{"time": ahead_ms, "kind": "x", "id": "1"}, {"time": NOW_S * 1000, "kind": "y", "id": "2"}])
        answer = {"stored": 1, "repeated": 0, "set_aside": 1}
        assert await sender.post("/v1/events", event) == (200, answer)
        assert await sender.post("/v1/events", event) == (200, {"stored": 0, "repeated": 2})
    assert (await get(http, ingest.osmand, **REPORT | {"timestamp": "5"}))[0] == 200
    rows = await fetch(database_url, "SELECT cause, stream, seq, fixes, events FROM set_aside ORDER BY id")
    assert [tuple(row) for row in rows] == [("ahead", None, None, 0, 1), ("before_2010", None, None, 1, 0)]
    keys = await fetch(database_url, "SELECT extract(year FROM ts)::int AS year FROM event_keys ORDER BY ts")
    assert [row["year"] for row in keys][:2] == [2010, 2010]
    await assert_counts_agree(database_url)


async def test_only_vehicles_that_were_let_may_report(
    database_url: str, ingest: Addresses, http: aiohttp.ClientSession
) -> None:
    await add_vehicle(database_url)
    for device in ("truck-1", "phone", "x\0y", "ä" * 300):
        status, body = await get(http, ingest.osmand, **REPORT | {"id": device})
        assert (status, "no vehicle reports as" in body) == (404, True)
    assert await fetch(database_url, "SELECT FROM fixes") == []


@pytest.mark.parametrize(
    ("method", "path", "data", "headers", "status"),
    [
        ("DELETE", "/", None, {}, 405),
        ("GET", "/v1/batches", None, {}, 404),
        ("GET", "/?id=phone&lat=99&lon=1", None, {}, 400),
        ("GET", "/?lat=1&lon=1", None, {}, 400),
        ("GET", "/?id=phone&lat=1&lat=2&lon=1", None, {}, 400),
        ("GET", "/?id=phone&" + "&".join(f"a{n}=1" for n in range(99)), None, {}, 400),
        ("POST", "/", b"\xff\xfe=1", {"Content-Type": "application/x-www-form-urlencoded"}, 400),
        ("POST", "/", b"{", {"Content-Type": "application/json"}, 400),
        ("POST", "/", b"[" * 50_000, {"Content-Type": "application/json"}, 400),
        ("POST", "/", b'{"device_id":"phone","location":{"coords":{}}}', {"Content-Type": "application/json"}, 400),
        ("POST", "/", b"x" * 100_000, {}, 413),
        ("POST", "/", b"id=phone", {"Content-Encoding": "br"}, 415),
        ("POST", "/", b"id=phone", {"Content-Encoding": "gzip"}, 400),
    ],
)  # fmt: skip
async def test_what_is_no_report_is_refused(
    database_url: str,
    ingest: Addresses,
    http: aiohttp.ClientSession,
    method: str,
    path: str,
    data: bytes | None,
    headers: dict[str, str],
    status: int,
) -> None:
    await enable(database_url)
    async with http.request(method, ingest.osmand + path, data=data, headers=headers) as response:
        assert response.status == status, await response.text()
        assert response.content_type == "application/problem+json"


async def test_without_the_database_it_is_503_and_then_stored(
    private_services: PrivateServices, redis_url: str, http: aiohttp.ClientSession
) -> None:
    database_url = (await private_services.start("postgres")).running["postgres"].url
    await migrate(database_url)
    await enable(database_url)
    async with running(settings(database_url, redis_url)) as addresses:
        assert (await get(http, addresses.osmand, **REPORT))[0] == 200
        await private_services.kill("postgres")
        later = REPORT | {"timestamp": str(NOW_S)}
        async with http.get(addresses.osmand, params=later) as response:
            assert (response.status, "Retry-After" in response.headers) == (503, True)
        await private_services.start("postgres")

        async def is_taken() -> bool:
            return (await get(http, addresses.osmand, **later))[0] == 200

        await eventually(is_taken)
        assert (await get(http, addresses.osmand, **later))[0] == 200
    assert len(await fetch(database_url, "SELECT FROM fixes")) == 2


async def test_identifier_is_one_vehicles_and_can_be_taken_back(database_url: str) -> None:
    await add_vehicle(database_url)
    await add_vehicle(database_url, "truck-2")
    connection = await asyncpg.connect(database_url)
    try:
        drawn = await osmand.enable(connection, "truck-1")
        assert await osmand.enable(connection, "truck-1") != drawn
        await osmand.enable(connection, "truck-1", "phone")
        with pytest.raises(AccountError, match="another vehicle"):
            await osmand.enable(connection, "truck-2", "phone")
        with pytest.raises(AccountError, match="there is no vehicle"):
            await osmand.enable(connection, "truck-3", "x")
        for ident in ("", " a", "a\nb", "a" * 129):
            with pytest.raises(AccountError, match="printable"):
                await osmand.enable(connection, "truck-1", ident)
        assert "phone" in await osmand.devices(connection, ["phone"])
        assert await osmand.disable(connection, "truck-1")
        assert not await osmand.disable(connection, "truck-1")
        assert not await osmand.devices(connection, ["phone", "a\0b"])
    finally:
        await connection.close()
