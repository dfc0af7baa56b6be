"""Services of a test's own, to hurt: what the fixtures private_services and private_redis hand out."""

import os
import signal
from pathlib import Path

from cloud.services import embedded
from cloud.services.processes import wait_gone


class PrivateServices:
    """Services in a home of their own, for a test that wants to hurt them."""

    def __init__(self, home: Path) -> None:
        self.home = home

    async def start(self, *names: str) -> embedded.Services:
        """Start what is missing; after kill() on the same port with the same data."""
        return await embedded.start(self.home, wanted=names or embedded.ALL, durable=False, say=_quiet)

    def status(self) -> embedded.Services:
        return embedded.status(self.home)

    def running(self, name: str) -> embedded.Running:
        return embedded.status(self.home).running[name]

    async def kill(self, name: str) -> None:
        """kill -9, and the process gone."""
        process = self.running(name).process
        os.kill(process.pid, signal.SIGKILL)
        await wait_gone(process)

    async def stop(self, *names: str) -> None:
        await embedded.stop(self.home, wanted=names or embedded.ALL, say=_quiet)


class PrivateRedis:
    """One Redis of a test's own."""

    def __init__(self, services: PrivateServices, url: str) -> None:
        self._services = services
        self.url = url

    async def kill(self) -> None:
        await self._services.kill("redis")

    async def restart(self) -> None:
        """Start it again after kill() or stop(): same port, same data."""
        await self._services.start("redis")

    async def stop(self) -> None:
        await self._services.stop("redis")


def _quiet(line: str) -> None:
    """Progress is of no interest in a test run."""
