"""A running agent's status as lines to read."""

from collections.abc import Iterator, Mapping
from typing import Final

from edge.service.status import (
    AgentStatus,
    CampaignStatus,
    CaptureStatus,
    ClockStatus,
    PollStatus,
    SpoolStatus,
    UplinkStatus,
    WayStatus,
    frame_rates,
)

_THRIFT = ("", "longer batches", "coarser sampling", "very coarse sampling", "only batches with events are sent")


def render(before: AgentStatus, after: AgentStatus) -> Iterator[str]:
    """What it is doing between two looks, a line for each part."""
    yield f"{after.vehicle}: running for {_span((after.now_ms - after.started_ms) / 1000)}, process {after.pid}"
    for bus, rate in zip(after.buses, frame_rates(before, after), strict=True):
        parts = [f"{rate:,.0f} frames/s", f"{bus.frames:,} frames"]
        parts += [f"{count:,} {name}" for name, count in _bus_counts(bus.dropped, bus.errors, bus.faults).items()]
        if bus.restarts:
            parts.append(f"opened again {bus.restarts} times, last for: {bus.last_error}")
        if bus.poll is not None:
            parts.append(_poll(bus.poll))
        yield f"bus {bus.name}: {', '.join(parts)}"
    fixes = f"{after.fixes:,} fixes"
    if after.gps is not None and after.gps.failures:
        fixes += f", {after.gps.failures} failures of {after.gps.device}, last: {after.gps.last_error}"
    yield f"gps: {fixes}"
    yield f"clock: {_clock(after.clock)}"
    dropped = ", ".join(f"{count:,} {cause}" for cause, count in after.samples_dropped.items() if count)
    yield f"samples: {after.samples_kept:,} of {after.samples_seen:,} kept{f' ({dropped})' if dropped else ''}"
    if after.campaign is not None:
        yield f"campaign: {_campaign(after.campaign)}"
    if after.captures is not None:
        yield f"captures: {_captures(after.captures)}"
    yield f"spool: {_spool(after.spool, after.now_ms)}"
    yield f"uplink: {_uplink(after.uplink, after.now_ms)}; {after.settled:,} of {after.stored:,} batches settled"
    if len(after.uplink.ways) > 1 or any(way.monthly_bytes for way in after.uplink.ways):
        yield from map(_way, after.uplink.ways)
    if after.uplink.thrift:
        yield f"sparing: {_THRIFT[after.uplink.thrift]}, for the month's data are used too fast"
    lost = {cause: count for cause, count in after.lost.items() if count}
    yield f"lost: {_listed(lost) if lost else 'nothing'}"


def _way(way: WayStatus) -> str:
    used = f"{way.sent_this_month_bytes / 1e6:,.1f} MB this month"
    if way.monthly_bytes is not None:
        used = f"{way.sent_this_month_bytes / 1e6:,.1f} of {way.monthly_bytes / 1e6:,.0f} MB this month"
    state = "in use" if way.in_use else "in reserve"
    problem = "" if way.problem is None else f"; last failed: {way.problem}"
    return f"  {way.name}: {state if way.is_up else 'interface down'}, {way.url}, {used}{problem}"


def _poll(poll: PollStatus) -> str:
    asked = f"{poll.requests:,} requests to {poll.controllers} controllers, {poll.answered:,} answered"
    return asked if poll.last_error is None else f"{asked}; NOT SENT: {poll.last_error}"


def _campaign(campaign: CampaignStatus) -> str:
    if campaign.state == "none":
        return "none, the agent's own file holds"
    name = f"{campaign.id} {campaign.version}" if campaign.id else f"one with the etag {campaign.etag}"
    if campaign.state == "refused":
        return f"REFUSED {name}: {campaign.reason}; instead: {campaign.instead}"
    return f"{name} is {campaign.state}"


def _captures(captures: CaptureStatus) -> str:
    taken = _listed(captures.taken) or "none"
    not_taken = f"; not taken: {_listed(captures.not_taken)}" if captures.not_taken else ""
    ring = f"{captures.ring_frames:,} frames in the black box"
    return f"{taken}{not_taken}; {captures.frames:,} frames sent, {ring}"


def _bus_counts(dropped: int, errors: int, faults: Mapping[str, int]) -> dict[str, int]:
    counts = {"dropped": dropped, "error frames": errors, **faults}
    return {name.replace("_", " "): count for name, count in counts.items() if count}


_TOLD_BY: Final = {
    "ntp": "told by NTP",
    "gps": "told by GPS",
    "battery": "the computer's own, which nothing has confirmed",
    "system": "the system clock's, as the settings ask for",
}
_WORTH_SAYING_MS: Final = 1000


def _clock(clock: ClockStatus) -> str:
    if clock.source is not None:
        parts = [_TOLD_BY[clock.source]]
    elif clock.waits_s is not None:
        parts = [f"NOT KNOWN: {clock.waiting:,} batches wait for NTP or GPS, {_span(clock.waits_s)} more when online"]
    else:
        parts = ["NOT KNOWN: what is recorded is sent as untrusted; let NTP or a GPS receiver tell the time"]
    if clock.steps:
        parts.append(f"stepped {clock.steps} times")
    if clock.off_ms is not None and abs(clock.off_ms) >= _WORTH_SAYING_MS:
        parts.append(f"the system clock is {_ahead(clock.off_ms)}")
    if clock.gps_differs_ms is not None and abs(clock.gps_differs_ms) >= 2 * _WORTH_SAYING_MS:
        parts.append(f"the GPS receiver is {_ahead(clock.gps_differs_ms)}")
    if clock.refused_dates:
        parts.append(f"the GPS receiver gave {clock.refused_dates:,} dates that cannot be")
    return ", ".join(parts)


def _ahead(ms: int) -> str:
    return f"{_span(abs(ms) / 1000)} {'ahead' if ms > 0 else 'behind'}"


def _spool(spool: SpoolStatus, now_ms: int) -> str:
    twin = "; AN OLD IMAGE OR A COPY: the cloud has more of it than is here" if spool.overtaken else ""
    room = f"{spool.bytes / 1e6:,.1f} of {spool.max_bytes / 1e6:,.0f} MB"
    budget = "" if spool.max_written_per_day is None else f" of {spool.max_written_per_day / 1e6:,.0f}"
    room += f", {spool.written_today_bytes / 1e6:,.1f}{budget} MB written today{twin}"
    if not spool.batches:
        return f"all is settled, {room}"
    oldest = "" if spool.oldest_ms is None else f", the oldest of {_span((now_ms - spool.oldest_ms) / 1000)} ago"
    return f"{spool.batches:,} batches wait{oldest}, {room}"


def _uplink(uplink: UplinkStatus, now_ms: int) -> str:
    settled = uplink.last_settled_ms
    told = "nothing settled yet" if settled is None else f"last settled {_span((now_ms - settled) / 1000)} ago"
    counts = f"{uplink.requests:,} requests, {uplink.failures + uplink.refused:,} failed"
    problem = "" if uplink.problem is None else f"; NOT TAKEN NOW: {uplink.problem}"
    return f"{uplink.url}, {told}, {counts}{problem}"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {cause.replace('_', ' ')}" for cause, count in counts.items())


def _span(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{max(seconds, 0):,.0f} s"
