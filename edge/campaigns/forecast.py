"""What a campaign, or the agent's own file, would bring of a recording: by the agent's own parts, in recorded time.

Decoder, sampler, captures, batcher, spool and outbox are those of the agent. What is counted are the bodies of the
requests, one batch in each, as they are sent where all is well; HTTP and TLS come on top. A receiver's positions are
not in a recording of frames.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from edge.agent_plan import Plan, known_names, plan_agent
from edge.batcher import Draft
from edge.campaigns.selection import select
from edge.config import CanSettings, EdgeConfig
from edge.errors import EdgeError
from edge.frame import Frame
from edge.outbox import Outbox
from edge.pipeline import NS_PER_MS
from edge.recordings.recording import open_recording
from edge.recordings.timeline import Timeline
from edge.spool import Spool
from wire.campaign import Campaign
from wire.envelope import BatchRef, Reply, Settled

HOURS_PER_DAY: Final = 8.0
_DAYS_PER_MONTH: Final = 365 / 12
_TICK_NS: Final = 50 * NS_PER_MS
_BEGIN_NS: Final = 1_700_000_000 * 10**9
_LONGEST_GAP_S: Final = 60.0
_SPOOL_BYTES: Final = 10**9


@dataclass(frozen=True, slots=True)
class Forecast:
    """Of one recording. `bytes` are those of all requests, `frame_bytes` of those with captured frames."""

    seconds: float
    frames: int
    seen: int
    samples: int
    requests: int
    bytes: int
    captured_frames: int = 0
    frame_bytes: int = 0
    captures: Mapping[str, int] = field(default_factory=dict)
    not_taken: Mapping[str, int] = field(default_factory=dict)

    @property
    def samples_per_s(self) -> float:
        return self.samples / self.seconds

    def mb_per_month(self, count: int, *, hours_per_day: float) -> float:
        """Of so many bytes, if every day of driving is as the recording."""
        return count / self.seconds * 3600 * hours_per_day * _DAYS_PER_MONTH / 1e6


async def foretell(config: EdgeConfig, campaign: Campaign | None) -> Forecast:
    """Of the recordings that the settings' buses play. Raises an EdgeError for what cannot be used."""
    plan = plan_agent(config)
    if campaign is not None:
        selection = select(campaign, known_names(plan), can_capture=plan.pipeline.ring is not None)
        plan.pipeline.apply(selection, wall_ms=_BEGIN_NS // NS_PER_MS)
    scales = _Scales(config.vehicle)
    last_ns = await scales.weigh(plan)
    pipeline = plan.pipeline
    counts = pipeline.sampler.counts
    if not pipeline.frames or last_ns <= _BEGIN_NS:
        raise EdgeError("the recording is too short to foretell anything: not two frames at different times")
    return Forecast(
        seconds=(last_ns - _BEGIN_NS) / 1e9,
        frames=pipeline.frames,
        seen=counts.seen,
        samples=counts.kept + counts.made,
        requests=scales.requests,
        bytes=scales.bytes,
        captured_frames=pipeline.captures.frames,
        frame_bytes=scales.frame_bytes,
        captures=dict(pipeline.captures.taken),
        not_taken=dict(pipeline.captures.not_taken),
    )


class _Scales:
    """Sends every batch to a cloud that settles it at once, and weighs the request."""

    def __init__(self, vehicle: str) -> None:
        self.requests = 0
        self.bytes = 0
        self.frame_bytes = 0
        self._spool = Spool.open(":memory:", vehicle=vehicle, max_bytes=_SPOOL_BYTES, now_ms=_BEGIN_NS // NS_PER_MS)
        self._outbox = Outbox(self._spool)

    async def weigh(self, plan: Plan) -> int:
        """Returns the time of the last frame."""
        pipeline = plan.pipeline
        sources = [_timed(number, bus) for number, bus in enumerate(plan.config.can)]
        now_ns = _BEGIN_NS
        for tick, arrivals in groupby(merge(*sources, key=_due), lambda arrival: _due(arrival) // _TICK_NS):
            for number, of_bus in groupby(arrivals, lambda arrival: arrival.bus):
                frames = [arrival.frame for arrival in of_bus]
                bus = plan.buses[number]
                pipeline.take_frames(bus.decoder, frames, now_ns, bus.listener)
                now_ns = max(now_ns, frames[-1].t_ns or 0)
            now_ms = (tick + 1) * _TICK_NS // NS_PER_MS
            pipeline.tick(wall_ms=now_ms, monotonic_ms=now_ms)
            await self._send(pipeline.take().drafts)
            await asyncio.sleep(0)
        pipeline.finish(wall_ms=now_ns // NS_PER_MS)
        await self._send(pipeline.take().drafts)
        self._spool.close()
        return now_ns

    async def _send(self, drafts: Sequence[Draft]) -> None:
        for draft in drafts:
            await self._outbox.put([draft])
            shipment = await self._outbox.prepare(self.requests, most_batches=1, most_bytes=_SPOOL_BYTES)
            ((stream, seq),) = shipment.plan.batches
            self.requests += 1
            self.bytes += len(shipment.body)
            self.frame_bytes += len(shipment.body) if draft.frames else 0
            settled = Settled(stream=stream, upto=seq, head=seq, missing=())
            reply = Reply(accepted=(BatchRef(stream=stream, seq=seq),), settled=(settled,))
            await self._outbox.replied(shipment.plan, reply, self.requests)


class _Arrival(NamedTuple):
    bus: int
    frame: Frame


def _due(arrival: _Arrival) -> int:
    return arrival.frame.t_ns or 0


def _timed(number: int, bus: CanSettings) -> Iterator[_Arrival]:
    """A bus's frames at the times at which a replay would give them."""
    timeline = Timeline(longest_gap_s=_LONGEST_GAP_S)
    files = [bus.channel] if isinstance(bus.channel, str) else bus.channel
    for frame in open_recording(Path(file) for file in files):
        t_ns = _BEGIN_NS + timeline.due_ns(frame.t_ns)
        yield _Arrival(number, frame._replace(t_ns=t_ns, channel=bus.name or frame.channel))
