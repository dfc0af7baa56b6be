"""The shell around each of the cloud's processes: logs, signals, a port, health and metrics."""

import asyncio
import contextlib
import errno
import gc
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from cloud.errors import CloudError, PortTaken
from cloud.running import allocator

PORTS_TO_TRY = 100
SHUTDOWN_S = 5.0
BACKLOG = 1024
NEW_OBJECTS = 20_000
"""Between two looks for garbage; requests under way are some hundreds each."""

Protocols = Callable[[], asyncio.BaseProtocol]
"""A new connection's."""
Main = Callable[[asyncio.Event], Awaitable[None]]
Check = Callable[[], Awaitable[object]]

_NONE: Mapping[str, Check] = {}
log = structlog.get_logger()


def run(main: Main) -> None:
    """Runs `main` until it returns; SIGTERM and SIGINT ask it to. Raises the CloudError that ended it."""
    allocator.settle()
    set_up_logging()
    gc.freeze()  # what was imported is never garbage, and looking at it again and again took a tenth of ingest's time
    gc.set_threshold(NEW_OBJECTS)
    try:
        asyncio.run(_until_signalled(main))
    except BaseExceptionGroup as group:
        of_ours, others = group.split(CloudError)
        if of_ours is None or others is not None:
            raise
        raise _first(of_ours) from group


def set_up_logging() -> None:
    """Events with fields on stderr: for people on a terminal, JSON lines elsewhere."""
    on_terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def make_registry() -> CollectorRegistry:
    """A process's own metrics, with those of the process itself."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def add_health(
    app: web.Application, checks: Mapping[str, Check], registry: CollectorRegistry, *, also: Mapping[str, Check] = _NONE
) -> None:
    """`/healthz` while the event loop turns, `/readyz` when every check passes (it raises when not), `/metrics`.

    What is in `also` is told by `/readyz`, but the process can do its work without it.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        every = {**also, **checks}
        found = dict(zip(every, await asyncio.gather(*map(_outcome, every.values())), strict=True))
        ready = all(found[name] is None for name in checks)
        body = {"status": "ready" if ready else "not ready", "checks": {n: p or "ok" for n, p in found.items()}}
        return web.json_response(body, status=200 if ready else 503)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)


@contextlib.asynccontextmanager
async def serve(
    app: web.Application,
    *,
    host: str,
    port: int,
    fixed: bool,
    auto_decompress: bool = True,
    front: Callable[[Protocols], AbstractAsyncContextManager[Protocols]] = nullcontext,
) -> AsyncIterator[str]:
    """Serves and gives the address. A `fixed` port that is taken raises PortTaken, else the next free one is used.

    `front` is given what makes the app's connections, and gives what makes the listener's; it ends when serving ends.
    """
    with listen(host, port, fixed=fixed) as listener:
        bound = listener.getsockname()[1]
        if port and bound != port:
            log.warning("port taken, using the next free one", wanted=port, port=bound)
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=SHUTDOWN_S,
            auto_decompress=auto_decompress,
        )
        await runner.setup()
        try:
            assert runner.server is not None
            async with front(runner.server) as protocols:
                server = await asyncio.get_running_loop().create_server(protocols, sock=listener, backlog=BACKLOG)
                try:
                    yield f"http://{f'[{host}]' if ':' in host else host}:{bound}"
                finally:
                    server.close()
        finally:
            await runner.cleanup()


def listen(host: str, port: int, *, fixed: bool) -> socket.socket:
    """A bound socket, so that nobody can take the port between looking and using."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port, port + 1 if fixed or not port else min(port + PORTS_TO_TRY, 65536)):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            # SO_REUSEADDR lets two sockets bind, but only one listen.
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise CloudError(f"cannot listen on {host}: {error.strerror}") from error
        else:
            return listener
    raise PortTaken(host, port)


async def _until_signalled(main: Main) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await main(stop)


def _first(group: BaseExceptionGroup[CloudError]) -> CloudError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


async def _outcome(check: Check) -> str | None:
    try:
        async with asyncio.timeout(2):
            await check()
    except (CloudError, OSError, TimeoutError) as error:
        return str(error) or type(error).__name__
    return None
