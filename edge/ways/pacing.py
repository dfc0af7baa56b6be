"""When the uplink speaks next. Pure: the time is passed in, the dice are too."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Timings:
    """All in seconds. Intervals grow from `first` to `limit` by doubling."""

    heartbeat_s: float = 10.0  # an idle vehicle says that it is there
    poll_first_s: float = 1.0  # asking whether what was sent is settled by now
    poll_limit_s: float = 10.0
    retry_first_s: float = 1.0  # the cloud is away or overloaded
    retry_limit_s: float = 60.0
    refused_first_s: float = 60.0  # the credential is refused: a person has to act
    refused_limit_s: float = 900.0


class Pacing:
    """Decides how long to wait; failures are spread by full jitter so that a fleet does not come back at once."""

    def __init__(self, timings: Timings, dice: Random) -> None:
        self._timings = timings
        self._dice = dice
        self._poll_s = timings.poll_first_s
        self._last_s: float | None = None
        self._not_before_s = float("-inf")
        self._failures = 0

    def wait_s(self, now_s: float, *, due_s: float | None, owes: bool, heartbeat_s: float = 0.0) -> float:
        """How long until the next request; a batch is due in `due_s` (None: none is), `owes` if not all is settled.

        An idle vehicle says that it is there every `heartbeat_s` at most.
        """
        if self._last_s is None:
            wanted_s = now_s
        else:
            wanted_s = self._last_s + (self._poll_s if owes else max(self._timings.heartbeat_s, heartbeat_s))
        if due_s is not None:
            wanted_s = min(wanted_s, now_s + due_s)
        return max(wanted_s, self._not_before_s, now_s) - now_s

    def answered(self, now_s: float, *, progress: bool) -> None:
        """The cloud took the request; `progress` if something was sent or settled with it."""
        self._failures = 0
        self._last_s = now_s
        self._not_before_s = float("-inf")
        doubled = min(self._poll_s * 2, self._timings.poll_limit_s)
        self._poll_s = self._timings.poll_first_s if progress else doubled

    def failed(self, now_s: float, *, retry_after_s: float = 0.0) -> float:
        """The cloud is away or cannot take it now; returns how long it is left alone."""
        timings = self._timings
        return self._back_off(now_s, timings.retry_first_s, timings.retry_limit_s, at_least_s=retry_after_s)

    def refused(self, now_s: float) -> float:
        """The credential is not good; returns how long it is left alone."""
        timings = self._timings
        return self._back_off(
            now_s, timings.refused_first_s, timings.refused_limit_s, at_least_s=timings.refused_first_s
        )

    def _back_off(self, now_s: float, first_s: float, limit_s: float, *, at_least_s: float) -> float:
        ceiling_s = min(first_s * 2 ** min(self._failures, 20), limit_s)
        self._failures += 1
        wait_s = at_least_s + self._dice.uniform(0, ceiling_s)
        self._not_before_s = now_s + wait_s
        return wait_s
