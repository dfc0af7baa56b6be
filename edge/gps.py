"""Read a GPS receiver: a serial port (or a pty) through pyserial, or gpsd over TCP.

A device that is not there, or vanishes, is opened again after a pause that grows; it never ends the agent. A fix has
the time of its reception, as CAN frames do: what a receiver says the time is may be recorded, synthetic or 1999. The
epoch that is open when the reading ends, by a stop or by a device that vanishes, is not lost: see `rest()`.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import serial
import structlog

from edge.fix import Fix
from edge.gpsd import WATCH, GpsdParser
from edge.nmea import NmeaCounts, NmeaParser

GPSD_PORT: Final = 2947
PAUSE_OF_RECEIVER_S: Final = 0.2
"""After so long without a byte the epoch is complete: receivers send it in one burst."""

SILENCE_OF_GPSD_S: Final = 60.0
LONGEST_PAUSE_S: Final = 30.0
READ_BYTES: Final = 4096

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class GpsCounts:
    """What happened to the device."""

    fixes: int = 0
    opened: int = 0
    failures: int = 0
    last_error: str | None = None


class GpsReader:
    """`async for fix in reader` never ends."""

    def __init__(self, device: str, *, baud: int = 9600, first_pause_s: float = 1.0) -> None:
        self.counts = GpsCounts()
        self.nmea = NmeaCounts()
        self._device = device
        self._baud = baud
        self._first_pause_s = first_pause_s
        self._received: deque[Fix] = deque()

    async def __aiter__(self) -> AsyncGenerator[Fix]:
        pause_s = self._first_pause_s
        while True:
            try:
                async with aclosing(self._read()) as portions:
                    async for _ in portions:
                        while self._received:
                            pause_s = self._first_pause_s
                            yield self._take()
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                # SerialException is an OSError; pyserial says ValueError to a baud rate, asyncio to an endless line.
                self.counts.failures += 1
                self.counts.last_error = str(error) or type(error).__name__
                log.warning("gps_failed", device=self._device, error=self.counts.last_error, wait_s=pause_s)
            while self._received:
                yield self._take()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def rest(self) -> list[Fix]:
        """Once the reading has ended: what was received by then and not taken yet."""
        return [self._take() for _ in range(len(self._received))]

    def _take(self) -> Fix:
        self.counts.fixes += 1
        return self._received.popleft()

    def _read(self) -> AsyncGenerator[None]:
        """Puts fixes into `_received`, and says so."""
        address = urlsplit(self._device)
        if address.scheme == "gpsd":
            return self._read_gpsd(address.hostname or "localhost", address.port or GPSD_PORT)
        return self._read_serial()

    async def _read_serial(self) -> AsyncGenerator[None]:
        parser = NmeaParser()
        parser.counts = self.nmea  # they go on across openings
        with serial.Serial(self._device, self._baud, timeout=0, exclusive=True) as port:
            self._opened()
            try:
                async with aclosing(_portions(port.fileno())) as portions:
                    async for has_news in portions:
                        self._received += parser.feed(port.read(READ_BYTES), _now_ms()) if has_news else parser.flush()
                        yield
            finally:
                with suppress(OSError):  # it may be gone
                    self._received += parser.feed(port.read(READ_BYTES), _now_ms())
                self._received += [*parser.feed(b"\n", _now_ms()), *parser.flush()]

    async def _read_gpsd(self, host: str, port: int) -> AsyncGenerator[None]:
        parser = GpsdParser()
        reader, writer = await asyncio.open_connection(host, port)
        try:
            self._opened()
            writer.write(WATCH)
            while line := await asyncio.wait_for(reader.readline(), SILENCE_OF_GPSD_S):
                if (fix := parser.feed(line, _now_ms())) is not None:
                    self._received.append(fix)
                    yield
            raise EOFError("gpsd closed the connection")
        finally:
            writer.close()

    def _opened(self) -> None:
        self.counts.opened += 1
        log.info("gps_opened", device=self._device)


async def _portions(fd: int) -> AsyncGenerator[bool]:
    """True when there is something to read; False once after each burst, when the receiver pauses."""
    with _readable(fd) as ready:
        has_news = False
        while True:
            try:
                async with asyncio.timeout(PAUSE_OF_RECEIVER_S if has_news else None):
                    await ready.wait()
                has_news = True
            except TimeoutError:
                has_news = False
            ready.clear()
            yield has_news


@contextmanager
def _readable(fd: int) -> Iterator[asyncio.Event]:
    ready = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(fd, ready.set)
    try:
        yield ready
    finally:
        loop.remove_reader(fd)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
