"""The way to the cloud: what the outbox has, until the cloud says that it is settled.

This is a thin shell: `edge.delivery` decides what to send and what a reply means, `edge.ways.pacing` when, and a
transport carries it. Losing a request or a reply costs a resend. A credential that is refused is tried again only
after a long wait, and said.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from random import Random
from typing import Final

import structlog

from edge.errors import UplinkError
from edge.outbox import Outbox, Shipment
from edge.ways.pacing import Pacing, Timings
from edge.ways.request_size import RequestSize
from edge.ways.thrift import Thrift
from edge.ways.transport import Answer, Transport, read_reply
from wire.envelope import Rejected, Reply

MOST_BYTES: Final = 1_000_000
LONGEST_PROBLEM: Final = 300
TOKEN_LOOK_S: Final = 5.0
"""How often a refused credential is looked at: a new one in the file ends the long wait."""

THRIFT_LOOK_S: Final = 10.0
DEFAULT_TIMINGS: Final = Timings()

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class UplinkCounts:
    """What was tried since the start."""

    requests: int = 0
    batches: int = 0
    bytes: int = 0
    failures: int = 0
    refused: int = 0
    last_reply_ms: int | None = None  # Unix ms
    last_settled_ms: int | None = None
    problem: str | None = None  # why the cloud takes nothing now; None while it does
    patience_s: float = 0.0  # how long the present request may take, all ways together


class Uplink:
    """One vehicle's uplink."""

    def __init__(
        self,
        outbox: Outbox,
        transport: Transport,
        *,
        token: Callable[[], str],
        timings: Timings = DEFAULT_TIMINGS,
        dice: Random | None = None,
        follow: Callable[[str], Awaitable[None]] | None = None,
        ways: int = 1,
    ) -> None:
        """`token` is what the transport uses, to see when a refused one was replaced; it may raise UplinkError.

        `follow` is told the etag of the campaign that the cloud means, with each reply that has one. So many `ways` may
        be tried for a request, one after the other. The time is the event loop's.
        """
        self.counts = UplinkCounts()
        self.thrift = Thrift()
        """How sparing it is to be from now on."""
        self._outbox = outbox
        self._transport = transport
        self._token = token
        self._follow = follow
        self._ways = ways
        self._pacing = Pacing(timings, dice or Random())
        self._size = RequestSize()
        self._refused_token: str | None = None

    async def run(self) -> None:
        """Send for ever."""
        while True:
            await self._wait()
            await self.exchange()

    async def exchange(self) -> None:
        """Send one request with what is due now, which may be nothing, and take the reply."""
        outbox = self._outbox
        outbox.arrived.clear()
        began_s = self._now_s()
        shipment = await outbox.prepare(
            began_s,
            most_batches=self._size.most_batches,
            most_bytes=MOST_BYTES,
            urgent_only=self.thrift.alarms_only,
        )
        answer = await self._send(shipment)
        now_s = self._now_s()
        took_s = now_s - began_s if answer.took_s is None else answer.took_s
        if not answer.status:
            self._size.unanswered(took_s, len(shipment.body))
        if answer.status == HTTPStatus.OK and (reply := read_reply(answer.body)) is not None:
            self._size.answered(took_s)
            await self._take(shipment, reply, now_s)
        elif answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and shipment.plan.batches:
            await self._halve(shipment, now_s)
        elif answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            self.counts.refused += 1
            self.counts.problem = f"credential refused ({answer.status}): {_text(answer)}"
            self._refused_token = self._present_token()
            wait_s = self._pacing.refused(now_s)
            advice = "put a good device token into the token file; 'fleetwire admin vehicle add' prints one"
            log.error(
                "uplink_refused", status=answer.status, problem=_text(answer), wait_s=round(wait_s), advice=advice
            )
        else:
            self.counts.failures += 1
            self.counts.problem = f"{answer.status}: {_text(answer)}" if answer.status else _text(answer)
            wait_s = self._pacing.failed(now_s, retry_after_s=answer.retry_after_s)
            log.warning("uplink_failed", status=answer.status, problem=_text(answer), wait_s=round(wait_s, 1))

    async def _wait(self) -> None:
        outbox = self._outbox
        while True:
            now_s = self._now_s()
            thrift = self.thrift
            due_s = outbox.seconds_until_due(now_s, urgent_only=thrift.alarms_only)
            owes = outbox.awaits_settlement if thrift.alarms_only else not outbox.owes_nothing
            wait_s = self._pacing.wait_s(now_s, due_s=due_s, owes=owes, heartbeat_s=thrift.heartbeat_s)
            if wait_s <= 0:
                return
            wait_s = min(wait_s, THRIFT_LOOK_S)  # what is held back may go when the thrift ends
            if self._refused_token is not None:
                if self._present_token() != self._refused_token:
                    return
                wait_s = min(wait_s, TOKEN_LOOK_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await outbox.arrived.wait()
            outbox.arrived.clear()

    def _present_token(self) -> str:
        try:
            return self._token()
        except UplinkError:
            return ""

    async def _send(self, shipment: Shipment) -> Answer:
        self.counts.requests += 1
        self.counts.batches += len(shipment.plan.batches)
        self.counts.bytes += len(shipment.body)
        timeout_s = self._size.timeout_s(len(shipment.body))
        self.counts.patience_s = timeout_s * self._ways
        return await self._transport.send(shipment.body, timeout_s=timeout_s)

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()

    async def _take(self, shipment: Shipment, reply: Reply, now_s: float) -> None:
        self._refused_token = None
        self.counts.problem = None
        for refused in reply.rejected:
            log.error("batch_rejected", stream=refused.stream, seq=refused.seq, problem=refused.problem)
        settled = self._outbox.counts.settled
        progress = await self._outbox.replied(shipment.plan, reply, now_s)
        self.counts.last_reply_ms = time.time_ns() // 1_000_000
        if self._outbox.counts.settled > settled:
            self.counts.last_settled_ms = self.counts.last_reply_ms
        self._pacing.answered(now_s, progress=progress)
        for name in reply.catalogs:
            await self._send_catalog(name)
        if self._follow is not None and reply.campaign is not None:
            await self._follow(reply.campaign)

    async def _halve(self, shipment: Shipment, now_s: float) -> None:
        """The request was too large. A batch that is too large alone will never pass."""
        count = len(shipment.plan.batches)
        self._size.too_large(count)
        if count == 1:
            problem = "larger than the cloud takes (413)"
            stream, seq = shipment.plan.batches[0]
            log.error("batch_rejected", stream=stream, seq=seq, problem=problem)
            await self._outbox.replied(shipment.plan, Reply(rejected=(Rejected(index=0, problem=problem),)), now_s)

    async def _send_catalog(self, name: str) -> None:
        body = await self._outbox.catalog(name)
        if body is None:
            return
        answer = await self._transport.send_catalog(name, body)
        if not 200 <= answer.status < 300:
            log.warning("catalog_failed", catalog=name, status=answer.status, problem=_text(answer))


def _text(answer: Answer) -> str:
    return answer.problem or answer.body[:LONGEST_PROBLEM].decode(errors="replace")
