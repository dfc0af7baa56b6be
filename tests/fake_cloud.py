"""A cloud in memory that speaks the device-facing contract: it takes batches, settles them, forgets them on demand."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import zstandard
from aiohttp import web
from aiohttp.test_utils import TestServer

from wire.campaign import campaign_etag
from wire.codec import decode_batch
from wire.envelope import Request, Settled, parse_request
from wire.model import Batch
from wire.ranges import EMPTY, RangeSet

TOKEN = "fwd_test"


class FakeCloud:
    """Answers `POST /v1/batches` and `PUT /v1/catalogs/{hash}`. What it does next is set by its attributes."""

    def __init__(self) -> None:
        self.token = TOKEN
        self.bus, self.epoch = "bus-1", "epoch-1"
        self.settles = True
        """Whether what is accepted is committed at once; else `commit()` does it."""
        self.is_down = False
        self.turned_away = 0
        self.failures: list[web.Response] = []
        """Given one by one instead of replies."""
        self.most_batches: int | None = None
        self.refuses: Callable[[Batch], str | None] = lambda _: None
        self.wanted_catalogs: list[str] = []
        self.campaign: bytes | None = None
        """What the vehicle is meant to go by; None says nothing of it."""
        self.campaigns_given: list[int] = []
        """How many requests had come, each time when it was asked for."""
        self.batches: dict[tuple[str, int], Batch] = {}
        """What is in the database."""
        self.queue: dict[tuple[str, int], Batch] = {}
        """What is in the queue in front of it."""
        self.lost: dict[str, RangeSet] = {}
        self.catalogs: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.received: list[tuple[str, int]] = []
        """Every batch in the order of its arrival, repeats too."""
        self._heard = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for `condition`, which is looked at whenever a request arrives."""
        async with asyncio.timeout(60):
            while not condition():
                await self._heard.wait()
                self._heard.clear()

    def commit(self) -> None:
        self.batches |= self.queue
        self.queue = {}

    def lose_queue(self) -> None:
        self.queue = {}
        self.bus += "+"

    def restore(self, batches: dict[tuple[str, int], Batch]) -> None:
        """The database is back in an earlier state."""
        self.batches = dict(batches)
        self.lost = {}
        self.epoch += "+"

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/batches", self._batches)
        app.router.add_put("/v1/catalogs/{hash}", self._catalog)
        app.router.add_get("/v1/campaign", self._campaign)
        return app

    async def _catalog(self, request: web.Request) -> web.Response:
        self.catalogs[request.match_info["hash"]] = await request.read()
        return web.Response(status=204)

    async def _campaign(self, _: web.Request) -> web.Response:
        self.campaigns_given.append(len(self.requests))
        return web.Response(body=self.campaign)

    async def _batches(self, http: web.Request) -> web.Response:
        self._heard.set()
        body = json.loads(zstandard.ZstdDecompressor().decompress(await http.read()))
        if http.headers["Authorization"] != f"Bearer {self.token}":
            return web.Response(status=401)
        if self.is_down:
            self.turned_away += 1
            return web.Response(status=503)
        if self.failures:
            return self.failures.pop(0)
        request = parse_request(body)
        if self.most_batches is not None and len(request.batches) > self.most_batches:
            return web.Response(status=413)
        self.requests.append(request)
        return web.json_response(self.reply(request))

    def take(self, body: bytes) -> bytes:
        """What is sent, and what is answered, without HTTP."""
        return json.dumps(self.reply(parse_request(json.loads(zstandard.ZstdDecompressor().decompress(body))))).encode()

    def reply(self, request: Request) -> dict[str, Any]:
        accepted, rejected = [], []
        for index, raw in enumerate(request.batches):
            batch = decode_batch(raw)
            name = {"stream": batch.stream, "seq": batch.seq}
            self.received.append((batch.stream, batch.seq))
            if problem := self.refuses(batch):
                rejected.append({"index": index, "problem": problem, **name})
            else:
                accepted.append(name)
                if (batch.stream, batch.seq) not in self.batches:
                    self.queue[batch.stream, batch.seq] = batch
        for claim in request.streams:
            lost = RangeSet((low, high) for low, high, _ in claim.lost)
            self.lost[claim.stream] = self.lost.get(claim.stream, EMPTY) | lost
        if self.settles:
            self.commit()
        return {
            "accepted": accepted,
            "rejected": rejected,
            "settled": [
                Settled.describe(claim.stream, self._settled(claim.stream)).model_dump() for claim in request.streams
            ],
            "bus": self.bus,
            "epoch": self.epoch,
            "campaign": None if self.campaign is None else campaign_etag(self.campaign),
            "catalogs": [name for name in self.wanted_catalogs if name not in self.catalogs],
        }

    def _settled(self, stream: str) -> RangeSet:
        received = RangeSet.of(seq for name, seq in self.batches if name == stream)
        return received | self.lost.get(stream, EMPTY)


@asynccontextmanager
async def serve(cloud: FakeCloud) -> AsyncIterator[str]:
    """Run the cloud on a free port of this machine; gives its address."""
    server = TestServer(cloud.app())
    await server.start_server(auto_decompress=False)
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()
