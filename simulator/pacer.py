"""When to send: an absolute schedule, so that no delay adds up, under a ceiling for frames a second."""

from typing import Final

NS_PER_S: Final = 1_000_000_000
BURST_S: Final = 0.005
"""So much of the ceiling may go out at once."""
UNLIMITED: Final = float("inf")


class Pacer:
    """Decides, given the time, how long to wait for the next frame. `speed` 0 is as fast as the ceiling allows."""

    def __init__(self, *, speed: float, max_rate: float, started_s: float) -> None:
        self._speed = speed
        self._started_s = started_s
        self._interval_s = 1 / max_rate
        self._free_s = started_s  # when the frame after the last one may go under the ceiling

    def wait_s(self, due_ns: int, now_s: float) -> float:
        """How long to wait at `now_s` for what is due at `due_ns` of the replay's own time; 0 or less is now."""
        scheduled_s = self._started_s + due_ns / NS_PER_S / self._speed if self._speed else now_s
        return max(scheduled_s, self._free_s - BURST_S) - now_s

    def sent(self, now_s: float) -> None:
        """A frame went out."""
        self._free_s = max(self._free_s, now_s) + self._interval_s

    def behind_s(self, due_ns: int, now_s: float) -> float:
        """How late what is due at `due_ns` would be at `now_s`."""
        return now_s - self._started_s - due_ns / NS_PER_S / self._speed if self._speed else 0.0
