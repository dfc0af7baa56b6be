"""A cloud in miniature, for a vehicle that has none at hand: it takes batches, queues, commits and settles them.

The ledger's rules are the cloud's own (`wire.ledger`). What stands in the queue can be wiped, as a Redis can.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, Final

import zstandard
from aiohttp import web
from pydantic import ValidationError

from simulator.proof.account import Content, Key, Received
from wire.codec import decode_batch
from wire.envelope import Request, StreamClaim, parse_request
from wire.ledger import StreamLedger
from wire.model import Batch

TOKEN: Final = "fwd_proof"
COMMIT_EVERY_S: Final = 0.2
_LARGEST_BYTES: Final = 64 * 2**20


class Receiver:
    """Answers `POST /v1/batches` and `PUT /v1/catalogs/{hash}`."""

    def __init__(self) -> None:
        self.requests = 0
        self._ledgers: dict[str, StreamLedger] = {}
        self._rows: dict[Key, Content] = {}
        self._lost: dict[Key, str] = {}
        self._contents: Counter[bytes] = Counter()
        self._arrivals: Counter[Key] = Counter()
        self._queue: list[Batch | StreamClaim] = []
        self._queue_number = 0

    @property
    def batches(self) -> int:
        """How many are committed."""
        return len(self._rows)

    def wipe_queue(self) -> None:
        """What was accepted and is not committed is forgotten, as when a Redis loses its memory."""
        self._queue.clear()
        self._queue_number += 1

    def received(self) -> Received:
        """What is there in the end."""
        return Received(
            rows=self._rows,
            lost=self._lost,
            repeats=sum(count - 1 for count in self._arrivals.values()),
            duplicated=sum(count - 1 for count in self._contents.values()),
        )

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[int]:
        """Gives the port of this machine on which it listens."""
        app = web.Application(client_max_size=_LARGEST_BYTES)
        app.router.add_post("/v1/batches", self._take_request)
        app.router.add_put("/v1/catalogs/{hash}", self._take_catalog)
        runner = web.AppRunner(app, auto_decompress=False, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        committing = asyncio.create_task(self._commit_for_ever(), name="commit")
        try:
            yield runner.addresses[0][1]
        finally:
            committing.cancel()
            await asyncio.wait([committing])
            await runner.cleanup()

    def store(self, batch: Batch) -> None:
        """Commit one batch that is not there yet."""
        key = (batch.stream, batch.seq)
        self._rows[key] = content_of(batch)
        self._contents[_digest(batch)] += 1

    def commit(self) -> None:
        """Everything that is queued, by the rules of the ledger."""
        queue, self._queue = self._queue, []
        for entry in queue:
            ledger = self._ledgers.get(entry.stream, StreamLedger())
            if isinstance(entry, StreamClaim):
                causes = {seq: cause for low, high, cause in entry.lost for seq in range(low, high + 1)}
                self._lost |= {(entry.stream, seq): causes[seq] for seq in ledger.newly_lost(entry).numbers()}
                ledger = ledger.declare(entry)
            elif fresh := ledger.fresh([entry.seq]):
                self.store(entry)
                ledger = ledger.store(fresh)
            self._ledgers[entry.stream] = ledger

    async def _commit_for_ever(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_EVERY_S)
            self.commit()

    async def _take_request(self, http: web.Request) -> web.Response:
        if http.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=HTTPStatus.UNAUTHORIZED)
        try:
            body = zstandard.ZstdDecompressor().decompress(await http.read(), max_output_size=_LARGEST_BYTES)
            request = parse_request(json.loads(body))
        except (ConnectionError, zstandard.ZstdError, ValueError, ValidationError):  # a cut in the middle of it, too
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        self.requests += 1
        return web.json_response(self._reply(request))

    async def _take_catalog(self, http: web.Request) -> web.Response:
        with suppress(ConnectionError):
            await http.read()
        return web.Response(status=HTTPStatus.NO_CONTENT)

    def _reply(self, request: Request) -> dict[str, Any]:
        accepted: list[dict[str, Any]] = []
        rejected: list[dict[str, Any]] = []
        for index, raw in enumerate(request.batches):
            try:
                batch = decode_batch(raw)
            except ValueError as error:
                rejected.append({"index": index, "problem": str(error)})
                continue
            self._arrivals[batch.stream, batch.seq] += 1
            self._queue.append(batch)
            accepted.append({"stream": batch.stream, "seq": batch.seq})
        self._queue += request.streams
        views = [self._ledgers.get(claim.stream, StreamLedger()).view(claim.stream) for claim in request.streams]
        return {
            "accepted": accepted,
            "rejected": rejected,
            "settled": [view.model_dump() for view in views],
            "bus": f"queue-{self._queue_number}",
            "epoch": "proof",
            "catalogs": [],
        }


def content_of(batch: Batch) -> Content:
    """How much is in it."""
    samples = sum(len(column.v) for column in batch.signals.values())
    return Content(samples, 0 if batch.fixes is None else len(batch.fixes.dt))


def _digest(batch: Batch) -> bytes:
    """Of what is in it, whatever its number."""
    content = batch.model_dump_json(exclude={"stream", "seq"})
    return hashlib.sha256(content.encode()).digest()
