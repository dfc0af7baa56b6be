"""The web process on the real database and bus, with a fleet, its people, and a short way in for facts."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer

from cloud import static
from cloud.access import accounts
from cloud.bus import Bus
from cloud.database import Pool, make_pool
from cloud.streams.entries import LiveMessage
from cloud.telemetry.facts import facts_of
from cloud.telemetry.store import Arrival, Store
from cloud.web import make_app
from cloud.ws.feed import Feed
from cloud.ws.hub import Hub
from cloud.ws.sockets import SLOW_AFTER_S, Sockets
from wire.codec import encode_batch
from wire.envelope import StreamClaim
from wire.model import Batch
from wire.names import shard_of

STREAM = "01890a5d-ac96-774b-bcce-b302099a8057"
SHARDS = 4
PASSWORD = "correct horse"


@dataclass
class Stand:
    db: Pool
    bus: Bus
    store: Store
    feed: Feed
    live: Sockets
    server: TestServer
    http: aiohttp.ClientSession
    tokens: Mapping[str, str]

    def url(self, path: str) -> str:
        return str(self.server.make_url("/")).rstrip("/") + path

    def bearer(self, who: str = "viewer") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[who]}"}

    async def get(self, path: str, *, who: str = "viewer", expect: int = 200, **query: Any) -> Any:
        """The JSON of a reply that has the expected status."""
        parameters = [(key.rstrip("_"), str(item)) for key, value in query.items() for item in _many(value)]
        async with self.http.get(self.url(path), params=parameters, headers=self.bearer(who)) as response:
            assert response.status == expect, await response.text()
            return await response.json(content_type=None)

    async def text(self, path: str, **query: str) -> tuple[str, Mapping[str, str]]:
        parameters = {key.rstrip("_"): value for key, value in query.items()}
        async with self.http.get(self.url(path), params=parameters, headers=self.bearer()) as response:
            assert response.status == 200, await response.text()
            return await response.text(), response.headers

    async def send(
        self, method: str, path: str, *, body: object = None, who: str = "admin", expect: int
    ) -> dict[str, Any]:
        async with self.http.request(method, self.url(path), json=body, headers=self.bearer(who)) as response:
            text = await response.text()
            assert response.status == expect, text
            return json.loads(text) if text else {}

    async def write(self, *batches: Batch, claims: tuple[StreamClaim, ...] = ()) -> None:
        """As the writer does, in one transaction."""
        arrivals = [Arrival(b.vehicle, b.stream, b.seq, facts_of(b), b.catalog) for b in batches]
        if claims:
            arrivals.append(Arrival("a", claims=claims))
        await self.store.commit(arrivals)

    async def publish(self, batch: Batch, *, dense: bool = True) -> None:
        """As ingest does."""
        message = LiveMessage(batch.vehicle, now_ms(), encode_batch(batch, dense=dense))
        await self.bus.publish_live(shard_of(batch.vehicle, SHARDS), [message])


@contextlib.asynccontextmanager
async def web_stand(
    database_url: str, redis_url: str, *, dashboard: Path = static.DASHBOARD, slow_after_s: float = SLOW_AFTER_S
) -> AsyncIterator[Stand]:
    """Vehicles a, b and c; `other` in a fleet of its own; users and tokens admin, viewer and stranger."""
    async with (
        make_pool(database_url, size=4, name="test") as db,
        Bus(redis_url) as bus,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        await accounts.add_fleet(db, "others")
        await accounts.add_vehicles(db, ["a", "b", "c"])
        await accounts.add_vehicles(db, ["other"], fleet="others")
        await accounts.add_user(db, "admin", PASSWORD, role="admin")
        tokens = {
            "admin": await accounts.add_token(db, "admin", role="admin"),
            "viewer": await accounts.add_token(db, "viewer", role="viewer"),
            "stranger": await accounts.add_token(db, "stranger", role="admin", fleet="others"),
        }
        hub = Hub()
        feed = Feed(hub, db, bus, shards=SHARDS)
        live = Sockets(hub, feed, db, slow_after_s=slow_after_s)
        server = TestServer(make_app(db, bus, live, shards=SHARDS, dashboard=dashboard))
        async with server:
            feeding = asyncio.create_task(feed.run(), name="feed")
            try:
                yield Stand(db, bus, Store(db), feed, live, server, http, tokens)
            finally:
                feeding.cancel()
                await asyncio.wait([feeding])
                await live.close()


def batch(vehicle: str = "a", *, seq: int = 0, t0: int, **content: Any) -> Batch:
    return Batch(vehicle=vehicle, stream=STREAM, seq=seq, t0=t0, **content)


def column(*samples: tuple[int, float]) -> dict[str, Any]:
    return {"dt": [dt for dt, _ in samples], "v": [v for _, v in samples]}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _many(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
