"""Many vehicles in one process, through the agent's own batcher, spool and uplink."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import aiohttp

from edge.errors import EdgeError
from edge.outbox import Outbox
from edge.spool import Spool
from edge.uplink import Uplink
from edge.ways.pacing import Timings
from edge.ways.uplink_http import HttpTransport
from simulator.errors import SimulatorError
from simulator.fleet_plan import Credential, FleetPlan
from simulator.fleet_vehicle import TICK_S, FleetVehicle, fleet_catalog, memory_path, settle_in
from wire.catalog import catalog_body, catalog_hash

SPOOL_BYTES: Final = 16_000_000  # about half a day
REMEMBER_EVERY_TICKS: Final = 10
FIRST_REPORT_S: Final = 5.0
REPORT_EVERY_S: Final = 60.0
LAST_WORDS_S: Final = 2.0
"""How long the end waits for what was just stored to be taken; the spools keep the rest."""
TIMINGS: Final = Timings(poll_first_s=3.0)  # a batch every two seconds brings the reply that settles the ones before


@dataclass(slots=True)
class FleetCounts:
    """What the fleet did since its start."""

    vehicles: int
    samples: int = 0
    fixes: int = 0
    settled: int = 0
    unsettled: int = 0
    failures: int = 0


class Member:
    """One vehicle with its spool and its uplink."""

    def __init__(self, plan: FleetPlan, credential: Credential, route: str, *, now_ms: int) -> None:
        ident = credential.vehicle
        self.ident = ident
        self._memory_path = memory_path(plan.home, ident)
        self._speed = plan.speed
        body = catalog_body(fleet_catalog())
        self._catalog = (catalog_hash(body), body)
        self._live = FleetVehicle(
            settle_in(route, seed=plan.seed, ident=ident, remembered=_read(self._memory_path)),
            catalog=self._catalog[0],
        )
        self._token = credential.token
        self._offset_s = Random(f"offset:{ident}").random() * TICK_S / plan.speed
        self._spool = Spool.open(plan.home / f"{ident}.db", vehicle=ident, max_bytes=SPOOL_BYTES, now_ms=now_ms)
        self.outbox = Outbox(self._spool)
        self.failures: Callable[[], int] = lambda: 0

    async def live(self, stop: asyncio.Event) -> None:
        """Tick on an absolute schedule until `stop`; then what is in the batcher goes into the spool."""
        await self.outbox.keep_catalog(*self._catalog)
        due_s = time.monotonic() + self._offset_s
        ticks = 0
        while not await _is_set_before(stop, due_s):
            drafts = self._live.tick(time.time_ns() // 1_000_000, round(due_s * 1000), speed=self._speed)
            await self.outbox.put(drafts)
            ticks += 1
            if ticks % REMEMBER_EVERY_TICKS == 0:
                self._remember()
            due_s = max(due_s + TICK_S / self._speed, time.monotonic() - TICK_S)
        await self.outbox.put(self._live.finish())
        self._remember()

    async def send(self, session: aiohttp.ClientSession, url: str) -> None:
        """Uplink for ever."""
        transport = HttpTransport(session, url=url, token=lambda: self._token)
        uplink = Uplink(self.outbox, transport, token=lambda: self._token, timings=TIMINGS)
        self.failures = lambda: uplink.counts.failures + uplink.counts.refused
        await uplink.run()

    def close(self) -> None:
        """Let go of the spool."""
        self._spool.close()

    def _remember(self) -> None:
        beside = self._memory_path.with_suffix(".new")
        beside.write_text(self._live.remember(), encoding="utf-8")
        beside.replace(self._memory_path)


async def run_fleet(plan: FleetPlan, stop: asyncio.Event, *, report: Callable[[FleetCounts], None]) -> FleetCounts:
    """Run until `stop`. Raises SimulatorError or EdgeError when a spool cannot be opened."""
    members = _open_members(plan)
    try:
        async with AsyncExitStack() as stack:
            for member in members:
                stack.callback(member.close)
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
            await _run(members, session, plan.ingest, stop, report)
    except* EdgeError as errors:
        raise SimulatorError(str(errors.exceptions[0])) from errors
    return count(members)


def count(members: Sequence[Member]) -> FleetCounts:
    """The sums over the fleet."""
    return FleetCounts(
        vehicles=len(members),
        samples=sum(member.outbox.counts.samples for member in members),
        fixes=sum(member.outbox.counts.fixes for member in members),
        settled=sum(member.outbox.counts.settled for member in members),
        unsettled=sum(member.outbox.unsettled for member in members),
        failures=sum(member.failures() for member in members),
    )


def _open_members(plan: FleetPlan) -> list[Member]:
    try:
        plan.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SimulatorError(f"{plan.home}: cannot be made: {error.strerror}; choose another --home") from error
    members: list[Member] = []
    try:
        for credential, route in zip(plan.credentials, plan.routes, strict=True):
            members.append(Member(plan, credential, route, now_ms=time.time_ns() // 1_000_000))
    except EdgeError:
        for member in members:
            member.close()
        raise
    return members


async def _run(
    members: Sequence[Member],
    session: aiohttp.ClientSession,
    url: str,
    stop: asyncio.Event,
    report: Callable[[FleetCounts], None],
) -> None:
    async with asyncio.TaskGroup() as group:
        background = [group.create_task(member.send(session, url), name=f"send:{member.ident}") for member in members]
        background.append(group.create_task(_report(members, report), name="report"))
        lives = [group.create_task(member.live(stop), name=f"live:{member.ident}") for member in members]
        await asyncio.gather(*lives)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await asyncio.gather(*(member.outbox.settled.wait() for member in members))
        for task in background:
            task.cancel()


async def _report(members: Sequence[Member], report: Callable[[FleetCounts], None]) -> None:
    wait_s = FIRST_REPORT_S
    while True:
        await asyncio.sleep(wait_s)
        report(count(members))
        wait_s = REPORT_EVERY_S


async def _is_set_before(stop: asyncio.Event, due_s: float) -> bool:
    """Wait until `due_s`, but not longer than until `stop`; returns whether it is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(due_s - time.monotonic()):
            await stop.wait()
    return stop.is_set()


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
