"""The agent: sources → decoder → sampler → batcher → spool → uplink.

Data flows one way. Between the pipeline and the spool stands a short queue; when it is full the sources wait, and what
a live bus sends meanwhile waits in the reader's own queue, which counts what it must drop. Stopping goes in order:
intake, what still waits in the pipeline, the spool, one last request.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import asdict
from itertools import chain
from typing import Final

import structlog
from pydantic import JsonValue

from edge.agent_plan import Bus, Plan, faults, known_names, plan_agent, read_token
from edge.campaigns.blackbox_socket import serve_blackbox
from edge.campaigns.campaign_follower import CampaignFollower
from edge.campaigns.campaign_keeper import CampaignKeeper, Standing, campaign_file
from edge.campaigns.sampling_rules import sampling_rules
from edge.campaigns.selection import Selection
from edge.clock.clock_trust import ClockTrust
from edge.clock.clock_watch import Clock, ClockWatch
from edge.clock.kernel_clock import KernelClock
from edge.clock.timekeeper import Timekeeper
from edge.config import EdgeConfig
from edge.frame import Frame
from edge.gps import GpsReader
from edge.outbox import Outbox
from edge.pipeline import Output
from edge.progress import Progress
from edge.service.agent_status import StatusGatherer
from edge.service.health import HealthSignals
from edge.service.health_watch import HealthWatch
from edge.service.service_manager import NO_MANAGER, ServiceManager
from edge.service.status_socket import serve_status
from edge.spool import Spool
from edge.uplink import Uplink
from edge.ways.budget_watch import BudgetWatch
from edge.ways.budgets import Budgets
from edge.ways.uplink_way import open_ways
from edge.ways.uplink_ways import Ways
from edge.ways.usage import Usage

TICK_S: Final = 0.05
STATUS_S: Final = 60.0
QUEUED_OUTPUTS: Final = 8
LAST_REQUEST_S: Final = 3.0
REVIEW_S: Final = 10.0
"""How often it is seen whether the campaign has proven good."""
RESERVE_BYTES: Final = 4_000_000
"""Kept beside the spool to be given up on a full disk: room for its write-ahead log, which keeps to a fourth of it."""

OVERTAKEN_ADVICE: Final = (
    "an old image of the card was put back, or another agent has a copy: give each its own identity"
)

log = structlog.get_logger(__name__)


async def run_agent(
    config: EdgeConfig,
    stop: asyncio.Event,
    *,
    exit_when_settled: bool = False,
    manager: ServiceManager = NO_MANAGER,
    plan: Plan | None = None,
    make_outbox: Callable[[Spool], Outbox] = Outbox,
    clock: Clock | None = None,
) -> None:
    """Run until `stop` is set or, if asked to, until every replay has ended and all is settled.

    Whoever wants to watch gives the settings' plan and an outbox of their own.
    """
    plan = plan or plan_agent(config)
    read_token(config)
    clock = clock or KernelClock()
    async with AsyncExitStack() as opened:
        for bus in plan.buses:
            await opened.enter_async_context(bus.source)
        ways = await opened.enter_async_context(open_ways(config))
        spool = Spool.open(
            config.spool.path,
            vehicle=config.vehicle,
            max_bytes=config.spool.max_bytes,
            min_free_bytes=config.spool.min_free,
            reserve_bytes=RESERVE_BYTES,
            now_ms=_wall_ms(),
        )
        opened.callback(spool.close)
        outbox = make_outbox(spool)
        campaigns = CampaignKeeper(
            campaign_file(config.spool.path), lambda: known_names(plan), can_capture=plan.pipeline.ring is not None
        )
        follower = CampaignFollower(campaigns, ways, lambda standing: go_by(plan, standing, now_ms=watch.now_ms()))
        uplink = Uplink(outbox, ways, token=lambda: read_token(config), follow=follower.follow, ways=len(ways.ways))
        budgets = _keep_budgets(config, ways, spool)
        timekeeper = _keep_time(config, clock, spool)
        status = StatusGatherer(plan, outbox, uplink, timekeeper, campaigns, ways=ways, budgets=budgets)
        await opened.enter_async_context(serve_status(config.spool.path, status.gather))
        await opened.enter_async_context(
            serve_blackbox(config.spool.path, plan.pipeline.ring, lambda: timekeeper.label.shift_ms)
        )
        watch = ClockWatch(clock, timekeeper, plan.pipeline, outbox, uplink.counts)
        thrift = BudgetWatch(
            budgets,
            ways,
            pipeline=plan.pipeline,
            uplink=uplink,
            outbox=outbox,
            steady_ms=watch.now_ms,
            true_ms=watch.true_ms,
        )
        agent = Agent(plan, outbox, uplink, status, clock=watch, campaigns=follower, budgets=thrift)
        agent.note_start(spool)
        await agent.run(stop, exit_when_settled=exit_when_settled, manager=manager)


def _keep_budgets(config: EdgeConfig, ways: Ways, spool: Spool) -> Budgets:
    """What earlier runs used goes on counting."""
    return Budgets(
        Usage.read(spool.usage),
        quotas={way.name: way.quota_bytes for way in ways.ways if way.quota_bytes is not None},
        first_day=config.uplink.month_begins,
        write_budget=config.spool.max_written_per_day,
    )


def _keep_time(config: EdgeConfig, clock: Clock, spool: Spool) -> Timekeeper:
    """What an earlier run in this boot came to know holds, unless the settings believe the system clock always."""
    known = None if config.clock_trust == "system" else spool.known_clock(clock.boot_id)
    trust = ClockTrust(config.clock_trust, keeps_time=clock.keeps_time, known=known)
    return Timekeeper(clock.boot_id, clock.read(), trust, deadline_s=config.clock.deadline_s)


class Agent:
    """The running parts and their tasks."""

    def __init__(
        self,
        plan: Plan,
        outbox: Outbox,
        uplink: Uplink,
        status: StatusGatherer,
        *,
        clock: ClockWatch,
        campaigns: CampaignFollower,
        budgets: BudgetWatch,
    ) -> None:
        self._plan = plan
        self._budgets = budgets
        self._pipeline = plan.pipeline
        self._outbox = outbox
        self._uplink = uplink
        self._status = status
        self._clock = clock
        self._campaigns = campaigns
        self._outputs: asyncio.Queue[Output | None] = asyncio.Queue()  # bounded by the room
        self._unstored = 0
        self._room = asyncio.Semaphore(QUEUED_OUTPUTS)

    def note_start(self, spool: Spool) -> None:
        """Say with what the agent starts."""
        plan = self._plan
        log.info(
            "agent_started",
            vehicle=plan.config.vehicle,
            buses=[bus.source.name for bus in plan.buses],
            gps=None if plan.config.gps is None else plan.config.gps.device or "signals",
            signals=self._pipeline.sampler.signal_count,
            spool=str(plan.config.spool.path),
            stream=spool.stream,
            backlog=self._outbox.unsettled,
            uplink=plan.config.uplink.url,
        )
        data: dict[str, JsonValue] = {"stream": spool.stream, "before": spool.before}
        self._pipeline.take_event(self._clock.now_ms(), "agent_started", data)
        self._note_repair()
        self._campaigns.start()

    async def run(self, stop: asyncio.Event, *, exit_when_settled: bool, manager: ServiceManager) -> None:
        """All tasks, until it is time to stop; then everything in order."""
        async with asyncio.TaskGroup() as tasks:
            store = tasks.create_task(self._store(), name="store")
            uplink = tasks.create_task(self._uplink.run(), name="uplink")
            status = tasks.create_task(self._tell_status(), name="status")
            clock = tasks.create_task(self._clock.run(), name="clock")
            watchdog = tasks.create_task(self._feed_watchdog(manager), name="watchdog")
            trial = tasks.create_task(self._review_campaign(), name="campaigns")
            budgets = tasks.create_task(self._budgets.run(), name="budgets")
            readers = [
                tasks.create_task(self._read_bus(bus), name=f"read {bus.source.name}") for bus in self._plan.buses
            ]
            polls = [bus.poll for bus in self._plan.buses if bus.poll is not None]
            intake = [*readers, tasks.create_task(self._tick(), name="tick")]
            intake += [tasks.create_task(poll.run(self._clock.now_ms), name="poll") for poll in polls]
            if self._plan.gps is not None:
                intake.append(tasks.create_task(self._read_gps(self._plan.gps), name="gps"))
            if self._plan.health is not None:
                intake.append(tasks.create_task(self._watch_health(self._plan.health), name="health"))

            await _first_of(stop.wait(), *([_all_done(readers)] if exit_when_settled and readers else []))
            if stop.is_set():
                manager.tell("STOPPING=1")
            await _cancel(intake)
            for bus in self._plan.buses:
                self._take_frames(bus, await bus.source.rest())
            for fix in self._plan.gps.rest() if self._plan.gps is not None else ():
                self._pipeline.take_fix(self._clock.stamp_fix(fix))
            self._pipeline.finish(wall_ms=self._clock.now_ms())
            await self._hand_over()
            self._outputs.put_nowait(None)
            await asyncio.wait([store])
            await self._clock.settle()
            if exit_when_settled:
                await _first_of(stop.wait(), self._outbox.settled.wait())
            await _cancel([uplink, status, clock, watchdog, trial, budgets])
            self._budgets.look(is_last=True)
        if not self._outbox.owes_nothing:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_REQUEST_S):
                    await self._uplink.exchange()
        await self._campaigns.review(self._outbox.counts.newest_settled, is_last=True)
        self._log_status("agent_stopped")

    async def _read_bus(self, bus: Bus) -> None:
        async for frames in bus.source:
            if bus.poll is not None:
                bus.poll.take(frames)
            self._take_frames(bus, frames)
            await self._hand_over()
            await asyncio.sleep(0)
        log.info("bus_ended", bus=bus.source.name, **asdict(bus.source.counts))

    def _take_frames(self, bus: Bus, frames: Sequence[Frame]) -> None:
        steady, now_ns = self._clock.stamp(frames)
        self._pipeline.take_frames(bus.decoder, steady, now_ns, bus.listener)

    async def _read_gps(self, gps: GpsReader) -> None:
        async with aclosing(aiter(gps)) as fixes:
            async for fix in fixes:
                self._pipeline.take_fix(self._clock.stamp_fix(fix))
                await self._hand_over()

    async def _watch_health(self, signals: HealthSignals) -> None:
        config = self._plan.config
        watch = HealthWatch(signals, self._status, interval_s=config.health.interval_s, disk=config.spool.path.parent)
        async with aclosing(aiter(watch)) as looks:
            async for t_ms, indices, values in looks:
                self._pipeline.take_values(self._clock.steady_ms(t_ms), indices, values)
                await self._hand_over()

    def _note_repair(self) -> None:
        """A damaged spool is told to the cloud too."""
        if (repair := self._outbox.take_repair()) is None:
            return
        name = None if repair.set_aside is None else repair.set_aside.name
        log.error("spool_damaged", set_aside=name, saved=repair.saved, missing=repair.missing)
        data = {"set_aside": name, "saved": repair.saved, "missing": repair.missing}
        self._pipeline.take_event(self._clock.now_ms(), "spool_damaged", data)

    def _note_overtaken(self) -> None:
        """That this spool is an old image, or has a twin, is told to the cloud."""
        for stream, following, head in self._outbox.take_overtaken():
            log.error("spool_overtaken", stream=stream, next=following, head=head, advice=OVERTAKEN_ADVICE)
            data: dict[str, JsonValue] = {"stream": stream, "next": following, "head": head}
            self._pipeline.take_event(self._clock.now_ms(), "spool_overtaken", data)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for bus in self._plan.buses:
                for t_ms, kind, data in bus.source.take_events():
                    self._pipeline.take_event(self._clock.steady_ms(t_ms), kind, data)
            self._note_repair()
            self._note_overtaken()
            self._pipeline.tick(wall_ms=self._clock.now_ms(), monotonic_ms=time.monotonic_ns() // 1_000_000)
            await self._hand_over()

    async def _hand_over(self) -> None:
        """Pass on what is ready; waits while the spool is behind. Cancelled, it leaves everything in the pipeline."""
        if self._pipeline.is_ready:
            await self._room.acquire()
            self._outputs.put_nowait(self._pipeline.take())
            self._unstored += 1

    async def _store(self) -> None:
        """Until the input has ended. What piled up while the disk was busy goes into one commit."""
        ended = False
        while not ended:
            outputs = [await self._outputs.get()]
            while not self._outputs.empty():
                outputs.append(self._outputs.get_nowait())
            ended = outputs[-1] is None
            ready = [output for output in outputs if output is not None]
            for name, body in chain.from_iterable(output.catalogs for output in ready):
                await self._outbox.keep_catalog(name, body)
            await self._outbox.put(list(chain.from_iterable(output.drafts for output in ready)))
            self._unstored -= len(ready)
            for _ in ready:
                self._room.release()

    async def _feed_watchdog(self, manager: ServiceManager) -> None:
        """A sign of life only while what was read also reaches the disk, and the uplink does not hang."""
        manager.tell("READY=1")
        if manager.watchdog_s is None:
            return
        progress, counts = Progress(patience_s=manager.watchdog_s / 2), self._uplink.counts
        while True:
            if progress.is_made(
                time.monotonic(),
                waiting=self._unstored,
                stored=self._outbox.counts.stored,
                requests=counts.requests,
                is_waiting=counts.problem is not None,
                patience_s=counts.patience_s,
            ):
                manager.tell("WATCHDOG=1")
            else:
                log.error("no_progress", unstored=self._unstored, requests=counts.requests)
            await asyncio.sleep(manager.watchdog_s / 4)

    async def _review_campaign(self) -> None:
        while True:
            await asyncio.sleep(REVIEW_S)
            await self._campaigns.review(self._outbox.counts.newest_settled)

    async def _tell_status(self) -> None:
        while True:
            await asyncio.sleep(STATUS_S)
            self._log_status("status")

    def _log_status(self, event: str) -> None:
        pipeline, outbox, uplink = self._pipeline, self._outbox, self._uplink
        sampled = pipeline.sampler.counts
        log.info(
            event,
            frames=pipeline.frames,
            decoded=pipeline.decoded,
            **faults(self._plan),
            samples=sampled.seen,
            kept=sampled.kept,
            unchanged=sampled.unchanged,
            deadband=sampled.deadband,
            min_interval=sampled.min_interval,
            not_finite=sampled.not_finite,
            not_selected=sampled.not_selected,
            aggregated=sampled.aggregated,
            made=sampled.made,
            waiting=pipeline.sampler.waiting,
            fixes=pipeline.fixes,
            stored=outbox.counts.stored,
            settled=outbox.counts.settled,
            unsettled=outbox.unsettled,
            lost=outbox.counts.lost,
            rejected=outbox.counts.rejected,
            requests=uplink.counts.requests,
            failures=uplink.counts.failures + uplink.counts.refused,
        )


def go_by(plan: Plan, standing: Standing, *, now_ms: int) -> int:
    """Sample and capture as the campaign says, or the agent's own file, and tell the cloud which.

    Returns how many drafts were finished before.
    """
    pipeline = plan.pipeline
    selection = standing.selection or Selection(sampling_rules(plan.config.sampling))
    if selection != pipeline.selection:
        pipeline.apply(selection, wall_ms=now_ms)
    before = pipeline.draft_count
    pipeline.take_event(now_ms, "campaign", standing.told)
    return before


async def _all_done(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


async def _first_of(*waits: Awaitable[object]) -> None:
    """Wait for one of them, and give up the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _cancel(tasks)


async def _cancel(tasks: Sequence[asyncio.Future[object]] | Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
