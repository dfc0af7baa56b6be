"""Start, stop and find the embedded services of one home.

`services/settings.json` in the home keeps each server's port and password for good; `services.json` says what runs
now (and is gone when nothing does). Both are for the owner only.
"""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cloud.access.private_file import read_private, write_private
from cloud.services.errors import ServiceError
from cloud.services.lock import file_lock
from cloud.services.mosquitto import Mosquitto
from cloud.services.ports import home_port, next_free_port, port_is_free
from cloud.services.postgres import Postgres
from cloud.services.processes import Process, command_name, end, is_alive, parent_of, wait_gone
from cloud.services.redis import Redis
from cloud.services.root import cache_folder, ensure_sandbox
from cloud.services.sandbox import Sandbox
from cloud.services.server import Server

Say = Callable[[str], None]
URL_KEYS = {"postgres": "database_url", "redis": "redis_url", "mosquitto": "mqtt_url"}
ALL = tuple(URL_KEYS)
_START_PATIENCE_S = 120.0  # PostgreSQL after a crash first replays its log
_STOP_PATIENCE_S = 30.0
_LOG_LIMIT_BYTES = 10_000_000


@dataclass(frozen=True)
class Running:
    """One server that was started: where it listens and the server's own process (not the sandbox's)."""

    name: str
    url: str
    port: int
    process: Process


@dataclass(frozen=True)
class Services:
    """What runs, by name."""

    running: Mapping[str, Running] = field(default_factory=dict)

    def url(self, name: str) -> str | None:
        return self.running[name].url if name in self.running else None

    @property
    def pids(self) -> dict[str, int]:
        return {name: one.process.pid for name, one in self.running.items()}


def wanted_services(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The services that no URL in the environment replaces."""
    return tuple(name for name, key in URL_KEYS.items() if not environ.get(f"FLEETWIRE_{key.upper()}"))


async def start(
    home: Path,
    *,
    wanted: Collection[str] = ALL,
    durable: bool = True,
    say: Say = print,
    environ: Mapping[str, str] = os.environ,
) -> Services:
    """Bring up what is wanted and not yet there; what runs already is left alone. Returns when all of it serves."""
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    (home / "services").mkdir(exist_ok=True, mode=0o700)
    async with _lock(home, say):
        found = _alive(read_services(home))
        missing = [server for server in _servers(durable) if server.name in wanted and server.name not in found.running]
        if missing:
            sandbox = await ensure_sandbox(cache_folder(environ), say)
            running = dict(found.running)
            try:
                async with asyncio.TaskGroup() as tasks:
                    for server in missing:
                        tasks.create_task(_start_one(_Start(home, sandbox, server, say), running), name=server.name)
            except* ServiceError as errors:
                raise ServiceError("\n".join(str(error) for error in errors.exceptions)) from None
        services = read_services(home)
        for server in _servers(durable):
            if server.name in wanted and server.name in found.running:
                await _until_serving(server, home, services.running[server.name])
        return services


async def stop(home: Path, *, wanted: Collection[str] = ALL, say: Say = print) -> list[str]:
    """End what runs, in order, killing what does not end. Returns the names of what had run."""
    home = home.absolute()
    if not (home / "services").is_dir():
        return []
    async with _lock(home, say):
        services = _alive(read_services(home))
        for server in _servers(durable=True):
            if server.name in wanted and (one := services.running.get(server.name)):
                await _stop_one(server, one, say)
        stopped = [name for name in services.running if name in wanted]
        left = {name: one for name, one in services.running.items() if name not in wanted}
        _write_services(home, Services(left))
        return stopped


def status(home: Path) -> Services:
    """What runs now."""
    return _alive(read_services(home.absolute()))


def log_path(home: Path, name: str) -> Path:
    return home / "logs" / f"{name}.log"


def read_services(home: Path) -> Services:
    """What services.json says, whether it still runs or not."""
    stored = read_private(home / "services.json")
    return Services(
        {
            name: Running(name, stored[URL_KEYS[name]], one["port"], Process(one["pid"], one["started"]))
            for name, one in stored.get("processes", {}).items()
        }
    )


@dataclass(frozen=True)
class _Start:
    home: Path
    sandbox: Sandbox
    server: Server
    say: Say

    @property
    def folder(self) -> Path:
        return self.home / "services" / self.server.name


async def _start_one(order: _Start, running: dict[str, Running]) -> None:
    """Prepare, spawn, remember, wait; on another port when somebody was faster."""
    order.folder.mkdir(exist_ok=True, mode=0o700)
    log = log_path(order.home, order.server.name)
    log.parent.mkdir(exist_ok=True, mode=0o700)
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        log.rename(log.with_suffix(".log.1"))
    started = time.monotonic()
    port, password = _claim_settings(order)
    await asyncio.to_thread(order.server.prepare, order.sandbox, order.folder, port=port, password=password)
    # Not on a thread: a cancellation must not come between the daemon's start and the record of it.
    process = order.sandbox.spawn(order.server.argv(), data=order.folder, log=log)
    one = Running(order.server.name, order.server.url(port=port, password=password), port, process)
    running[one.name] = one
    _write_services(order.home, Services(running))
    try:
        await _until_serving(order.server, order.home, one)
    except ServiceError:
        del running[one.name]
        _write_services(order.home, Services(running))
        if is_alive(process) or port_is_free(port):
            await end(process, with_signal=order.server.stop_signal, patience_s=5)
            raise
        await _start_one(order, running)  # the port was taken between looking and listening
        return
    order.say(f"{one.name} on 127.0.0.1:{port} ({time.monotonic() - started:.1f} s)")


def _claim_settings(order: _Start) -> tuple[int, str]:
    """The server's port and password: as remembered, the port moved on where it is taken."""
    path = order.home / "services" / "settings.json"
    settings = read_private(path)
    name = order.server.name
    others = frozenset(one["port"] for other, one in settings.items() if other != name)
    mine = settings.get(name)
    if mine is None:
        mine = {"port": next_free_port(home_port(order.home), taken=others), "password": secrets.token_hex(24)}
    elif not port_is_free(mine["port"]):
        port = next_free_port(mine["port"] + 1, taken=others)
        order.say(f"port {mine['port']} of {name} was taken by another program; it is {port} now")
        mine = {**mine, "port": port}
    write_private(path, {**settings, name: mine})
    return mine["port"], mine["password"]


async def _until_serving(server: Server, home: Path, one: Running) -> None:
    password = read_private(home / "services" / "settings.json")[one.name]["password"]
    log = log_path(home, one.name)
    deadline = time.monotonic() + _START_PATIENCE_S
    while not await server.answers(port=one.port, password=password):
        if not is_alive(one.process):
            raise ServiceError(f"{one.name} ended instead of serving; the end of {log} says:\n{_tail(log)}")
        if time.monotonic() > deadline:
            raise ServiceError(f"{one.name} did not serve within {_START_PATIENCE_S:.0f} s; see {log}")
        await asyncio.sleep(0.05)


async def _stop_one(server: Server, one: Running, say: Say) -> None:
    sandbox_process = parent_of(one.process)
    if not await end(one.process, with_signal=server.stop_signal, patience_s=_STOP_PATIENCE_S):
        say(f"{one.name} (pid {one.process.pid}) did not stop within {_STOP_PATIENCE_S:.0f} s and was killed")
    if sandbox_process and command_name(sandbox_process) == "bwrap":
        await wait_gone(sandbox_process)


def _servers(durable: bool) -> tuple[Server, ...]:
    return Postgres(durable=durable), Redis(), Mosquitto()


def _alive(services: Services) -> Services:
    return Services({name: one for name, one in services.running.items() if is_alive(one.process)})


def _write_services(home: Path, services: Services) -> None:
    path = home / "services.json"
    if not services.running:
        path.unlink(missing_ok=True)
        return
    running = [services.running[name] for name in ALL if name in services.running]
    urls = {URL_KEYS[one.name]: one.url for one in running}
    processes = {one.name: {"port": one.port, **asdict(one.process)} for one in running}
    write_private(path, {**urls, "pids": services.pids, "processes": processes})


def _tail(log: Path, lines: int = 10) -> str:
    return "\n".join(f"  {line}" for line in log.read_text(errors="replace").splitlines()[-lines:])


def _lock(home: Path, say: Say) -> contextlib.AbstractAsyncContextManager[None]:
    """One start or stop at a time in a home."""
    waiting = "another start or stop of these services is under way; waiting for it"
    return file_lock(home / "services" / "lock", waiting=waiting, say=say)
