"""A campaign's captures at work: conditions that fire, the event that says so, and the frames."""

from collections.abc import Iterable, KeysView, Sequence

from edge.campaigns.capture import CaptureCounts, Capturer
from edge.campaigns.frame_ring import FrameRing
from edge.campaigns.selection import Selection
from edge.fix import Fix
from edge.frame import Frame
from edge.protocols.code_watch import DeviceEvent

CAPTURE_EVENT = "capture"


class CaptureWatch:
    """Of one selection; `counts` go on from another one's."""

    def __init__(self, selection: Selection, ring: FrameRing, counts: CaptureCounts) -> None:
        self._selection = selection
        self._conditions = selection.conditions()
        self._capturer = Capturer(ring, selection.captures, counts)

    @property
    def watched(self) -> KeysView[int]:
        """See Conditions."""
        return self._conditions.watched

    @property
    def is_active(self) -> bool:
        """Whether there are frames to collect."""
        return self._capturer.is_active

    def learn(self, index: int, name: str) -> None:
        """See Conditions."""
        self._conditions.learn(index, name)

    def offer(self, t_ms: int, values: Iterable[tuple[int, float]]) -> Sequence[DeviceEvent]:
        """Take the values of signals, by index; gives the event of each capture that they start."""
        return self._started(t_ms, self._conditions.offer(values))

    def offer_fix(self, t_ms: int, fix: Fix) -> Sequence[DeviceEvent]:
        """Take a position."""
        return self._started(t_ms, self._conditions.offer_fix(fix)) if self._conditions.watches_fixes else ()

    def collect(self, now_ns: int) -> list[Frame]:
        """See Capturer."""
        return self._capturer.collect(now_ns)

    def finish(self, now_ns: int) -> list[Frame]:
        """See Capturer."""
        return self._capturer.finish(now_ns)

    def _started(self, t_ms: int, fired: Iterable[int]) -> Sequence[DeviceEvent]:
        events: list[DeviceEvent] = []
        for number in fired:
            capture = self._selection.captures[number]
            if not self._capturer.start(number, t_ms * 1_000_000):
                continue
            campaign, version = self._selection.campaign or (None, None)
            events.append(
                (
                    CAPTURE_EVENT,
                    {
                        "capture": capture.name,
                        "campaign": campaign,
                        "version": version,
                        "when": capture.when,
                        "values": {**self._conditions.values(number)},
                        "before_s": capture.before_s,
                        "after_s": capture.after_s,
                    },
                )
            )
        return events
