"""The web process: the history API, the live socket and the dashboard on one port."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cloud import static
from cloud.access.auth import require_credential
from cloud.api.app import OPENAPI, add_api, problems
from cloud.api.routes import ROUTES
from cloud.bus import Bus
from cloud.config import CloudConfig
from cloud.database import UNAVAILABLE, Pool, make_pool
from cloud.errors import BusDown, DatabaseError
from cloud.runtime import add_health, make_registry, serve
from cloud.streams.entries import batch_name
from cloud.ws import sockets
from cloud.ws.feed import Feed
from cloud.ws.hub import Hub
from cloud.ws.sockets import Sockets
from wire.names import shard_of

CONNECTIONS = 8
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self'; worker-src 'self' blob:; child-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""MapLibre makes its workers from blobs; the component library sets styles in the page."""

HEADERS = {
    "Server": "fleetwire",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


async def run(config: CloudConfig, stop: asyncio.Event, say: Callable[[str], None]) -> None:
    """Serves until `stop` is set. Raises PortTaken for a port that was asked for and is another's."""
    async with make_pool(config.database_url, size=CONNECTIONS, name="web") as db, Bus(config.redis_url) as bus:
        hub = Hub()
        feed = Feed(hub, db, bus, shards=config.shards)
        live = Sockets(hub, feed, db)
        app = make_app(db, bus, live, shards=config.shards)
        fixed = config.was_set("web_port")
        async with serve(app, host=config.host, port=config.web_port, fixed=fixed) as address:
            async with asyncio.TaskGroup() as tasks:
                feeding = tasks.create_task(feed.run(), name="live-feed")
                say(f"Fleetwire is at {address}")
                await stop.wait()
                feeding.cancel()
            await live.close()


def make_app(db: Pool, bus: Bus, live: Sockets, *, shards: int, dashboard: Path = static.DASHBOARD) -> web.Application:
    async def in_flight(vehicle: str, batches: Sequence[tuple[str, int]]) -> Sequence[bool]:
        try:
            names = [batch_name(vehicle, stream, seq) for stream, seq in batches]
            return await bus.in_flight(shard_of(vehicle, shards), names)
        except BusDown:
            return [False] * len(batches)

    async def database() -> None:
        try:
            await db.fetchval("SELECT 1")
        except UNAVAILABLE as error:
            raise DatabaseError(f"the database does not answer: {error or type(error).__name__}") from error

    registry = make_registry()
    public = frozenset({("GET", OPENAPI), *((route.method, route.path) for route in ROUTES if route.role is None)})
    app = web.Application(middlewares=[_measure(registry, live), problems, require_credential(db, public=public)])
    app.on_response_prepare.append(_secure)
    add_health(app, {"database": database, "redis": bus.ping}, registry)
    add_api(app, db, in_flight)
    app.router.add_get(sockets.PATH, live.handle)
    app.router.add_get(r"/{path:(?!v1(?:/|$)).*}", static.StaticSite(dashboard).handle)
    return app


async def _secure(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _measure(registry: CollectorRegistry, live: Sockets) -> Middleware:
    """Requests by route, and how long they took."""
    count = Counter("fleetwire_web_requests", "Requests answered", ("method", "route", "status"), registry=registry)
    took = Histogram("fleetwire_web_request_seconds", "Time to the end of a reply", ("route",), registry=registry)
    Gauge("fleetwire_live_clients", "Open live sockets", registry=registry).set_function(lambda: live.count)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        response = await handler(request)
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "none"
        count.labels(request.method, route, response.status).inc()
        if response.headers.get(hdrs.UPGRADE) is None:
            took.labels(route).observe(time.perf_counter() - started)
        return response

    return middleware
