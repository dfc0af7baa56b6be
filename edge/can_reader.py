"""Read one CAN bus through python-can: a thread receives, the event loop gets frames in lists.

The queue between them is bounded: what comes while it is full is dropped and counted. An interface that fails is opened
again, after pauses that grow to 30 s, for as long as the reader runs; each failure is counted and logged.
"""

import asyncio
import errno
import socket
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event, Lock
from typing import Any, Final, Self

import can
import structlog

from edge.buses.bus_event import BusEvent
from edge.frame import Frame
from edge.frame_source import ReaderCounts, ReaderError
from edge.protocols.transmit_rules import NotAllowedError, TransmitError, TransmitRules

MOST_WAITING: Final = 100_000  # frames; 25 s of a full bus of 500 kbit/s
_LINGER_S: Final = 0.01  # so many frames come at once, instead of one wake-up for each
_MOST_AT_ONCE: Final = 1_000  # a backlog comes in portions, so that nothing else has to wait for all of it
_RECEIVE_S: Final = 0.2  # a stop is noticed at least so soon
_LAST_FRAMES_S: Final = 0.5  # how long a stop goes on to read what the interface holds by then
_LONGEST_PAUSE_S: Final = 30.0
_SEND_S: Final = 0.2  # how long an adapter may take to accept a frame
_PLAUSIBLE_S: Final = 60.0  # a time stamp further from now is not Unix time

_FILTERS_IN_DRIVER: Final = frozenset({"socketcan", "kvaser", "vector", "etas", "systec"})
_LISTEN_ONLY: Final[Mapping[str, Mapping[str, Any]]] = {
    "kvaser": {"driver_mode": False},
    "nixnet": {"listen_only": True},
    "pcan": {"state": can.BusState.PASSIVE},
    "seeedstudio": {"operation_mode": "silent"},
    "slcan": {"listen_only": True},
    "vector": {"listen_only": True},
}  # elsewhere, as with socketcan, the bus is set so outside; nothing here sends without TransmitRules

_WRONG_SETTINGS: Final = (NotImplementedError, TypeError, ValueError, ImportError, struct.error)

_log = structlog.get_logger(__name__)


class CanReader:
    """A FrameSource. `filters` are python-can's, used where the driver applies them; `options` go to python-can.

    What `rules` allow may be sent, by a thread of its own, so that a slow adapter does not keep frames from being read.
    """

    def __init__(
        self,
        interface: str,
        channel: str,
        *,
        name: str | None = None,
        options: Mapping[str, Any] | None = None,
        filters: Sequence[dict[str, int | bool]] = (),
        listen_only: bool = True,
        rules: TransmitRules | None = None,
        most_waiting: int = MOST_WAITING,
        first_pause_s: float = 0.5,
    ) -> None:
        self.name = name or channel
        self.counts = ReaderCounts()
        self._interface = interface
        self._channel = channel
        self._filters = list(filters) if interface in _FILTERS_IN_DRIVER else []
        self._options = {**(_LISTEN_ONLY.get(interface, {}) if listen_only else {}), **(options or {})}
        self._rules = rules
        self._sending = Lock()  # nobody shuts the bus down meanwhile
        self._bus: can.BusABC | None = None
        self._sender = ThreadPoolExecutor(1, thread_name_prefix=f"can-send-{self.name}")
        self._most_waiting = most_waiting
        self._first_pause_s = first_pause_s
        self._waiting: deque[Frame] = deque()
        self._wakes = False
        self._ready = asyncio.Event()
        self._stopping = Event()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"can-{self.name}")

    async def __aenter__(self) -> Self:
        """Opens the bus. Raises ReaderError for settings that python-can refuses; a bus that is away is waited for."""
        self._loop = asyncio.get_running_loop()
        first: can.BusABC | None = None
        try:
            first = await self._loop.run_in_executor(self._executor, self._open)
        except (*_WRONG_SETTINGS, can.CanError, OSError) as error:
            if not _may_come_back(error):
                self._executor.shutdown()
                problem = f"python-can cannot open {self._interface} {self._channel}: {error}"
                raise ReaderError(self.name, problem) from error
            self._note(error)
        self._bus = first
        self._thread = self._loop.run_in_executor(self._executor, self._run, first)
        self._thread.add_done_callback(lambda _: self._ready.set())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stop()
        self._executor.shutdown()
        self._sender.shutdown()

    async def __aiter__(self) -> AsyncIterator[list[Frame]]:
        while True:
            await self._ready.wait()
            has_ended = self._thread.done()
            if not has_ended:
                await asyncio.sleep(_LINGER_S)
                self._ready.clear()
                self._wakes = False
            backlog = len(self._waiting)
            while backlog:
                frames = self._take(min(backlog, _MOST_AT_ONCE))
                backlog -= len(frames)
                yield frames
            if has_ended:
                self._thread.result()
                return

    async def rest(self) -> list[Frame]:
        """See FrameSource."""
        await self._stop()
        return self._take(len(self._waiting))

    async def send(self, frame: Frame) -> None:
        """See FrameSource."""
        if self._rules is None:
            raise NotAllowedError(f"{self.name} is only listened to")
        self._rules.admit(frame, time.monotonic())
        await self._loop.run_in_executor(self._sender, self._send, frame)

    def take_events(self) -> Sequence[BusEvent]:
        """Nothing is told of this kind of bus."""
        return ()

    async def _stop(self) -> None:
        self._stopping.set()
        await asyncio.wait([self._thread])

    def _take(self, count: int) -> list[Frame]:
        self.counts.frames += count
        return [self._waiting.popleft() for _ in range(count)]

    def _open(self) -> can.BusABC:
        bus = can.Bus(self._channel, self._interface, ignore_config=True, **self._options)
        if self._filters:
            bus.set_filters(self._filters)  # type: ignore[arg-type]
        return bus

    def _run(self, bus: can.BusABC | None) -> None:
        """The thread: read, and open again what fails."""
        pause_s = self._first_pause_s
        if bus is None:
            self._stopping.wait(pause_s)
        while bus is not None or not self._stopping.is_set():
            try:
                bus = bus or self._open()
                pause_s = self._first_pause_s
                self._bus = bus
                self._read(bus)
            except (can.CanError, OSError, ValueError) as error:
                self._note(error)
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            finally:
                with self._sending:
                    self._bus = None
                    if bus is not None:
                        _shut_down(bus)
                bus = None

    def _read(self, bus: can.BusABC) -> None:
        while not self._stopping.is_set():
            if (message := bus.recv(_RECEIVE_S)) is not None:
                self._receive(message)
        end_s = time.monotonic() + _LAST_FRAMES_S
        while time.monotonic() < end_s and (message := bus.recv(0)) is not None:
            self._receive(message)

    def _receive(self, message: can.Message) -> None:
        if message.is_error_frame:
            self.counts.error += 1
        elif message.is_remote_frame:
            self.counts.remote += 1
        elif len(self._waiting) >= self._most_waiting:
            self.counts.dropped += 1
        else:
            self._hand_over(
                Frame(
                    _time_ns(message.timestamp),
                    self.name,
                    message.arbitration_id,
                    message.is_extended_id,
                    bytes(message.data),
                )
            )

    def _send(self, frame: Frame) -> None:
        message = can.Message(
            arbitration_id=frame.arbitration_id, is_extended_id=frame.is_extended, data=frame.data, check=True
        )
        with self._sending:
            if self._bus is None:
                raise TransmitError(f"{self.name}: the interface is away")
            try:
                self._bus.send(message, _SEND_S)
            except (can.CanError, OSError, ValueError, NotImplementedError) as error:
                raise TransmitError(f"{self.name} did not take a frame: {error}") from error

    def _hand_over(self, frame: Frame) -> None:
        self._waiting.append(frame)
        if not self._wakes:
            self._wakes = True
            self._loop.call_soon_threadsafe(self._ready.set)

    def _note(self, error: Exception) -> None:
        self.counts.restarts += 1
        self.counts.last_error = str(error)
        _log.warning("can_reader_failed", bus=self.name, interface=self._interface, error=str(error))


def _shut_down(bus: can.BusABC) -> None:
    """An adapter that was unplugged refuses even this: slcan says goodbye over the port that is gone."""
    with suppress(can.CanError, OSError):
        bus.shutdown()


def _may_come_back(error: Exception) -> bool:
    """Whether the interface may be there later: not where settings, driver or the kernel's support are wrong."""
    if isinstance(error, can.CanError):
        return not isinstance(error, can.CanInterfaceNotImplementedError)
    if isinstance(error, socket.gaierror) or not isinstance(error, OSError):
        return False
    return error.errno not in (None, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


def _time_ns(timestamp_s: float) -> int:
    """The driver's or kernel's time where it is Unix time, else now. A float holds Unix time to the microsecond."""
    if abs(timestamp_s - time.time()) < _PLAUSIBLE_S:
        return round(timestamp_s * 1_000_000) * 1000
    return time.time_ns()
