"""Sends the numbered batches of a recording until all of them are settled."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError

from edge.errors import UplinkError
from edge.outbox import request_body
from edge.recordings.import_plan import Numbered
from edge.recordings.import_window import ImportWindow
from edge.ways.transport import Answer, Transport
from wire.codec import encode_batch
from wire.envelope import Reply

AHEAD: Final = 32
"""Batches that are made before they are needed."""
LOOK_S: Final = 0.05
"""Between two questions while nothing may be sent."""
BACKOFF_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
GIVE_UP_S: Final = 3_600.0


@dataclass
class Sent:
    """What came of it. `known` batches were there from an earlier import."""

    batches: int = 0
    samples: int = 0
    fixes: int = 0
    events: int = 0
    known: int = 0
    rejected: dict[int, str] = field(default_factory=dict)


_Ready = asyncio.Queue[tuple[Numbered, bytes]]


class FellBack(Exception):
    """The database was restored to an earlier state: what it had settled before may be gone."""


class ImportSender:
    """One recording of one vehicle, whose `stream` it is. `made` gives its batches anew at each call."""

    def __init__(
        self,
        transport: Transport,
        made: Callable[[], Iterator[Numbered]],
        *,
        vehicle: str,
        stream: str,
        told: Callable[[int], None],
    ) -> None:
        self._transport = transport
        self._made = made
        self._vehicle = vehicle
        self._stream = stream
        self._told = told
        self._catalogs: dict[str, bytes] = {}

    async def run(self) -> Sent:
        """Returns when all is settled; `told` hears how much has been read. Raises UplinkError when it cannot be."""
        while True:
            try:
                return await self._pass()
            except FellBack:
                continue

    async def _pass(self) -> Sent:
        window, sent = ImportWindow(self._stream), Sent()
        await self._exchange(window)  # what is there already
        ready: _Ready = asyncio.Queue(maxsize=AHEAD)
        making = asyncio.create_task(self._make(ready), name="decode")
        try:
            await self._send_all(window, ready, making, sent)
        finally:
            making.cancel()
            await asyncio.wait([making])
        sent.rejected = window.rejected
        return sent

    async def _send_all(self, window: ImportWindow, ready: _Ready, making: asyncio.Task[None], sent: Sent) -> None:
        ended = False
        while not (ended and window.is_empty):
            while not ended and window.has_room and (not ready.empty() or window.is_empty):
                if (one := await _next(ready, making)) is None:
                    ended = True
                else:
                    self._offer(window, *one, sent)
            if not window.is_empty and not await self._exchange(window):
                await asyncio.sleep(LOOK_S)
        await self._exchange(window)  # so that the cloud knows how many there are

    def _offer(self, window: ImportWindow, one: Numbered, body: bytes, sent: Sent) -> None:
        self._catalogs.update(one.catalogs)
        draft = one.draft
        if window.offer(body, draft.sample_count):
            sent.batches += 1
            sent.samples += draft.sample_count
            sent.fixes += len(draft.fixes)
            sent.events += len(draft.events)
        else:
            sent.known += 1
        self._told(one.read)

    async def _make(self, ready: _Ready) -> None:
        """Decodes in a thread while requests are under way."""
        made = enumerate(self._made())

        def following() -> tuple[Numbered, bytes] | None:
            if (found := next(made, None)) is None:
                return None
            seq, one = found
            return one, encode_batch(one.draft.to_batch(vehicle=self._vehicle, stream=self._stream, seq=seq))

        while (one := await asyncio.to_thread(following)) is not None:
            await ready.put(one)

    async def _exchange(self, window: ImportWindow) -> bool:
        """One request, until it is answered; whether it carried batches."""
        attempt, began_s = 0, time.monotonic()
        while True:
            due = window.due(time.monotonic())
            answer = await self._transport.send(request_body([body for _, body in due], [window.claim()]))
            if (reply := _read(answer)) is not None:
                if window.fell_back(reply):
                    raise FellBack
                window.replied([seq for seq, _ in due], reply, time.monotonic())
                await self._give_catalogs(reply)
                return bool(due)
            if time.monotonic() - began_s > GIVE_UP_S:
                raise UplinkError(f"no answer for an hour: {_said(answer)}; the same command goes on where it ended")
            window.pushed_back()
            await asyncio.sleep(max(answer.retry_after_s, random.uniform(0, BACKOFF_S[min(attempt, 5)])))
            attempt += 1

    async def _give_catalogs(self, reply: Reply) -> None:
        for name in reply.catalogs:
            if (body := self._catalogs.get(name)) is not None:
                await self._transport.send_catalog(name, body)  # asked for again if it did not arrive


async def _next(ready: _Ready, making: asyncio.Task[None]) -> tuple[Numbered, bytes] | None:
    """What is ready next; None at the end. Raises what the making ended with."""
    while ready.empty() and not making.done():
        getting = asyncio.ensure_future(ready.get())
        await asyncio.wait((getting, making), return_when=asyncio.FIRST_COMPLETED)
        if getting.done():
            return getting.result()
        getting.cancel()
    if not ready.empty():
        return ready.get_nowait()
    making.result()
    return None


def _read(answer: Answer) -> Reply | None:
    """None for what may be different next time. Raises UplinkError."""
    if answer.status == 200:
        try:
            return Reply.model_validate_json(answer.body)
        except ValidationError as error:
            raise UplinkError(f"what answers is no ingest of Fleetwire: {error.errors()[0]['msg']}") from error
    if answer.status in (0, 408, 429) or answer.status >= 500:
        return None
    raise UplinkError(f"refused: {_said(answer)}")


def _said(answer: Answer) -> str:
    if answer.problem:
        return answer.problem
    return f"{answer.status} {answer.body[:500].decode(errors='replace')}"
