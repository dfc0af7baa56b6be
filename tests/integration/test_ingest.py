"""Ingest over HTTP: what it takes, what it refuses and how, and what it says while others are away."""

import asyncio
import gzip
import json
import math
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing

import aiohttp
import pytest
import zstandard
from redis.asyncio import Redis

from cloud.bus import Bus
from cloud.errors import PortTaken
from cloud.migrations import migrate
from cloud.streams.entries import Gap, LiveMessage
from tests.private_services import PrivateRedis, PrivateServices
from tests.running import Sender, add_vehicle, eventually, fetch, make_batch, running_ingest, running_writer, settings
from wire.catalog import CatalogSignal, catalog_body, catalog_hash, make_catalog
from wire.codec import decode_batch, encode_batch
from wire.names import shard_of

pytestmark = pytest.mark.services

SMALL = {"body_bytes": 100_000, "plain_bytes": 200_000}


@pytest.fixture
async def sender(database_url: str, redis_url: str) -> AsyncIterator[Sender]:
    token = await add_vehicle(database_url)
    async with running_ingest(settings(database_url, redis_url, **SMALL)) as address, Sender(address, token) as sender:
        yield sender


async def test_stored_batch_is_settled_in_a_later_reply(sender: Sender, database_url: str, redis_url: str) -> None:
    status, reply = await sender.send([make_batch(0, sender.stream)])
    assert status == 200
    assert reply["accepted"] == [{"stream": sender.stream, "seq": 0}]
    assert reply["settled"] == [{"stream": sender.stream, "upto": -1, "head": -1, "missing": []}]
    assert reply["bus"]
    assert reply["epoch"]
    async with running_writer(settings(database_url, redis_url)):
        settled = await sender.settle([make_batch(0, sender.stream)], next=1)
    assert settled == {"stream": sender.stream, "upto": 0, "head": 0, "missing": []}
    assert (await fetch(database_url, "SELECT count(*) FROM samples"))[0]["count"] == 20


async def test_epoch_changes_when_the_ledger_was_built_anew(sender: Sender, database_url: str) -> None:
    claim = f'{{"stream":"{sender.stream}","next":1}}'
    epochs = [(await sender.send([], claim))[1]["epoch"] for _ in range(2)]
    await fetch(database_url, "TRUNCATE ledger")  # as a dump does that is read into a running server
    epochs.append((await sender.send([], claim))[1]["epoch"])
    assert epochs[0] == epochs[1] != epochs[2]


async def test_bad_batch_is_rejected_and_takes_no_other_with_it(sender: Sender) -> None:
    good, other = make_batch(0, sender.stream), make_batch(2, sender.stream)
    bad = json.loads(encode_batch(make_batch(1, sender.stream), dense=False)) | {"clock": "cuckoo"}
    status, reply = await sender.send([encode_batch(good), json.dumps(bad).encode(), b"7", encode_batch(other)])
    assert status == 200
    assert [one["seq"] for one in reply["accepted"]] == [0, 2]
    assert [(one["index"], one["seq"]) for one in reply["rejected"]] == [(1, 1), (2, None)]
    assert "clock" in reply["rejected"][0]["problem"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"t0": 2**53}, "years 1 to 9999"),
        ({"events": [{"t": -(2**53), "kind": "x"}]}, "years 1 to 9999"),
        ({"signals": {"a\0b": {"dt": [0], "v": [1]}}}, "U+0000"),
        ({"events": [{"t": 0, "kind": "x", "data": {"deep": ["\0"]}}]}, "U+0000"),
        ({"signals": {"a": {"dt": [0, 1], "v": [1]}}}, "equally long"),
        ({"signals": {"a": {"dt": [day * 86_400_000 for day in range(1001)], "v": [0] * 1001}}}, "1,000 days"),
        ({"signals": {"a": {"dt": [0], "v": [math.inf]}}}, "finite"),
        ({"events": [{"t": 0, "kind": "x", "data": {"deep": [math.inf]}}]}, "too large"),
    ],
)
async def test_what_cannot_be_stored_is_rejected(sender: Sender, change: dict[str, object], problem: str) -> None:
    batch = json.loads(encode_batch(make_batch(0, sender.stream), dense=False)) | change
    status, reply = await sender.send([json.dumps(batch).replace("Infinity", "1e999").encode()])
    assert (status, reply["accepted"]) == (200, [])
    assert problem in reply["rejected"][0]["problem"]


async def test_text_that_only_looks_like_nul_is_taken(sender: Sender) -> None:
    batch = make_batch(0, sender.stream, events=[{"t": 0, "kind": "x", "data": {"a": "\\u0000"}}])
    status, reply = await sender.send([batch])
    assert (status, len(reply["accepted"])) == (200, 1)


@pytest.mark.parametrize("coding", ["zstd", "gzip", "identity"])
async def test_encodings_are_understood(sender: Sender, coding: str) -> None:
    plain = b'{"batches":[%s]}' % encode_batch(make_batch(0, sender.stream))
    body = {"zstd": zstandard.compress, "gzip": gzip.compress, "identity": bytes}[coding](plain)
    status, reply = await sender.post("/v1/batches", body, **{"Content-Encoding": coding})
    assert (status, len(reply["accepted"])) == (200, 1)


ZSTD, GZIP = {"Content-Encoding": "zstd"}, {"Content-Encoding": "gzip"}


@pytest.mark.parametrize(
    ("status", "detail", "body", "headers"),
    [
        (400, "not JSON", b"{", {}),
        (400, "not JSON", b"", {}),
        (400, "not JSON", b'{"batches":[NaN]}', {}),
        (400, "not JSON", b'{"batches":' + b"[" * 50_000, {}),
        (400, "no zstd", b"{}", ZSTD),
        (400, "cut", zstandard.compress(b'{"batches":[]}' + b" " * 9000)[:-4], ZSTD),
        (400, "no gzip", b"{}", GZIP),
        (400, "cut", gzip.compress(b'{"batches":[]}', mtime=0)[:-9], GZIP),
        (413, "as sent", b" " * 100_001, {}),
        (413, "unpacked", zstandard.compress(b" " * 50_000_000), ZSTD),
        (413, "unpacked", gzip.compress(b" " * 50_000_000, mtime=0), GZIP),
        (415, "not known", b"{}", {"Content-Encoding": "br"}),
        (415, "2 times", b"{}", {"Content-Encoding": "gzip, zstd"}),
        (422, "JSON object", b"[]", {}),
        (422, "batches", b'{"batches":{}}', {}),
        (422, "bathes", b'{"bathes":[]}', {}),
        (422, "streams", b'{"streams":[{"stream":"x","next":1}]}', {}),
    ],
)
async def test_request_is_refused(
    sender: Sender, status: int, detail: str, body: bytes, headers: dict[str, str]
) -> None:
    async with sender.session.post("/v1/batches", data=body, headers=headers) as response:
        problem = await response.json(content_type="application/problem+json")
        assert (response.status, problem["status"]) == (status, status), problem
        assert detail in problem["detail"]
        assert set(problem) == {"type", "title", "status", "detail"}
        if status == 415:
            assert "zstd" in response.headers["Accept-Encoding"]


@pytest.mark.parametrize("authorization", [None, "Basic eDp5", "Bearer fwd_unknown", "Bearer "])
async def test_no_or_wrong_credential_is_401(sender: Sender, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    async with aiohttp.ClientSession(sender.address, headers=headers) as session:
        for method, path in (("POST", "batches"), ("POST", "events"), ("PUT", "catalogs/x")):
            async with session.request(method, f"/v1/{path}", data=b"{}") as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"].startswith("Bearer")
                assert response.content_type == "application/problem+json"


async def test_batch_of_another_vehicle_is_403_and_nothing_is_taken(sender: Sender, redis_url: str) -> None:
    own, foreign = make_batch(0, sender.stream), make_batch(1, sender.stream, vehicle="truck-2")
    status, problem = await sender.send([own, foreign])
    assert status == 403
    assert "truck-2" in problem["detail"]
    async with Bus(redis_url) as bus:
        assert await bus.backlog(shard_of("truck-1")) == 0


async def test_more_requests_at_once_than_a_vehicle_may_have_are_429(sender: Sender) -> None:
    hold = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await hold.wait()
        yield b"}"

    requests = [asyncio.create_task(_status(sender, slowly())) for _ in range(9)]
    refused, _ = await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in refused] == [429]
    hold.set()
    assert sorted(await asyncio.gather(*requests)) == [200] * 8 + [429]


async def _status(sender: Sender, data: object) -> int:
    async with sender.session.post("/v1/batches", data=data) as response:
        if response.status == 429:
            assert response.headers["Retry-After"] == "1"
        return response.status


async def test_unknown_route_and_method_are_problems_too(sender: Sender) -> None:
    async with sender.session.get("/v1/batches") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
        assert response.content_type == "application/problem+json"
    async with sender.session.get("/nowhere") as response:
        assert response.status == 404


async def test_heartbeat_is_answered_with_the_bus_id(sender: Sender) -> None:
    _, first = await sender.post("/v1/batches", b"{}")
    _, second = await sender.send([make_batch(0, sender.stream)])
    assert first["bus"] == second["bus"] is not None
    assert first["epoch"] == second["epoch"] is not None
    assert first["settled"] == []


async def test_stored_batch_is_accepted_again_without_being_queued(
    sender: Sender, database_url: str, redis_url: str
) -> None:
    batch = make_batch(0, sender.stream)
    async with running_writer(settings(database_url, redis_url)):
        await sender.settle([batch], next=1)
    _, reply = await sender.send([batch])
    assert len(reply["accepted"]) == 1
    async with Bus(redis_url) as bus:
        assert await bus.backlog(shard_of("truck-1")) == 0


async def test_batch_that_was_declared_lost_is_stored_when_it_comes_after_all(
    sender: Sender, database_url: str, redis_url: str
) -> None:
    claim = f'{{"stream":"{sender.stream}","next":2,"lost":[[0,1,"evicted"]]}}'
    async with running_writer(settings(database_url, redis_url)):
        await sender.send([], claim)
        await sender.settle([], next=2)
        await sender.send([make_batch(1, sender.stream)])
        await eventually(lambda: fetch(database_url, "SELECT FROM samples LIMIT 1"))
    (row,) = await fetch(database_url, "SELECT received::text, lost::text FROM ledger")
    assert (row["received"], row["lost"]) == ("{[1,2)}", "{[0,1)}")


async def test_repeated_declaration_costs_no_entry(sender: Sender, database_url: str, redis_url: str) -> None:
    claim = f'{{"stream":"{sender.stream}","next":5,"lost":[[0,4,"evicted"]]}}'
    async with Bus(redis_url) as bus:
        for _ in range(3):
            await sender.send([], claim)
        assert await bus.backlog(shard_of("truck-1")) == 1
        async with running_writer(settings(database_url, redis_url)):
            await sender.settle([], next=5)
        await sender.send([], claim)
        assert await bus.backlog(shard_of("truck-1")) == 0


async def test_wipe_changes_the_bus_id_and_batches_are_queued_anew(
    sender: Sender, database_url: str, redis_url: str
) -> None:
    batch = make_batch(0, sender.stream)
    _, before = await sender.send([batch])
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
    _, after = await sender.send([batch])
    assert after["bus"] != before["bus"]
    async with running_writer(settings(database_url, redis_url)):
        await sender.settle([batch], next=1)


async def test_accepted_batch_is_published_live_once(sender: Sender, redis_url: str) -> None:
    batch = make_batch(0, sender.stream)
    async with Bus(redis_url) as bus, aclosing(bus.subscribe_live(range(16))) as live, asyncio.timeout(10):
        assert await anext(live) == Gap()
        await sender.send([batch])
        await sender.send([batch, make_batch(1, sender.stream)])
        heard = [await anext(live), await anext(live)]
    assert all(isinstance(one, LiveMessage) and one.vehicle == "truck-1" for one in heard)
    assert [decode_batch(one.batch).seq for one in heard if isinstance(one, LiveMessage)] == [0, 1]


async def test_full_redis_is_503_and_reading_goes_on(database_url: str, private_redis: PrivateRedis) -> None:
    token = await add_vehicle(database_url)
    async with (
        running_ingest(settings(database_url, private_redis.url)) as address,
        Sender(address, token) as sender,
        Redis.from_url(private_redis.url) as redis,
    ):
        first = make_batch(0, sender.stream)
        await sender.send([first])
        await redis.config_set("maxmemory", "1mb")
        async with sender.session.post("/v1/batches", data=b'{"batches":[%s]}' % encode_batch(first)) as response:
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
        async with running_writer(settings(database_url, private_redis.url)):
            await sender.settle([], next=1)
        await redis.config_set("maxmemory", 0)
        status, _ = await sender.send([make_batch(1, sender.stream)])
        assert status == 200


async def test_redis_away_is_503_until_it_is_back(database_url: str, private_redis: PrivateRedis) -> None:
    token = await add_vehicle(database_url)
    async with running_ingest(settings(database_url, private_redis.url)) as address, Sender(address, token) as sender:
        await sender.send([make_batch(0, sender.stream)])
        await private_redis.kill()
        status, problem = await sender.send([make_batch(1, sender.stream)])
        assert (status, problem["title"]) == (503, "Service Unavailable")
        status, reply = await sender.post("/v1/batches", b"{}")
        assert (status, reply["bus"]) == (200, None)
        async with sender.session.get("/readyz") as response:
            assert response.status == 503
        await private_redis.restart()
        status, reply = await sender.send([make_batch(1, sender.stream)])
        assert (status, len(reply["accepted"])) == (200, 1)


async def test_credential_that_is_no_text_is_refused(sender: Sender) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sender.address.rpartition(":")[2]))
    writer.write(b"POST /v1/batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer fwd_\xff\r\nContent-Length: 0\r\n\r\n")
    assert b" 401 " in await reader.readline()
    writer.close()


async def test_database_away_batches_are_taken_and_nothing_is_called_settled(
    private_services: PrivateServices, redis_url: str
) -> None:
    database_url = await _migrated(private_services)
    token, other = await add_vehicle(database_url), await add_vehicle(database_url, "truck-2")
    async with running_ingest(settings(database_url, redis_url)) as address, Sender(address, token) as sender:
        _, before = await sender.send([make_batch(0, sender.stream)])
        await private_services.kill("postgres")
        claim = f'{{"stream":"{sender.stream}","next":2}}'
        status, reply = await sender.send([make_batch(1, sender.stream)], claim)
        assert (status, reply["settled"], reply["epoch"]) == (200, [], None)
        assert reply["accepted"] == [{"stream": sender.stream, "seq": 1}]
        status, problem = await sender.post("/v1/events", b'{"time":0,"lat":1,"lon":2}')
        assert (status, problem["status"]) == (503, 503)
        async with Sender(address, other, "truck-2") as stranger:
            assert (await stranger.post("/v1/batches", b"{}"))[0] == 503
        await private_services.start("postgres")
        async with running_writer(settings(database_url, redis_url)):
            await sender.settle([], next=2)
        _, after = await sender.post("/v1/batches", b"{}")
        assert after["epoch"] not in (None, before["epoch"])


async def _migrated(services: PrivateServices) -> str:
    database_url = (await services.start("postgres")).running["postgres"].url
    await migrate(database_url)
    return database_url


async def test_lacking_catalog_is_asked_for_until_it_was_put(sender: Sender, database_url: str) -> None:
    body = catalog_body(
        make_catalog([CatalogSignal(name="Engine.Speed", unit="rpm", min=0, max=8000, choices={"0": "Off"})])
    )
    name = catalog_hash(body)
    batch = make_batch(0, sender.stream, catalog=name)
    assert (await sender.send([batch]))[1]["catalogs"] == [name]
    async with sender.session.put(f"/v1/catalogs/{name}", data=body) as response:
        assert response.status == 204
    assert (await sender.send([batch]))[1]["catalogs"] == []
    (row,) = await fetch(database_url, "SELECT name, unit, min, max, choices FROM signals")
    assert tuple(row) == ("Engine.Speed", "rpm", 0, 8000, '{"0": "Off"}')


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b"{"),
        (422, b'{"signals":[]}'),
        (422, b'{"signals":[{"name":""}]}'),
        (422, b'{"signals":[{"name":"a","max":1e999}]}'),
        (422, b"[]"),
    ],
)
async def test_catalog_is_refused(sender: Sender, status: int, body: bytes) -> None:
    name = "0" * 64 if body == b'{"signals":[]}' else catalog_hash(body)
    async with sender.session.put(f"/v1/catalogs/{name}", data=body) as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"


async def test_events_are_stored_before_the_answer_and_a_repeat_is_known(sender: Sender, database_url: str) -> None:
    event = {"vehicle": "truck-1", "time": "2026-05-01T12:00:00+02:00", "lat": 47.5, "lon": 8.5, "speed": 50.5}
    other = {
        "time": 1_777_600_000_000,
        "signals": {"Tank.Level": 41.5},
        "kind": "refuel",
        "data": {"l": 300},
        "id": "7",
    }
    assert await sender.post("/v1/events", json.dumps([event, other])) == (200, {"stored": 2, "repeated": 0})
    (fix,) = await fetch(database_url, "SELECT extract(epoch FROM ts)::bigint AS t, lat, lon, speed, alt FROM fixes")
    assert tuple(fix) == (1_777_629_600, 47.5, 8.5, 50.5, None)
    (latest,) = await fetch(database_url, "SELECT lat, values FROM latest")
    assert tuple(latest) == (47.5, [41.5])
    changed = other | {"data": {"l": 301}}
    assert await sender.post("/v1/events", json.dumps([dict(reversed(event.items())), changed])) == (
        200,
        {"stored": 0, "repeated": 2},
    )
    assert await sender.post("/v1/events", json.dumps(event | {"speed": 51})) == (200, {"stored": 1, "repeated": 0})
    assert len(await fetch(database_url, "SELECT FROM device_events")) == 1


@pytest.mark.parametrize(
    ("status", "detail", "event"),
    [
        (422, "time", {"lat": 1, "lon": 2}),
        (422, "offset", {"time": "2026-05-01T12:00:00", "lat": 1, "lon": 2}),
        (422, "RFC 3339", {"time": "yesterday", "lat": 1, "lon": 2}),
        (422, "come together", {"time": 0, "lat": 1}),
        (422, "says nothing", {"time": 0}),
        (422, "lattitude", {"time": 0, "lattitude": 1, "lon": 2}),
        (422, "lat", {"time": 0, "lat": 91, "lon": 2}),
        (422, "years", {"time": 2**53, "lat": 1, "lon": 2}),
        (422, "too large", {"time": 0, "kind": "x", "data": {"a": math.inf}}),
        (422, "U+0000", {"time": 0, "kind": "x\0"}),
        (422, "JSON object", [1]),
        (403, "truck-2", {"vehicle": "truck-2", "time": 0, "lat": 1, "lon": 2}),
        (413, "at most", [{}] * 1001),
    ],
)
async def test_event_is_refused(sender: Sender, status: int, detail: str, event: object) -> None:
    found, problem = await sender.post("/v1/events", json.dumps(event).replace("Infinity", "1e999"))
    assert found == status, problem
    assert detail in problem["detail"]


async def test_port_that_was_set_and_is_taken_is_an_error(database_url: str, redis_url: str) -> None:
    async with running_ingest(settings(database_url, redis_url)) as address:
        taken = int(address.rpartition(":")[2])
        with pytest.raises(ExceptionGroup) as raised:
            async with running_ingest(settings(database_url, redis_url, ingest_port=taken)):
                pytest.fail("it should not start")
    assert raised.group_contains(PortTaken)


async def test_taken_port_is_said_in_one_line(database_url: str, redis_url: str) -> None:
    async with running_ingest(settings(database_url, redis_url)) as address:
        env = os.environ | {
            "FLEETWIRE_DATABASE_URL": database_url,
            "FLEETWIRE_REDIS_URL": redis_url,
            "FLEETWIRE_INGEST_PORT": address.rpartition(":")[2],
            "FLEETWIRE_OSMAND_PORT": "0",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fleetwire", "ingest", env=env, stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
    assert process.returncode == 1
    assert said.decode().startswith("Error: port ")
    assert said.count(b"\n") == 1


async def test_default_port_that_is_taken_gives_the_next_free_one(database_url: str, redis_url: str) -> None:
    config = settings(database_url, redis_url).model_dump(exclude={"ingest_port"})
    first = type(settings(database_url, redis_url))(**config)
    async with running_ingest(first) as one, running_ingest(first) as other:
        assert one != other


async def test_metrics_and_health_are_served_without_a_credential(sender: Sender) -> None:
    async with aiohttp.ClientSession(sender.address) as session:
        for path, word in (("/healthz", "ok"), ("/readyz", "ready"), ("/metrics", "fleetwire_ingest_accepted")):
            async with session.get(path) as response:
                assert response.status == 200
                assert word in await response.text()
