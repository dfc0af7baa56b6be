"""Keeps processes alive: starts them in order, restarts what ends, stops them in reverse order.

A unit is one process to be kept: a child of ours (`Child`) or an embedded service (`Embedded`), which is a daemon.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from cloud.errors import CloudError
from cloud.services import embedded
from cloud.services.processes import dying_with_parent, wait_gone

Say = Callable[[str], None]
Probe = Callable[[], Awaitable[bool]]
LONG_LIFE_S = 60.0  # who lived this long did not fail at starting
_LOG_LIMIT_BYTES = 10_000_000
_POLL_S = 0.05


class ChildFailed(CloudError):
    """A process ended, or did not become ready, while it was being started for the first time."""


class Unit(Protocol):
    @property
    def name(self) -> str: ...

    async def start(self) -> int:
        """Start it and return its pid. Raises CloudError when that is not possible now."""
        ...

    async def until_ready(self) -> None:
        """Returns when it serves. Raises ChildFailed when it ended or took too long."""
        ...

    async def ended(self) -> str:
        """Waits for its end; returns how, for people."""
        ...

    async def stop(self) -> None: ...


@dataclass(frozen=True)
class Order:
    """How a child is run."""

    name: str
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    ready: Probe | None = None
    ready_within_s: float = 60.0
    stop_within_s: float = 15.0


class Child:
    """A process of ours; ends (SIGTERM) when the supervisor is killed."""

    def __init__(self, order: Order) -> None:
        self.name = order.name
        self._order = order
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> int:
        order = self._order
        order.log.parent.mkdir(parents=True, exist_ok=True)
        if order.log.exists() and order.log.stat().st_size > _LOG_LIMIT_BYTES:
            order.log.rename(order.log.with_suffix(".log.1"))
        with order.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *dying_with_parent(order.argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(order.env),
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops them in order
            )
        return self._process.pid

    async def until_ready(self) -> None:
        assert self._process is not None
        if self._order.ready is None:
            return
        try:
            async with asyncio.timeout(self._order.ready_within_s):
                while not await self._order.ready():
                    if self._process.returncode is not None:
                        raise ChildFailed(
                            f"{self.name} {await self.ended()}; the end of {self._order.log}:\n{self._tail()}"
                        )
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise ChildFailed(
                f"{self.name} was not ready within {self._order.ready_within_s:.0f} s; "
                f"the end of {self._order.log}:\n{self._tail()}"
            ) from None

    async def ended(self) -> str:
        assert self._process is not None
        status = await self._process.wait()
        self._kill_group()
        return describe_end(status)

    async def stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(self._order.stop_within_s):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self._kill_group()

    def _kill_group(self) -> None:
        """What the process started and did not end itself."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _tail(self) -> str:
        lines = self._order.log.read_text(errors="replace").splitlines()[-5:]
        return "\n".join(f"  {line}" for line in lines)


class Embedded:
    """One of the embedded services. It is a daemon: it may have been there before us."""

    def __init__(self, name: str, home: Path, say: Say) -> None:
        self.name = name
        self._home = home
        self._say = say

    async def start(self) -> int:
        services = await embedded.start(self._home, wanted=[self.name], say=self._say)
        return services.pids[self.name]

    async def until_ready(self) -> None:
        """start() returned when it served."""

    async def ended(self) -> str:
        running = embedded.read_services(self._home).running.get(self.name)
        if running:
            await wait_gone(running.process)
        return "ended"

    async def stop(self) -> None:
        await embedded.stop(self._home, wanted=[self.name], say=self._say)


class Supervisor:
    """Owner of the units and of one watching task each."""

    def __init__(self, *, say: Say, delay_s: Callable[[int], float] | None = None) -> None:
        """`delay_s` gives how long to wait before the next start after so many failures; restart_delay_s if None."""
        self.pids: dict[str, int] = {}
        self._say = say
        self._delay_s = delay_s or restart_delay_s
        self._on_change: Callable[[], object] = lambda: None
        self._units: list[Unit] = []
        self._watchers: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, *units: Unit) -> None:
        """Start units, wait until all are ready, keep them from then on. Raises CloudError when one does not start."""
        for unit in units:
            self._units.append(unit)
            self.pids[unit.name] = await unit.start()
        for unit in units:
            await unit.until_ready()
            self._watchers[unit.name] = asyncio.create_task(self._keep(unit), name=f"keep {unit.name}")

    async def run(self, on_change: Callable[[], object]) -> None:
        """Until cancelled, or until a watching task fails, which is a defect.

        `on_change` is called now, and after a unit was restarted and is ready again.
        """
        self._on_change = on_change
        on_change()
        await asyncio.gather(*self._watchers.values())

    async def stop(self) -> None:
        """Stop all, the last started first."""
        for watcher in self._watchers.values():
            watcher.cancel()
        await asyncio.gather(*self._watchers.values(), return_exceptions=True)
        self._watchers.clear()
        while self._units:
            unit = self._units.pop()
            await unit.stop()
            self.pids.pop(unit.name, None)

    async def _keep(self, unit: Unit) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        started = loop.time()
        how = await unit.ended()
        while True:
            failures = 0 if loop.time() - started >= LONG_LIFE_S else failures
            delay_s = self._delay_s(failures)
            when = f" in {delay_s:g} s" if delay_s else ""
            self._say(f"{unit.name} (pid {self.pids[unit.name]}) {how}; starting it again{when}")
            await asyncio.sleep(delay_s)
            failures += 1
            started = loop.time()
            try:
                self.pids[unit.name] = await unit.start()
                await unit.until_ready()
            except CloudError as error:
                how = f"did not start: {error}"
                await unit.stop()
                continue
            self._on_change()
            self._say(f"{unit.name} runs again (pid {self.pids[unit.name]})")
            how = await unit.ended()


def restart_delay_s(failures: int) -> float:
    """At once after a first end; then half a second, doubled each time, up to 30 s."""
    return min(30.0, 0.25 * 2.0**failures) if failures else 0.0


def describe_end(status: int) -> str:
    """A process's return code in words."""
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
