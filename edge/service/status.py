"""What a running agent says of itself."""

from pydantic import BaseModel, ConfigDict


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class PollStatus(_Shape):
    """A bus whose controllers are asked. `last_error` is why it did not take the last request, None if it did."""

    controllers: int
    requests: int
    answered: int
    last_error: str | None


class BusStatus(_Shape):
    """Frames since the start. `faults` counts by cause what was not understood whole: unknown_id, too_short …"""

    name: str
    frames: int
    dropped: int
    errors: int
    remote: int
    restarts: int
    last_error: str | None
    faults: dict[str, int]
    poll: PollStatus | None = None


class GpsStatus(_Shape):
    """The receiver; `last_error` is why it was opened again."""

    device: str
    failures: int
    last_error: str | None


class ClockStatus(_Shape):
    """`source` is who told the time, None while it is not known. Then `waiting` batches are kept back, for `waits_s`
    more of being online; None is no longer. `steps` of the system clock since the start; `off_ms` is how far that is
    ahead of the time that is known, and `gps_differs_ms` how far GPS is.
    """

    source: str | None
    waiting: int
    waits_s: float | None
    steps: int
    off_ms: int | None
    gps_differs_ms: int | None
    refused_dates: int


class SpoolStatus(_Shape):
    """`batches` are not settled yet; the oldest of them begins at `oldest_ms` (Unix ms).

    `overtaken` streams went on elsewhere: the spool is an old image, or has a twin.
    """

    path: str
    batches: int
    bytes: int
    max_bytes: int
    oldest_ms: int | None
    overtaken: int
    written_today_bytes: int = 0
    """To all disks since the day began (UTC), over restarts."""
    max_written_per_day: int | None = None


class WayStatus(_Shape):
    """One way to the cloud. `is_up` says whether its interface is; `problem` why its last request had no answer."""

    name: str
    url: str
    is_up: bool
    in_use: bool
    sent_this_month_bytes: int
    monthly_bytes: int | None
    problem: str | None


class UplinkStatus(_Shape):
    """`problem` is why the cloud does not take anything now, None while it does. `thrift`: see edge.ways.thrift."""

    url: str
    ways: tuple[WayStatus, ...] = ()
    thrift: int = 0
    requests: int
    failures: int
    refused: int
    sent_bytes: int
    last_reply_ms: int | None
    last_settled_ms: int | None
    problem: str | None


class CampaignStatus(_Shape):
    """What came of the cloud's campaign: `state` is active, refused (and `instead` what holds) or none."""

    state: str
    id: str | None = None
    version: int | None = None
    etag: str | None = None
    reason: str | None = None
    instead: str | None = None


class CaptureStatus(_Shape):
    """Captures taken by name, not taken by cause, frames sent; the bytes of the ring that they come from."""

    taken: dict[str, int]
    not_taken: dict[str, int]
    frames: int
    ring_frames: int
    ring_bytes: int


class AgentStatus(_Shape):
    """Counts since the start. samples_seen = kept + dropped + waiting; `dropped` by cause, as the sampling asks for it.

    `lost` by cause: batches that the cloud never got (evicted, damaged, rejected), and frames that came too fast.
    """

    vehicle: str
    pid: int
    started_ms: int
    now_ms: int
    monotonic_ms: int
    clock: ClockStatus
    buses: tuple[BusStatus, ...]
    gps: GpsStatus | None
    fixes: int
    samples_seen: int
    samples_kept: int
    samples_waiting: int
    samples_dropped: dict[str, int]
    stored: int
    settled: int
    spool: SpoolStatus
    uplink: UplinkStatus
    lost: dict[str, int]
    campaign: CampaignStatus | None = None
    captures: CaptureStatus | None = None


def frame_rates(before: AgentStatus, after: AgentStatus) -> tuple[float, ...]:
    """Frames a second of each bus between two looks at one run of an agent."""
    seconds = (after.monotonic_ms - before.monotonic_ms) / 1000
    if seconds <= 0:
        return (0.0,) * len(after.buses)
    return tuple((now.frames - then.frames) / seconds for then, now in zip(before.buses, after.buses, strict=True))
