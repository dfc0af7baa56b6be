"""The proxy does what it is told, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from simulator.bad_link import BLACK_HOLE, CUT, DOUBLED, GOOD, HALF_OPEN, BadLink, Condition, bad_link
from tests.running import eventually

PATIENCE_S = 30.0


@dataclass
class Echo:
    """A server that says back what it hears, and keeps it."""

    heard: list[bytes] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    serving: set["asyncio.Future[None]"] = field(default_factory=set)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(asyncio.ensure_future(self.serve(reader, writer)))

    async def ended(self) -> None:
        if self.serving:
            await asyncio.wait(self.serving)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1000):
                self.heard.append(data)
                self.news.set()
                writer.write(data)
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def hears(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.heard) < count:
                self.news.clear()
                await self.news.wait()


@dataclass
class Stand:
    echo: Echo
    link: BadLink
    port: int

    @asynccontextmanager
    async def client(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(PATIENCE_S):
                yield reader, writer
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    echo = Echo()
    server = await asyncio.start_server(echo.accept, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with bad_link(host, port) as (link, near):
        yield Stand(echo, link, near)
    server.close()
    await echo.ended()


async def test_good_link_carries_both_ways_and_ends(stand: Stand) -> None:
    async with stand.client() as (reader, writer):
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.write_eof()
        assert await reader.read() == b""


async def test_cut_resets_what_is_open_and_takes_nothing(stand: Stand) -> None:
    async with stand.client() as (reader, writer):
        writer.write(b"hello")
        await reader.readexactly(5)
        stand.link.condition = CUT
        with pytest.raises(ConnectionResetError):
            await reader.read()
    async with stand.client() as (reader, _):
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
    assert stand.link.taken == 1


async def test_black_hole_is_silent_also_when_the_link_is_good_again(stand: Stand) -> None:
    stand.link.condition = BLACK_HOLE
    async with stand.client() as (reader, writer):
        writer.write(b"gone")
        waiting = asyncio.ensure_future(reader.read(1))
        async with stand.client() as (_, other):  # taken later, and as silent
            other.write(b"gone")
            await _swallowed(stand, 8)
            await _passed(stand)
        writer.write(b"gone too")
        await _passed(stand)
        assert not waiting.done()
        waiting.cancel()
    assert stand.echo.heard == [b"probe", b"probe"]


async def test_half_open_line_brings_requests_and_no_answers(stand: Stand) -> None:
    stand.link.condition = HALF_OPEN
    async with stand.client() as (reader, writer):
        writer.write(b"hello")
        await stand.echo.hears(1)
        waiting = asyncio.ensure_future(reader.read(1))
        await _swallowed(stand, 5)
        await _passed(stand)
        assert not waiting.done()
        waiting.cancel()


async def test_reset_comes_after_so_many_bytes(stand: Stand) -> None:
    stand.link.condition = Condition(resets_after=3)
    async with stand.client() as (reader, writer):
        writer.write(b"hello")
        with pytest.raises(ConnectionResetError):
            await reader.read()
    await stand.echo.hears(1)
    assert b"".join(stand.echo.heard) == b"hel"


@pytest.mark.parametrize("reset", [False, True])
async def test_what_is_open_is_ended_and_what_comes_passes(stand: Stand, reset: bool) -> None:
    async with stand.client() as (reader, writer):
        writer.write(b"hello")
        await reader.readexactly(5)
        stand.link.end_all(reset=reset)
        if reset:
            with pytest.raises(ConnectionResetError):
                await reader.read()
        else:
            assert await reader.read() == b""
    await _passed(stand)


async def test_line_that_is_silent_is_ended_as_well(stand: Stand) -> None:
    stand.link.condition = BLACK_HOLE
    async with stand.client() as (reader, writer):
        writer.write(b"gone")
        await _swallowed(stand, 4)
        stand.link.end_all(reset=False)
        assert await reader.read() == b""


async def test_doubled_requests_arrive_twice_and_are_answered_once(stand: Stand) -> None:
    stand.link.condition = DOUBLED
    async with stand.client() as (reader, writer):
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        await stand.echo.hears(2)
        writer.write_eof()
        assert await reader.read() == b""
    assert stand.echo.heard == [b"hello", b"hello"]


async def test_slow_link_takes_its_time(stand: Stand) -> None:
    loop = asyncio.get_running_loop()
    stand.link.condition = Condition(bytes_per_s=50.0)
    async with stand.client() as (reader, writer):
        began_s = loop.time()
        writer.write(b"0123456789")
        assert await reader.readexactly(10) == b"0123456789"
        assert loop.time() - began_s >= 0.39  # 0.2 s each way


async def _passed(stand: Stand) -> None:
    """What could have passed has: another connection has gone there and back."""
    stand.link.condition = GOOD
    async with stand.client() as (reader, writer):
        writer.write(b"probe")
        await reader.readexactly(5)


async def _swallowed(stand: Stand, count: int) -> None:
    async def all_gone() -> bool:
        return stand.link.swallowed_bytes >= count

    await eventually(all_gone)
