"""Read a CAN interface of Linux itself: the event loop waits for frames and fetches what came meanwhile in one call.

The kernel stamps each frame and counts those for which its buffer had no room. What is fetched waits in a bounded
queue; what comes while that is full is dropped and counted too. An interface that is down or gone is opened
again, once a second, for as long as the reader runs.
"""

import asyncio
import errno
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol, Self

import structlog

from edge.buses.bus_event import BusEvent
from edge.buses.bus_state import BusState
from edge.buses.can_link import CanLink, ask_link
from edge.buses.socketcan import FULL_BYTES, FrameSocket, open_socketcan
from edge.buses.socketcan_frames import parse_slots
from edge.frame import Frame
from edge.frame_source import ReaderCounts, ReaderError
from edge.protocols.transmit_rules import NotAllowedError, TransmitError, TransmitRules

MOST_WAITING: Final = 100_000  # frames; 25 s of a full bus of 500 kbit/s
BUFFER_BYTES: Final = 8_000_000
_LINGER_S: Final = 0.025  # so many frames come at once, instead of one wake-up for each
_COUNT_RANGE: Final = 2**32  # the kernel's count begins anew after it
_NS_PER_MS: Final = 1_000_000
_HOPELESS: Final = (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EPERM, errno.EACCES)

_log = structlog.get_logger(__name__)


class Interface(Protocol):
    """Where the frames come from: opened again whenever it failed."""

    def open(self) -> socket.socket:
        """A non-blocking socket whose messages are CAN frames. Raises OSError, WrongLink."""
        ...


class WrongLink(OSError):
    """The interface is not as the settings want it: it would acknowledge what it hears, or could not send."""


class SocketCan:
    """An interface of SocketCAN. `filters` are python-can's; with `listen_only` one that may send is refused.

    With `sends` one is refused that cannot.
    """

    def __init__(
        self,
        channel: str,
        *,
        filters: Sequence[dict[str, int | bool]] = (),
        listen_only: bool = True,
        sends: bool = False,
        fd: bool = True,
        bitrate: int | None = None,
        buffer_bytes: int = BUFFER_BYTES,
        ask: Callable[[str], CanLink | None] = ask_link,
    ) -> None:
        self._channel = channel
        self._filters = filters
        self._listen_only = listen_only
        self._sends = sends
        self._fd = fd
        self._bitrate = bitrate
        self._buffer_bytes = buffer_bytes
        self._ask = ask
        self._noted: str | None = None

    def open(self) -> socket.socket:
        """See Interface."""
        link = self._ask(self._channel)
        problem = judge_link(link, listen_only=self._listen_only, sends=self._sends)
        if problem is not None:
            mode, instead = ("off", "leave out poll") if self._sends else ("on", "say listen_only = false")
            up = f"type can{f' bitrate {self._bitrate}' if self._bitrate else ''} listen-only {mode}"
            advice = f"ip link set {self._channel} down; ip link set {self._channel} {up}; ip link set"
            raise WrongLink(errno.EINVAL, f"{problem}: {advice} {self._channel} up; or {instead}")
        self._tell(link)
        return open_socketcan(self._channel, filters=self._filters, fd=self._fd, buffer_bytes=self._buffer_bytes)

    def _tell(self, link: CanLink | None) -> None:
        """Say once what cannot be verified, or is not as the settings say."""
        note = None
        if self._listen_only and (link is None or link.listen_only is None):
            note = "virtual" if link is not None and link.kind in ("vcan", "vxcan") else "unverified"
        elif self._listen_only:
            note = "verified"
        if note != self._noted:
            self._noted = note
            _log.info("listen_only", interface=self._channel, kernel_says=note)
        if link is not None and self._bitrate and link.bitrate and link.bitrate != self._bitrate:
            _log.warning("other_bitrate", interface=self._channel, bitrate=link.bitrate, wanted=self._bitrate)


def judge_link(link: CanLink | None, *, listen_only: bool, sends: bool = False) -> str | None:
    """What forbids to read the interface, None for nothing. What the kernel does not say forbids nothing.

    One that is down does not send; when it is up it is opened again, and asked about again.
    """
    if link is None or not link.is_up:
        return None
    if sends and link.listen_only:
        return "the controller only listens and cannot ask, as poll wants it"
    if listen_only and link.listen_only is False:
        return "the controller acknowledges what it hears, which is to send"
    return None


class SocketCanReader:
    """A FrameSource. What `rules` allow may be sent."""

    def __init__(
        self,
        interface: Interface,
        *,
        name: str,
        rules: TransmitRules | None = None,
        most_waiting: int = MOST_WAITING,
        pause_s: float = 1.0,
    ) -> None:
        self.name = name
        self.counts = ReaderCounts()
        self._interface = interface
        self._rules = rules
        self._source: FrameSocket | None = None
        self._most_waiting = most_waiting
        self._pause_s = pause_s
        self._waiting: deque[list[Frame]] = deque()
        self._held = 0
        self._ready = asyncio.Event()
        self._state = BusState(name)
        self._kernel_count = 0

    async def __aenter__(self) -> Self:
        """Opens the interface. Raises ReaderError if that can never work; one that is away is waited for."""
        first: socket.socket | None = None
        try:
            first = self._interface.open()
        except OSError as error:
            if isinstance(error, WrongLink) or error.errno in _HOPELESS:
                raise ReaderError(self.name, error.strerror or str(error)) from error
            self._note(error)
        self._task = asyncio.create_task(self._run(first), name=f"can {self.name}")
        self._task.add_done_callback(lambda _: self._ready.set())
        await asyncio.sleep(0)  # from here on the task owns the socket
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stop()

    async def __aiter__(self) -> AsyncIterator[list[Frame]]:
        while True:
            await self._ready.wait()
            has_ended = self._task.done()
            if not has_ended:
                self._ready.clear()
            for _ in range(len(self._waiting)):
                yield self._take()
            if has_ended:
                if not self._task.cancelled():
                    self._task.result()
                return

    async def rest(self) -> list[Frame]:
        """See FrameSource."""
        await self._stop()
        return [frame for _ in range(len(self._waiting)) for frame in self._take()]

    async def send(self, frame: Frame) -> None:
        """See FrameSource."""
        if self._rules is None:
            raise NotAllowedError(f"{self.name} is only listened to")
        if self._source is None or self._state.state == "off":
            raise TransmitError(f"{self.name}: the {'interface is away' if self._source is None else 'bus is off'}")
        self._rules.admit(frame, time.monotonic())
        try:
            self._source.send(frame.arbitration_id, frame.is_extended, frame.data)
        except OSError as error:
            raise TransmitError(f"{self.name} did not take a frame: {error.strerror or error}") from error

    def take_events(self) -> list[BusEvent]:
        """See FrameSource."""
        return self._state.take_events(_now_ms())

    async def _stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    def _take(self) -> list[Frame]:
        frames = self._waiting.popleft()
        self._held -= len(frames)
        self.counts.frames += len(frames)
        return frames

    async def _run(self, opened: socket.socket | None) -> None:
        """Read, and open again what fails."""
        while True:
            try:
                if opened is None:
                    await asyncio.sleep(self._pause_s)
                    opened = self._interface.open()
                await self._read(opened)
            except OSError as error:
                opened = None
                self._note(error)

    async def _read(self, opened: socket.socket) -> None:
        """Until the interface fails; when it is time to stop, what the kernel holds by then comes too."""
        self._kernel_count = 0
        with FrameSocket(opened) as source:
            self._source = source
            try:
                while True:
                    await _readable(source)
                    has_more = True
                    while has_more:
                        await asyncio.sleep(_LINGER_S)
                        has_more = self._receive_all(source)
            except asyncio.CancelledError:
                with suppress(OSError):
                    self._receive_all(source)
                raise
            finally:
                self._source = None

    def _receive_all(self, source: FrameSocket) -> bool:
        """What waits by now; whether there was anything."""
        slots = source.read()
        was_any = bool(slots)
        while slots:
            self._receive(slots)
            slots = source.read() if len(slots) == FULL_BYTES else slots[:0]
        return was_any

    def _receive(self, slots: memoryview) -> None:
        frames, errors, remote, kernel_count = parse_slots(slots, self.name, time.time_ns())
        counts = self.counts
        if kernel_count is not None and kernel_count != self._kernel_count:
            lost = (kernel_count - self._kernel_count) % _COUNT_RANGE
            counts.dropped += lost
            counts.dropped_by_kernel += lost
            self._kernel_count = kernel_count
        counts.remote += remote
        if errors:
            counts.error += len(errors)
            for error in errors:
                self._state.take(error)
            counts.bus_offs = self._state.bus_offs
        if frames:
            if not errors:
                self._state.note_data(_now_ms())
            self._keep(frames)

    def _keep(self, frames: list[Frame]) -> None:
        room = self._most_waiting - self._held
        if len(frames) > room:
            self.counts.dropped += len(frames) - room
            del frames[room:]
        if frames:
            self._held += len(frames)
            self._waiting.append(frames)
            self._ready.set()

    def _note(self, error: OSError) -> None:
        problem = error.strerror or str(error)
        if problem != self.counts.last_error:
            _log.warning("can_reader_failed", bus=self.name, interface="socketcan", error=problem)
        self.counts.restarts += 1
        self.counts.last_error = problem
        self._state.note_away(_now_ms(), problem)


async def _readable(source: FrameSocket) -> None:
    """Until there is a frame, or an error to read."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(source.fileno(), _resolve, ready)
    try:
        await ready
    finally:
        loop.remove_reader(source.fileno())


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _now_ms() -> int:
    return time.time_ns() // _NS_PER_MS
