"""Connections that ingest serves itself, byte by byte: in order, whole, and given to aiohttp where they must be."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest
import zstandard

from cloud.bus import Bus
from cloud.ingest import batch_connections
from cloud.ingest.batch_connections import MOST_BYTES, Answer, BatchConnections
from cloud.ingest.http_head import Head
from cloud.streams.entries import unpack
from tests.running import PATIENCE_S, add_vehicle, make_batch, running_ingest, settings
from wire.codec import encode_batch
from wire.names import shard_of

STREAM = "01890a5d-ac96-774b-bcce-b302099a8057"


class Others(asyncio.Protocol):
    """What comes to aiohttp."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.arrived = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self.arrived.set()
        self.transport.write(b"theirs")


class Stand:
    """The connections' server over a handler that answers when it is let."""

    def __init__(self, answer_bytes: int = 0) -> None:
        self.answer_bytes = answer_bytes
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.asked: asyncio.Queue[bytes] = asyncio.Queue()
        self.known: set[str | None] = {None}
        self.may_send: asyncio.Queue[bool] = asyncio.Queue()
        """What is found out of whom is not known."""
        self.others: list[Others] = []

    async def answer(self, head: Head, body: bytes) -> Answer:
        self.asked.put_nowait(body)
        await self.may_answer.wait()
        return 200, [("X-Seen", head.authorization or "")], (b"to " + body[:20]).ljust(self.answer_bytes)

    def knows(self, authorization: str | None) -> bool:
        return authorization in self.known

    async def admits(self, authorization: str | None) -> bool:
        return await self.may_send.get()

    def other(self) -> Others:
        self.others.append(Others())
        return self.others[-1]


@asynccontextmanager
async def connected(
    stand: Stand, *, body_bytes: int = 100_000
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    loop = asyncio.get_running_loop()
    async with (
        asyncio.timeout(PATIENCE_S),
        BatchConnections(stand.answer, stand, body_bytes=body_bytes).serving(stand.other) as protocols,
    ):
        server = await loop.create_server(protocols, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            yield reader, writer
        finally:
            server.close()
            for other in stand.others:
                other.transport.abort()
            await gone(writer)


async def gone(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()


def request(body: bytes, *fields: str) -> bytes:
    fields = ("Host: a", f"Content-Length: {len(body)}", *fields)
    return b"POST /v1/batches HTTP/1.1\r\n" + "".join(f"{one}\r\n" for one in fields).encode() + b"\r\n" + body


async def answer(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length"))
    return head, await reader.readexactly(length)


async def test_requests_that_come_at_once_are_answered_in_order() -> None:
    stand = Stand()
    async with connected(stand) as (reader, writer):
        writer.write(b"".join(request(b"%d" % number, "Authorization: me") for number in range(5)))
        answers = [await answer(reader) for _ in range(5)]
    assert [body for _, body in answers] == [b"to %d" % number for number in range(5)]
    assert answers[0][0].startswith("HTTP/1.1 200 OK\r\nDate: ")
    assert "X-Seen: me\r\n" in answers[0][0]


async def test_second_request_waits_for_the_first_ones_answer() -> None:
    stand = Stand()
    stand.may_answer.clear()
    async with connected(stand) as (reader, writer):
        writer.write(request(b"one") + request(b"two"))
        assert await stand.asked.get() == b"one"
        assert stand.asked.empty()
        stand.may_answer.set()
        assert [(await answer(reader))[1] for _ in range(2)] == [b"to one", b"to two"]


async def test_body_may_come_in_pieces() -> None:
    stand = Stand()
    whole = request(b"x" * 50_000)
    async with connected(stand) as (reader, writer):
        for begin in range(0, len(whole), 9_000):
            if begin:
                await asyncio.sleep(0)
            writer.write(whole[begin : begin + 9_000])
            await writer.drain()
        assert (await answer(reader))[1] == b"to " + b"x" * 20
        assert await stand.asked.get() == b"x" * 50_000
    assert not stand.others


@pytest.mark.parametrize(
    "said",
    [
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /v1/batches HT",
        request(b"", "Expect: 100-continue"),
        b"\x16\x03",
    ],
)
async def test_other_connection_is_handed_over_with_all_that_came(said: bytes) -> None:
    stand = Stand()
    async with connected(stand) as (reader, writer):
        writer.write(request(b"mine"))
        assert (await answer(reader))[1] == b"to mine"
        writer.write(said)
        assert await reader.readexactly(6) == b"theirs"
        writer.write(request(b"and this"))
        assert await reader.readexactly(6) == b"theirs"
    assert bytes(stand.others[0].heard) == said + request(b"and this")


async def test_body_that_is_too_large_is_handed_over_before_it_is_there() -> None:
    stand = Stand()
    async with connected(stand, body_bytes=10) as (reader, writer):
        writer.write(b"POST /v1/batches HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n")
        assert await reader.readexactly(6) == b"theirs"


async def test_large_body_of_nobody_known_yet_is_not_waited_for() -> None:
    stand = Stand()
    async with connected(stand, body_bytes=10**8) as (reader, writer):
        writer.write(b"POST /v1/batches HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (MOST_BYTES + 1))
        assert await reader.readexactly(6) == b"theirs"


async def test_slow_request_is_handed_over_and_silence_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_connections, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(batch_connections, "PATIENCE_S", 0.05)
    stand = Stand()
    async with connected(stand) as (reader, writer):
        writer.write(b"POST /v1/batches HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        assert await reader.readexactly(6) == b"theirs"
    monkeypatch.setattr(batch_connections, "IDLE_S", 0.05)
    async with connected(stand) as (reader, writer):
        assert await reader.read() == b""


async def test_last_answer_is_given_before_the_connection_ends() -> None:
    stand = Stand()
    stand.may_answer.clear()
    serving = BatchConnections(stand.answer, stand, body_bytes=100).serving(stand.other)
    protocols = await serving.__aenter__()
    server = await asyncio.get_running_loop().create_server(protocols, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    idle, idle_writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(request(b"last"))
    assert await stand.asked.get() == b"last"
    server.close()
    ending = asyncio.create_task(serving.__aexit__(None, None, None))
    assert await idle.read() == b""
    stand.may_answer.set()
    assert (await answer(reader))[1] == b"to last"
    assert await reader.read() == b""
    await ending
    await gone(writer)
    await gone(idle_writer)


async def test_reader_that_does_not_read_is_not_answered_without_end() -> None:
    stand = Stand(answer_bytes=1_000_000)
    async with connected(stand) as (reader, writer):
        writer.write(request(b"x") * 200)
        for _ in range(2_000):
            await asyncio.sleep(0)
        assert 0 < stand.asked.qsize() < 200
        for _ in range(200):
            assert len((await answer(reader))[1]) == 1_000_000


async def test_body_of_an_unknown_sender_is_not_read_on_until_there_is_one() -> None:
    stand = Stand()
    whole = request(b"x" * 1_000_000, "Authorization: new")
    async with connected(stand, body_bytes=10**8) as (reader, writer):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        writer.write(whole)
        for _ in range(2_000):
            await asyncio.sleep(0)
        assert writer.transport.get_write_buffer_size(), "nobody reads"
        stand.may_send.put_nowait(True)
        assert (await answer(reader))[1] == b"to " + b"x" * 20
        assert await stand.asked.get() == b"x" * 1_000_000
    assert not stand.others


async def test_sender_that_there_is_not_is_left_to_others_with_its_body_unread() -> None:
    stand = Stand()
    said = b"POST /v1/batches HTTP/1.1\r\nHost: a\r\nAuthorization: no\r\nContent-Length: 90000\r\n\r\nxy"
    async with connected(stand) as (reader, writer):
        writer.write(said)
        stand.may_send.put_nowait(False)
        assert await reader.readexactly(6) == b"theirs"
    assert bytes(stand.others[0].heard) == said


@pytest.mark.services
@pytest.mark.parametrize("credential", ["Bearer fwd_wrong", "Bearer else", "Basic YTpi"])
async def test_stranger_is_refused_before_its_body_is_there(database_url: str, redis_url: str, credential: str) -> None:
    async with running_ingest(settings(database_url, redis_url)) as address:
        place = urlsplit(address)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        fields = f"Host: a\r\nAuthorization: {credential}\r\nContent-Length: 1400000"
        writer.write(f"POST /v1/batches HTTP/1.1\r\n{fields}\r\n\r\n".encode() + b"x" * 1000)
        async with asyncio.timeout(PATIENCE_S):
            head, _ = await answer(reader)
        assert head.startswith("HTTP/1.1 401 ")
        await gone(writer)


@pytest.mark.services
async def test_request_of_one_batch_is_queued_as_it_came(database_url: str, redis_url: str) -> None:
    token = await add_vehicle(database_url)
    batch = encode_batch(make_batch(0, STREAM))
    body = zstandard.compress(
        b'{"batches":[%s],"streams":[{"stream":"%s","next":1,"lost":[]}]}' % (batch, STREAM.encode())
    )
    async with running_ingest(settings(database_url, redis_url)) as address:
        place = urlsplit(address)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        for credential, status in ((token, 200), ("fwd_wrong", 401)):
            writer.write(request(body, f"Authorization: Bearer {credential}", "Content-Encoding: zstd"))
            async with asyncio.timeout(PATIENCE_S):
                head, said = await answer(reader)
            assert head.startswith(f"HTTP/1.1 {status} ")
            assert json.loads(said).get("status", 200) == status
        assert "WWW-Authenticate: Bearer" in head
        assert "Content-Type: application/problem+json" in head
        await gone(writer)
    async with Bus(redis_url) as bus:
        (entry,) = await bus.read([shard_of("truck-1")], count=10, block_ms=1000)
    assert entry.batch is not None
    assert entry.batch.endswith(body)
    assert unpack(entry.batch) == batch
