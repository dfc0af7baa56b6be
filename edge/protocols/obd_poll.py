"""Polling at work: what `obd_poller` wants to ask leaves through the bus's reader, what comes is shown to it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import structlog

from edge.frame import Frame
from edge.frame_source import FrameSource
from edge.protocols.listener import Listener
from edge.protocols.obd_poller import ObdPoller
from edge.protocols.transmit_rules import TooOftenError, TransmitError

LONGEST_WAIT_S: Final = 60.0

log = structlog.get_logger(__name__)


class PollLoop:
    """One bus. Requests are shown to `listener` as if they had been heard, for it tells answers by them."""

    def __init__(self, poller: ObdPoller, source: FrameSource, listener: Listener) -> None:
        self.last_error: str | None = None
        """Why the bus did not take the last frame, None if it did."""
        self._poller = poller
        self._source = source
        self._listener = listener
        self._flow: deque[Frame] = deque(maxlen=64)  # the oldest of more would be too late anyway
        self._heard = asyncio.Event()

    @property
    def poller(self) -> ObdPoller:
        """What is decided, and its counts."""
        return self._poller

    def faults(self) -> dict[str, int]:
        """Requests that came to nothing, by cause."""
        counts = self._poller.counts
        return {"poll_in_vain": counts.in_vain, "poll_refused": counts.refused, "poll_not_sent": counts.not_sent}

    def take(self, frames: Iterable[Frame]) -> None:
        """What came from the bus."""
        now_s = time.monotonic()
        if self._poller.note_traffic(now_s):
            self._heard.set()
        for frame in frames:
            if not _may_answer(frame):
                continue
            self._heard.set()
            if (answer := self._poller.take(frame, now_s)) is not None:
                self._flow.append(answer)

    async def run(self, now_ms: Callable[[], int]) -> None:
        """Ask for ever. `now_ms` is the time with which frames are stamped."""
        while True:
            self._heard.clear()
            while self._flow:
                await self._send(self._flow.popleft())
            now_s = time.monotonic()
            request = self._poller.next(now_s)
            if request is not None:
                self._listener.take(now_ms(), request.arbitration_id, request.is_extended, request.data)
                if not await self._send(request):
                    self._poller.not_sent(time.monotonic())
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(min(self._poller.wait_s(now_s), LONGEST_WAIT_S)):
                    await self._heard.wait()

    async def _send(self, frame: Frame) -> bool:
        try:
            await self._send_in_time(frame)
        except TransmitError as error:
            if str(error) != self.last_error:
                log.warning("poll_not_sent", bus=self._source.name, problem=str(error))
            self.last_error = str(error)
            return False
        self.last_error = None
        return True

    async def _send_in_time(self, frame: Frame) -> None:
        while True:
            try:
                return await self._source.send(frame)
            except TooOftenError as error:
                await asyncio.sleep(error.wait_s)


def _may_answer(frame: Frame) -> bool:
    return frame.arbitration_id >> 8 == (0x18DAF1 if frame.is_extended else 0x7)
