"""The system that is hurt: services and processes of its own, in a home of its own, and the ways to hurt them."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Final

from cloud.config import CloudConfig, load_cloud_config
from cloud.migrations import migrate
from cloud.running.local import address, answers_ready, choose_ports, cloud_orders
from cloud.running.supervisor import Child, Order, Supervisor
from cloud.services import embedded
from cloud.services.ports import FIRST, PortClaims, port_is_free
from cloud.services.processes import wait_gone

SERVICES: Final = ("postgres", "redis")
SECOND_WRITER: Final = "writer-2"
RESTART_S: Final = 0.05
POLL_S: Final = 0.02


class Stage:
    """Ingest, two writers and web, which are restarted at once; PostgreSQL and Redis, which the fault restarts."""

    def __init__(self, config: CloudConfig, supervisor: Supervisor) -> None:
        self.config = config
        self.web_url = address(config, config.web_port)
        self.peak_rss: dict[str, int] = {}
        """Bytes, the highest of each process that was seen so far."""
        self._supervisor = supervisor

    async def kill(self, name: str) -> None:
        """kill -9 of one of our processes; returns when it was started again."""
        self.note_memory()
        before = self._supervisor.pids[name]
        with suppress(ProcessLookupError):
            os.kill(before, signal.SIGKILL)
        await eventually(lambda: self._supervisor.pids[name] != before)

    @asynccontextmanager
    async def stopped(self, name: str) -> AsyncIterator[None]:
        """One of our processes sleeps (SIGSTOP) meanwhile."""
        pid = self._supervisor.pids[name]
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    async def kill_service(self, name: str) -> None:
        """kill -9 of PostgreSQL or Redis. It stays away until `start_services`."""
        process = embedded.status(self.config.home).running[name].process
        os.kill(process.pid, signal.SIGKILL)
        await wait_gone(process)

    async def stop_service(self, name: str) -> None:
        """In order."""
        await embedded.stop(self.config.home, wanted=[name], say=_quiet)

    async def start_services(self) -> None:
        """Those that are away, on the same ports with the same data."""
        await embedded.start(self.config.home, wanted=SERVICES, say=_quiet)

    async def until_web_serves(self) -> None:
        """Returns when the web process answers that it is ready."""
        ready = answers_ready(self.web_url)
        while True:
            if await ready():
                return
            await asyncio.sleep(POLL_S)

    def note_memory(self) -> None:
        """Look how much memory our processes used at most."""
        for name, pid in self._supervisor.pids.items():
            with suppress(OSError):
                found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
                if found:
                    self.peak_rss[name] = max(self.peak_rss.get(name, 0), 1000 * int(found[1]))


async def eventually(holds: Callable[[], bool]) -> None:
    """Returns when it does. For what another process changes, which cannot be awaited."""
    while True:
        if holds():
            return
        await asyncio.sleep(POLL_S)


@asynccontextmanager
async def stage(home: Path) -> AsyncIterator[Stage]:
    """Everything runs inside, nothing afterwards."""
    await embedded.start(home, wanted=SERVICES, say=_quiet)
    try:
        claims = PortClaims()
        config = choose_ports(load_cloud_config(None, {"FLEETWIRE_HOME": str(home)}), _quiet, claims)
        await migrate(config.database_url)
        async with Supervisor(say=_quiet, delay_s=lambda failures: RESTART_S if failures else 0.0) as supervisor:
            await supervisor.start(*map(Child, _orders(config, claims)))
            yield Stage(config, supervisor)
    finally:
        await embedded.stop(home, wanted=SERVICES, say=_quiet)


def _orders(config: CloudConfig, claims: PortClaims) -> Collection[Order]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("FLEETWIRE_")}
    orders = {order.name: order for order in cloud_orders(config, environ)}
    taken = {config.writer_port, config.ingest_port, config.web_port}
    free = (port for port in count(FIRST) if port not in taken and port_is_free(port, config.host))
    return [*orders.values(), _second_writer(orders["writer"], config, next(filter(claims.claim, free)))]


def _second_writer(writer: Order, config: CloudConfig, port: int) -> Order:
    env: Mapping[str, str] = {**writer.env, "FLEETWIRE_WRITER_PORT": str(port)}
    log = writer.log.with_name(f"{SECOND_WRITER}.log")
    return replace(writer, name=SECOND_WRITER, env=env, log=log, ready=answers_ready(address(config, port)))


def _quiet(line: str) -> None:
    """Progress is told by the rows."""
