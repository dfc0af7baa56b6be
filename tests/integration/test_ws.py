"""The live socket, from the bus and the database to a browser."""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import pytest

from cloud.errors import BusDown
from cloud.telemetry.erasure import carry_out, order, vehicle_named
from tests.private_services import PrivateRedis
from tests.running import eventually
from tests.web_stand import PASSWORD, Stand, batch, column, now_ms, web_stand
from wire.model import Batch

WITHIN_S = 20
_WIDE = f"Message.{'x' * 200}0"


@pytest.fixture
async def stand(database_url: str, redis_url: str) -> AsyncIterator[Stand]:
    async with web_stand(database_url, redis_url) as stand:
        yield stand


class Browser:
    """A socket that has said hello."""

    def __init__(self, stand: Stand, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._stand = stand
        self.socket = socket

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, stand: Stand, **options: Any) -> AsyncIterator[Self]:
        options.setdefault("headers", stand.bearer())
        async with stand.http.ws_connect(stand.url("/v1/live"), **options) as socket:
            browser = cls(stand, socket)
            hello = await browser.next("hello")
            assert abs(hello["server_ms"] - now_ms()) < 60_000
            assert hello["version"]
            yield browser

    async def send(self, **message: Any) -> None:
        await self.socket.send_json(message)

    async def subscribe(self, **fields: Any) -> dict[str, Any]:
        """Subscribes and gives the snapshot."""
        request = {"op": "subscribe", "id": 1, "vehicles": ["*"], "signals": ["*"], "max_hz": 20, **fields}
        await self.send(**request)
        return await self.next("snapshot", about=request["id"])

    async def next(self, *ops: str, about: int | None = None) -> dict[str, Any]:
        """The next message of a kind; others are passed over."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                message: dict[str, Any] = json.loads(await self.socket.receive_str())
                if message["op"] in ops and about in (None, message.get("id")):
                    return message

    async def vehicle(self, ident: str) -> dict[str, Any]:
        """What the next message that names a vehicle says of it."""
        while True:
            message = await self.next("update", "snapshot")
            for vehicle in message["vehicles"]:
                if vehicle["id"] == ident:
                    found: dict[str, Any] = vehicle
                    return found

    async def listening(self) -> None:
        """Returns when what is published from now on arrives. The bus is at most once, so the probe repeats."""
        await self.subscribe(id=99, vehicles=["c"])
        probe = asyncio.create_task(self.vehicle("c"), name="probe")
        while not probe.done():
            with contextlib.suppress(BusDown):
                await self._stand.publish(batch("c", t0=now_ms(), signals={"M.Probe": column((0, 1.0))}))
            await asyncio.wait([probe], timeout=0.1)
        await probe
        await self.send(op="unsubscribe", id=99)


@pytest.mark.parametrize("dense", [True, False])
async def test_the_socket_and_the_database_show_the_same(stand: Stand, dense: bool) -> None:
    t0 = now_ms()
    sent = batch(
        t0=t0,
        signals={"M.S": column((0, 0.1), (7, 0.1 + 0.2)), "EngineData.EngineSpeed": column((0, 900.25))},
        fixes={"dt": [5], "lat": [60.123456789], "lon": [-0.1], "speed": [3.6], "course": [359.9], "alt": [None]},
        events=[{"t": t0 + 1, "kind": "dtc", "data": {"code": "P0301", "n": [1, 2.5, None]}}],
    )
    async with Browser.open(stand) as browser:
        await browser.listening()
        await browser.subscribe(vehicles=["a"])
        await stand.publish(sent, dense=dense)
        update = await browser.vehicle("a")
        event = await browser.next("event")
    await stand.write(sent)
    latest = await stand.get("/v1/vehicles/a/latest")
    assert {name: {"t": t, "v": v} for name, (t, v) in update["signals"].items()} == latest["signals"]
    assert update["position"] == latest["position"]
    assert (update["state"], update["last_seen"]) == (latest["state"], latest["last_seen"]) == ("idling", t0 + 7)
    [stored] = (await stand.get("/v1/events", vehicle="a"))["events"]
    assert {key: event[key] for key in ("vehicle", "t", "kind", "data")} == stored


async def test_snapshot_comes_from_the_database(stand: Stand) -> None:
    t0 = now_ms() - 1000
    await stand.write(batch(t0=t0, signals={"M.S": column((0, 4.5))}, fixes={"dt": [0], "lat": [1.0], "lon": [2.0]}))
    async with Browser.open(stand) as browser:
        await stand.feed.reload()
        snapshot = await browser.subscribe(vehicles=["a"])
    assert snapshot["vehicles"] == [
        {
            "id": "a",
            "name": "a",
            "state": "parked",
            "last_seen": t0,
            "position": {"t": t0, "lat": 1.0, "lon": 2.0, "speed": None, "course": None, "alt": None},
            "signals": {"M.S": [t0, 4.5]},
        }
    ]


async def test_screens_forget_what_was_erased(stand: Stand) -> None:
    t0 = now_ms() - 10_000
    await stand.write(
        batch(t0=t0, signals={"M.S": column((0, 1.0), (5, 2.0))}, fixes={"dt": [5], "lat": [1.0], "lon": [2.0]})
    )
    async with Browser.open(stand) as browser:
        await stand.feed.reload()
        assert (await browser.subscribe(vehicles=["a"]))["vehicles"][0]["signals"] == {"M.S": [t0 + 5, 2.0]}
        async with stand.db.acquire() as connection:
            vehicle = await vehicle_named(connection, "a")
            begin, end = (datetime.fromtimestamp((t0 + ms) / 1000, UTC) for ms in (1, 9_000))
            await carry_out(connection, await order(connection, vehicle, begin=begin, end=end, actor="test"))
        await stand.feed.reload()
        (shown,) = (await browser.next("snapshot", about=1))["vehicles"]
        assert (shown["signals"], shown["position"]) == ({"M.S": [t0, 1.0]}, None)


async def test_vehicle_that_was_just_registered_can_be_subscribed(stand: Stand) -> None:
    async with Browser.open(stand) as browser:
        await browser.subscribe()
        await stand.db.execute("INSERT INTO vehicles (fleet_id, ident, name) VALUES (1, 'new', 'New one')")
        snapshot = await browser.subscribe(id=2, vehicles=["new"])
        assert [vehicle["name"] for vehicle in snapshot["vehicles"]] == ["New one"]


async def test_first_batch_of_a_new_vehicle_is_not_lost(stand: Stand) -> None:
    async with Browser.open(stand) as browser:
        await browser.listening()
        await browser.subscribe()
        await stand.db.execute("INSERT INTO vehicles (fleet_id, ident, name) VALUES (1, 'new', 'New one')")
        await stand.publish(batch("new", t0=now_ms(), signals={"M.S": column((0, 2.0))}))
        while "signals" not in (vehicle := await browser.vehicle("new")):
            pass
        assert vehicle["signals"]["M.S"][1] == 2.0


async def test_wrong_requests_get_an_answer_and_the_socket_stays(stand: Stand) -> None:
    async with Browser.open(stand) as browser:
        details = []
        for text in (
            "{",
            '{"op":"subscrib","id":3}',
            '{"op":"subscribe","id":4,"max_hz":1000}',
            '{"op":"subscribe","id":5,"vehicles":["other"]}',
            '{"op":"subscribe","id":6,"vehicle":["a"]}',
        ):
            await browser.socket.send_str(text)
            error = await browser.next("error")
            details.append((error.get("id"), error["problem"]["detail"]))
        assert [about for about, _ in details] == [None, 3, 4, 5, 6]
        assert "did you mean 'subscribe'" in details[1][1]
        assert "max_hz" in details[2][1]
        assert "there is no vehicle 'other'" in details[3][1]
        await browser.send(op="ping")
        await browser.next("pong")


async def test_session_cookie_opens_the_socket_only_from_its_own_origin(stand: Stand) -> None:
    async with stand.http.post(stand.url("/v1/session"), json={"user": "admin", "password": PASSWORD}) as response:
        assert response.status == 200
    async with Browser.open(stand, headers={"Origin": stand.url("")}) as browser:
        assert len((await browser.subscribe())["vehicles"]) == 3
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        await stand.http.ws_connect(stand.url("/v1/live"), headers={"Origin": "http://evil.example"})


async def test_no_credential_no_socket_and_none_in_the_address(stand: Stand) -> None:
    for address in ("/v1/live", f"/v1/live?token={stand.tokens['viewer']}"):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await stand.http.ws_connect(stand.url(address))


async def test_message_beyond_all_measure_ends_the_socket(stand: Stand) -> None:
    async with Browser.open(stand) as browser:
        await browser.socket.send_str("x" * 300_000)
        async with asyncio.timeout(WITHIN_S):
            message = await browser.socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.MESSAGE_TOO_BIG)


async def test_who_does_not_read_is_closed_and_others_go_on(database_url: str, redis_url: str) -> None:
    async with (
        web_stand(database_url, redis_url, slow_after_s=2.0) as stand,
        Browser.open(stand) as sleeper,
        Browser.open(stand) as reader,
    ):
        await reader.listening()
        await sleeper.send(op="subscribe", id=1, vehicles=["a"], signals=["*"], max_hz=20)
        await reader.subscribe(vehicles=["b"])
        assert stand.live.count == 2
        async with asyncio.timeout(60):
            step = 0
            while stand.live.count == 2:
                step += 1
                await stand.publish(_wide(step))
                await stand.publish(batch("b", t0=now_ms() + step, signals={"M.S": column((0, float(step)))}))
                assert (await reader.vehicle("b"))["id"] == "b"
        assert stand.live.count == 1


async def test_who_reads_slowly_gets_all_of_a_large_message(database_url: str, redis_url: str) -> None:
    """On a slow line a snapshot may take many times as long as nothing may be taken."""
    async with web_stand(database_url, redis_url, slow_after_s=1.0) as stand:
        await stand.write(_wide(0))
        reader, writer = await _narrow_line(stand)
        await stand.feed.reload()
        wish = json.dumps({"op": "subscribe", "id": 1, "vehicles": ["a"], "signals": ["*"], "max_hz": 20}).encode()
        writer.write(_frame(wish))
        taken = 0
        async with asyncio.timeout(WITHIN_S):
            while taken < 350_000:
                piece = await reader.read(8_192)
                taken += len(piece)
                assert piece, f"closed after {taken} bytes"
                await asyncio.sleep(0.06)
        writer.transport.abort()


@pytest.mark.parametrize("opcode", [0x81, 0x89])
async def test_who_asks_and_does_not_read_the_answers_is_closed(
    database_url: str, redis_url: str, opcode: int, caplog: pytest.LogCaptureFixture
) -> None:
    """By requests, and by WebSocket's own pings."""
    async with web_stand(database_url, redis_url, slow_after_s=0.3) as stand:
        reader, writer = await _narrow_line(stand)
        await _until_open(stand, 1)
        writer.write(10_000 * _frame(100 * b"?", opcode))
        await _until_open(stand, 0)
        await _until_gone(reader, writer)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_who_answers_no_ping_is_closed(database_url: str, redis_url: str) -> None:
    async with web_stand(database_url, redis_url, slow_after_s=1.0) as stand, Browser.open(stand) as browser:
        reading = asyncio.create_task(browser.next("nothing of that name"))  # and so answering pings
        for _ in range(2):
            await _until_gone(*await _narrow_line(stand))
        await _until_open(stand, 1)
        assert not reading.done()
        reading.cancel()


async def test_server_stops_without_waiting_for_who_does_not_read(stand: Stand) -> None:
    await stand.write(_wide(0))
    reader, writer = await _narrow_line(stand)
    await stand.feed.reload()
    writer.write(_frame(json.dumps({"op": "subscribe", "id": 1, "vehicles": ["a"], "signals": ["*"]}).encode()))
    await reader.readuntil(b'"snapshot"')
    async with asyncio.timeout(10):
        await stand.live.close()
        await _until_open(stand, 0)
        await _until_gone(reader, writer)


async def test_who_reads_late_gets_the_newest_and_not_what_it_missed(stand: Stand) -> None:
    """What waits for it waits in the hub; the kernel would hold megabytes of what is no longer so."""
    updates = 60
    narrow = aiohttp.TCPConnector(socket_factory=_narrow_socket)
    async with (
        aiohttp.ClientSession(connector=narrow) as http,
        Browser.open(replace(stand, http=http)) as sleeper,
        Browser.open(stand) as reader,
    ):
        await reader.listening()
        await sleeper.subscribe(vehicles=["a"])
        await reader.subscribe(vehicles=["a"])
        for step in range(updates):
            await stand.publish(_wide(step, signals=200))
            assert (await reader.vehicle("a"))["id"] == "a"
        heard = 1
        while (await sleeper.vehicle("a"))["signals"][_WIDE][1] != updates - 1:
            heard += 1
    assert heard < updates / 2


async def test_redis_that_comes_back_brings_a_fresh_snapshot(database_url: str, private_redis: PrivateRedis) -> None:
    async with web_stand(database_url, private_redis.url) as stand, Browser.open(stand) as browser:
        await browser.listening()
        await browser.subscribe(vehicles=["a"])
        await private_redis.kill()
        missed = batch(t0=now_ms(), signals={"M.S": column((0, 42.0))})
        await stand.write(missed)
        await private_redis.restart()
        snapshot = await browser.next("snapshot")
        assert snapshot["vehicles"][0]["signals"] == {"M.S": [missed.t0, 42.0]}
        await browser.listening()


async def _until_open(stand: Stand, sockets: int) -> None:
    async def are_open() -> bool:
        return stand.live.count == sockets

    await eventually(are_open)


async def _until_gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The connection, and with it what the server held for it."""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(WITHIN_S):
            while await reader.read(65_536):
                pass
    writer.transport.abort()


async def _narrow_line(stand: Stand) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A live socket of which neither end's kernel holds much."""
    place = urlsplit(stand.url("/v1/live"))
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, (place.hostname, place.port))
    reader, writer = await asyncio.open_connection(sock=narrow, limit=4096)
    head = [f"GET {place.path} HTTP/1.1", f"Host: {place.netloc}", "Upgrade: websocket", "Connection: Upgrade"]
    head += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {'A' * 22}=="]
    head += [f"{name}: {value}" for name, value in stand.bearer().items()]
    writer.write("".join(f"{line}\r\n" for line in [*head, ""]).encode())
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def _frame(payload: bytes, opcode: int = 0x81) -> bytes:
    """Text, or a ping, as a client sends it, masked with zeros."""
    return bytes([opcode, 0x80 | len(payload)]) + bytes(4) + payload


def _narrow_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    narrow = socket.socket(family, kind, protocol)
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return narrow


def _wide(step: int, *, signals: int = 1700) -> Batch:
    """A batch of some 240 bytes a signal as the socket shows it."""
    names = (f"{_WIDE[:-1]}{n}" for n in range(signals))
    return batch(t0=now_ms() + step, signals={name: column((0, float(step))) for name in names})
