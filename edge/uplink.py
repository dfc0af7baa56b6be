"""The way to the cloud over HTTP: what the outbox has, until the cloud says that it is settled.

This is a thin shell: `edge.delivery` decides what to send and what a reply means, `edge.pacing` when. Losing a request
or a reply costs a resend. A credential that is refused is tried again only after a long wait, and said.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from random import Random
from typing import Final

import aiohttp
import structlog
from pydantic import ValidationError

from edge.errors import UplinkError
from edge.outbox import Outbox, Shipment
from edge.pacing import Pacing, Timings
from wire.envelope import Rejected, Reply

MOST_BATCHES: Final = 64
MOST_BYTES: Final = 1_000_000
LONGEST_PROBLEM: Final = 300
TOKEN_LOOK_S: Final = 5.0
"""How often a refused credential is looked at: a new one in the file ends the long wait."""

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


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back: a status and its body, or why nothing did."""

    status: int = 0
    body: bytes = b""
    retry_after_s: float = 0.0
    problem: str = ""


class Uplink:
    """One vehicle's uplink. Many may share one session."""

    def __init__(
        self,
        outbox: Outbox,
        session: aiohttp.ClientSession,
        *,
        url: str,
        token: Callable[[], str],
        timings: Timings = DEFAULT_TIMINGS,
        dice: Random | None = None,
    ) -> None:
        """`token` is asked at each request, so that a new one is used without a restart; it may raise UplinkError."""
        self.counts = UplinkCounts()
        self._outbox = outbox
        self._session = session
        self._url = url.rstrip("/")
        self._token = token
        self._timeout = aiohttp.ClientTimeout(total=timings.request_timeout_s)
        self._pacing = Pacing(timings, dice or Random())
        self._most_batches = MOST_BATCHES
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
        shipment = await outbox.prepare(time.monotonic(), most_batches=self._most_batches, most_bytes=MOST_BYTES)
        answer = await self._post(shipment)
        now_s = time.monotonic()
        if answer.status == HTTPStatus.OK and (reply := _read_reply(answer.body)) is not None:
            await self._take(shipment, reply, now_s)
        elif answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and shipment.plan.batches:
            await self._halve(shipment, now_s)
        elif answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            self.counts.refused += 1
            self._refused_token = self._present_token()
            wait_s = self._pacing.refused(now_s)
            advice = "put a good device token into the token file; 'fleetwire admin vehicle add' prints one"
            log.error(
                "uplink_refused", status=answer.status, problem=_text(answer), wait_s=round(wait_s), advice=advice
            )
        else:
            self.counts.failures += 1
            wait_s = self._pacing.failed(now_s, retry_after_s=answer.retry_after_s)
            log.warning("uplink_failed", status=answer.status, problem=_text(answer), wait_s=round(wait_s, 1))

    async def _wait(self) -> None:
        outbox = self._outbox
        while True:
            now_s = time.monotonic()
            due_s = outbox.seconds_until_due(now_s)
            wait_s = self._pacing.wait_s(now_s, due_s=due_s, owes=not outbox.owes_nothing)
            if wait_s <= 0:
                return
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

    async def _post(self, shipment: Shipment) -> _Answer:
        self.counts.requests += 1
        self.counts.batches += len(shipment.plan.batches)
        self.counts.bytes += len(shipment.body)
        headers = {"Content-Type": "application/json", "Content-Encoding": "zstd"}
        return await self._request("POST", "/v1/batches", shipment.body, headers)

    async def _take(self, shipment: Shipment, reply: Reply, now_s: float) -> None:
        self._refused_token = None
        self._most_batches = min(self._most_batches + 1, MOST_BATCHES)
        for refused in reply.rejected:
            log.error("batch_rejected", stream=refused.stream, seq=refused.seq, problem=refused.problem)
        progress = await self._outbox.replied(shipment.plan, reply, now_s)
        self._pacing.answered(now_s, progress=progress)
        for name in reply.catalogs:
            await self._send_catalog(name)

    async def _halve(self, shipment: Shipment, now_s: float) -> None:
        """The request was too large. A batch that is too large alone will never pass."""
        count = len(shipment.plan.batches)
        self._most_batches = max(count // 2, 1)
        if count == 1:
            problem = "larger than the cloud takes (413)"
            stream, seq = shipment.plan.batches[0]
            log.error("batch_rejected", stream=stream, seq=seq, problem=problem)
            await self._outbox.replied(shipment.plan, Reply(rejected=(Rejected(index=0, problem=problem),)), now_s)

    async def _send_catalog(self, name: str) -> None:
        body = await self._outbox.catalog(name)
        if body is None:
            return
        answer = await self._request("PUT", f"/v1/catalogs/{name}", body, {"Content-Type": "application/json"})
        if not 200 <= answer.status < 300:
            log.warning("catalog_failed", catalog=name, status=answer.status, problem=_text(answer))

    async def _request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> _Answer:
        try:
            headers = {**headers, "Authorization": f"Bearer {self._token()}"}
            async with self._session.request(
                method, self._url + path, data=body, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                retry_after_s = _seconds(response.headers.get("Retry-After", ""))
                return _Answer(response.status, await response.read(), retry_after_s)
        except UplinkError as error:
            return _Answer(HTTPStatus.UNAUTHORIZED, problem=str(error))
        except (aiohttp.ClientError, TimeoutError) as error:
            return _Answer(problem=str(error) or type(error).__name__)


def _read_reply(body: bytes) -> Reply | None:
    """None for what is no reply: a captive portal answers 200 to everything."""
    try:
        return Reply.model_validate_json(body)
    except ValidationError:
        return None


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() else 0.0


def _text(answer: _Answer) -> str:
    return answer.problem or answer.body[:LONGEST_PROBLEM].decode(errors="replace")
