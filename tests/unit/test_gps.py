"""The GPS reader on a real pty, and on a gpsd that answers over TCP."""

import asyncio
import json
import os
import time
import tty
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Self

from edge.fix import Fix
from edge.gps import GpsReader
from edge.gpsd import WATCH


def sentence(body: str) -> bytes:
    checksum = 0
    for byte in body.encode():
        checksum ^= byte
    return f"${body}*{checksum:02X}\r\n".encode()


def rmc(seconds: int) -> bytes:
    return sentence(f"GPRMC,1015{seconds:02d}.00,A,4807.0380,N,01131.0000,E,10.0,084.4,230394,,,A")


class Receiver:
    """A receiver on a pty, under a stable name as a USB one has it; it sends a fix every 10 ms, each one second on."""

    def __init__(self, link: Path) -> None:
        self._link = link
        self._seconds = 0

    async def __aenter__(self) -> Self:
        self.plug()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.unplug()

    def plug(self) -> None:
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(os.ttyname(self._theirs))
        self._send()

    def unplug(self) -> None:
        self._timer.cancel()
        os.close(self._theirs)
        os.close(self._ours)

    def _send(self) -> None:
        self._seconds = (self._seconds + 1) % 60
        os.write(self._ours, rmc(self._seconds))
        self._timer = asyncio.get_running_loop().call_later(0.01, self._send)

    def say(self, seconds: int) -> None:
        os.write(self._ours, rmc(seconds))

    def fall_silent(self) -> None:
        self._timer.cancel()


@asynccontextmanager
async def reading(device: str) -> AsyncIterator[tuple[GpsReader, AsyncIterator[Fix]]]:
    reader = GpsReader(device, first_pause_s=0.01)
    async with aclosing(aiter(reader)) as fixes, asyncio.timeout(10):
        yield reader, fixes


async def test_fixes_are_stamped_with_their_reception(tmp_path: Path) -> None:
    async with Receiver(tmp_path / "gps"), reading(str(tmp_path / "gps")) as (_, fixes):
        before_ms = time.time_ns() // 1_000_000
        first, second = await anext(fixes), await anext(fixes)
        assert before_ms <= first.t_ms <= second.t_ms <= time.time_ns() // 1_000_000
        assert second.utc_ms == first.utc_ms + 1_000


async def test_fix_comes_when_the_receiver_pauses(tmp_path: Path) -> None:
    async with Receiver(tmp_path / "gps") as receiver, reading(str(tmp_path / "gps")) as (_, fixes):
        before = await anext(fixes)
        receiver.fall_silent()
        assert (await anext(fixes)).utc_ms > before.utc_ms


async def test_epoch_that_is_open_at_the_end_is_not_lost(tmp_path: Path) -> None:
    async with Receiver(tmp_path / "gps") as receiver:
        async with reading(str(tmp_path / "gps")) as (reader, fixes):
            last = await anext(fixes)
            receiver.fall_silent()
            receiver.say(59)
        *_, rest = reader.rest()
        assert rest.t_ms >= last.t_ms
        assert rest.utc_ms % 60_000 == 59_000
        assert reader.rest() == []
        assert reader.counts.fixes == reader.nmea.fixes


async def test_epoch_that_is_open_when_the_device_vanishes_is_not_lost(tmp_path: Path) -> None:
    async with Receiver(tmp_path / "gps") as receiver, reading(str(tmp_path / "gps")) as (reader, fixes):
        await anext(fixes)
        receiver.fall_silent()
        receiver.say(59)
        heard = reader.nmea.sentences
        while reader.nmea.sentences == heard:
            await anext(fixes)
        receiver.unplug()
        async for fix in fixes:
            if fix.utc_ms % 60_000 == 59_000:
                break
        receiver.plug()


async def test_device_that_vanishes_is_opened_again(tmp_path: Path) -> None:
    async with Receiver(tmp_path / "gps") as receiver, reading(str(tmp_path / "gps")) as (reader, fixes):
        await anext(fixes)
        receiver.unplug()
        receiver.plug()
        while reader.counts.opened < 2:
            await anext(fixes)
        assert reader.counts.failures >= 1
        assert reader.nmea.fixes >= reader.counts.fixes


async def test_device_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    async with reading(str(tmp_path / "gps")) as (reader, fixes):
        first = asyncio.ensure_future(anext(fixes))
        await asyncio.sleep(0)
        assert reader.counts.failures == 1
        async with Receiver(tmp_path / "gps"):
            assert (await first).lat > 48


async def test_gpsd_is_watched_and_followed_across_a_restart() -> None:
    report = {"class": "TPV", "mode": 3, "lat": 48.1, "lon": 11.5, "speed": 10.0}
    times = iter(range(10))

    async def gpsd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == WATCH
        report["time"] = f"2024-05-06T07:08:0{next(times)}.000Z"
        writer.write(json.dumps(report).encode() + b"\n")
        writer.close()

    server = await asyncio.start_server(gpsd, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, reading(f"gpsd://127.0.0.1:{port}") as (reader, fixes):
        first, second = await anext(fixes), await anext(fixes)
        assert (first.lat, second.utc_ms - first.utc_ms) == (48.1, 1_000)
        assert reader.counts.failures == 1


async def test_line_without_an_end_is_a_failure_of_the_device() -> None:
    lines = iter([b"x" * 100_000, b'{"class":"TPV","mode":3,"lat":48.1,"lon":11.5}\n'])

    async def gpsd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == WATCH
        writer.write(next(lines))
        writer.close()

    server = await asyncio.start_server(gpsd, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, reading(f"gpsd://127.0.0.1:{port}") as (reader, fixes):
        assert (await anext(fixes)).lat == 48.1
        assert "limit" in (reader.counts.last_error or "")
