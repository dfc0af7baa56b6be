"""Gather what the running parts of an agent know."""

import os
import time
from typing import Final

from edge.agent_plan import Bus, Plan
from edge.campaigns.campaign_keeper import CampaignKeeper
from edge.clock.timekeeper import Timekeeper
from edge.outbox import Outbox
from edge.protocols.obd_poll import PollLoop
from edge.service.status import (
    AgentStatus,
    BusStatus,
    CampaignStatus,
    CaptureStatus,
    ClockStatus,
    GpsStatus,
    PollStatus,
    SpoolStatus,
    UplinkStatus,
    WayStatus,
)
from edge.spool import Spool
from edge.uplink import Uplink
from edge.ways.budgets import Budgets
from edge.ways.uplink_ways import Ways

_DROPPED: Final = ("unchanged", "deadband", "min_interval", "not_finite", "not_selected", "aggregated")


class StatusGatherer:
    """Looks when it is asked. The spool is looked at between two writes."""

    def __init__(
        self,
        plan: Plan,
        outbox: Outbox,
        uplink: Uplink,
        timekeeper: Timekeeper,
        campaigns: CampaignKeeper,
        *,
        ways: Ways,
        budgets: Budgets,
    ) -> None:
        self._plan = plan
        self._ways = ways
        self._budgets = budgets
        self._outbox = outbox
        self._uplink = uplink
        self._timekeeper = timekeeper
        self._campaigns = campaigns
        self._started_ms = _monotonic_ms()

    async def gather(self) -> AgentStatus:
        """The state of now."""
        plan, outbox = self._plan, self._outbox
        used_bytes, oldest_ms = await outbox.ask(_look)
        sampler = plan.pipeline.sampler
        buses = tuple(_bus(bus) for bus in plan.buses)
        config = plan.config
        now_ms, monotonic_ms = _wall_ms(), _monotonic_ms()
        return AgentStatus(
            vehicle=config.vehicle,
            pid=os.getpid(),
            started_ms=now_ms - (monotonic_ms - self._started_ms),
            now_ms=now_ms,
            monotonic_ms=monotonic_ms,
            clock=self._clock_status(),
            buses=buses,
            gps=None
            if plan.gps is None or config.gps is None
            else GpsStatus(
                device=config.gps.device or "",
                failures=plan.gps.counts.failures,
                last_error=plan.gps.counts.last_error,
            ),
            fixes=plan.pipeline.fixes,
            samples_seen=sampler.counts.seen,
            samples_kept=sampler.counts.kept,
            samples_waiting=sampler.waiting,
            samples_dropped={cause: getattr(sampler.counts, cause) for cause in _DROPPED},
            stored=outbox.counts.stored,
            settled=outbox.counts.settled,
            spool=SpoolStatus(
                path=str(config.spool.path),
                batches=outbox.unsettled,
                bytes=used_bytes,
                max_bytes=config.spool.max_bytes,
                oldest_ms=oldest_ms,
                overtaken=outbox.overtaken,
                written_today_bytes=self._budgets.usage.written_bytes,
                max_written_per_day=self._budgets.write_budget,
            ),
            uplink=self._uplink_status(),
            campaign=CampaignStatus.model_validate(self._campaigns.standing.told),
            captures=_captures(plan),
            lost={**outbox.counts.lost_by_cause, "dropped_frames": sum(bus.dropped for bus in buses)},
        )

    def _clock_status(self) -> ClockStatus:
        keeper = self._timekeeper
        return ClockStatus(
            source=keeper.source,
            waiting=self._outbox.withheld,
            waits_s=keeper.waits_s,
            steps=keeper.steps,
            off_ms=keeper.off_ms,
            gps_differs_ms=keeper.gps_differs_ms,
            refused_dates=keeper.refused_dates,
        )

    def _uplink_status(self) -> UplinkStatus:
        counts, ways, usage = self._uplink.counts, self._ways, self._budgets.usage
        return UplinkStatus(
            url=ways.ways[ways.present].url,
            ways=tuple(
                WayStatus(
                    name=way.name,
                    url=way.url,
                    is_up=way.is_up(),
                    in_use=place == ways.present,
                    sent_this_month_bytes=usage.sent_bytes.get(way.name, 0),
                    monthly_bytes=way.quota_bytes,
                    problem=way.problem,
                )
                for place, way in enumerate(ways.ways)
            ),
            thrift=self._budgets.thrift.level,
            requests=counts.requests,
            failures=counts.failures,
            refused=counts.refused,
            sent_bytes=counts.bytes,
            last_reply_ms=counts.last_reply_ms,
            last_settled_ms=counts.last_settled_ms,
            problem=counts.problem,
        )


def _bus(bus: Bus) -> BusStatus:
    counts = bus.source.counts
    faults = {**bus.decoder.counts.totals(), **bus.listener.faults(), "bus_off": counts.bus_offs}
    faults |= bus.poll.faults() if bus.poll is not None else {}
    return BusStatus(
        name=bus.source.name,
        frames=counts.frames,
        dropped=counts.dropped,
        errors=counts.error,
        remote=counts.remote,
        restarts=counts.restarts,
        last_error=counts.last_error,
        poll=_poll(bus.poll) if bus.poll is not None else None,
        faults={cause: count for cause, count in faults.items() if count},
    )


def _poll(poll: PollLoop) -> PollStatus:
    counts = poll.poller.counts
    return PollStatus(
        controllers=len(poll.poller.controllers),
        requests=counts.requests,
        answered=counts.answered,
        last_error=poll.last_error,
    )


def _captures(plan: Plan) -> CaptureStatus | None:
    counts, ring = plan.pipeline.captures, plan.pipeline.ring
    if ring is None:
        return None
    return CaptureStatus(
        taken=dict(counts.taken),
        not_taken=dict(counts.not_taken),
        frames=counts.frames,
        ring_frames=ring.next - ring.first,
        ring_bytes=ring.bytes,
    )


def _look(spool: Spool) -> tuple[int, int | None]:
    """The bytes in use, and when the oldest batch that is not settled begins."""
    for stream in spool.on_disk():
        if owed := stream.held - stream.done:
            return spool.used_bytes, spool.begins_ms((stream.stream, owed.ranges[0][0]))
    return spool.used_bytes, None


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
