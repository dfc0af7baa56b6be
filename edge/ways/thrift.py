"""How sparing the agent is with a month's data and a day's writes: what is done when too much is used too early. Pure.

A quota is meant to last: so much of it may be used as time has passed, and a little more. Beyond that

1. batches become longer, which costs no sample;
2. values are sampled more coarsely, which lowers the resolution of all and drops no signal;
3. more coarsely still;
4. only batches with events are sent, for alarms always are. The others wait in the spool, for another way, or for time
   to pass; what it has no room for goes in the order in which the spool evicts.

The daily budget for writes has the first step alone, in finer degrees: a longer batch is a commit less. Nothing is lost
by that but time.
"""

from dataclasses import dataclass
from typing import Final

LEVELS: Final = 4
ALARMS_ONLY: Final = LEVELS
RESERVED: Final = 0.02
"""The share of a quota that is left to alarms."""

_AHEAD: Final = (0.02, 0.05, 0.10, 0.20)
"""How far use may run ahead of time before the next level: shares of the quota."""

_HYSTERESIS: Final = 0.01
_BATCH_AGE_MS: Final = (0, 30_000, 60_000, 60_000, 60_000)
_INTERVAL_MS: Final = (0, 0, 1_000, 10_000, 10_000)
_HEARTBEAT_S: Final = (0.0, 60.0, 300.0, 600.0, 900.0)

WRITE_BURST: Final = 0.05
WRITE_STEP: Final = 0.05
LONGEST_BATCH_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Thrift:
    """What holds now. `batch_age_ms` and `interval_ms` are the least that is asked of batches and sampling."""

    level: int = 0
    batch_age_ms: int = 0
    interval_ms: int = 0
    heartbeat_s: float = 0.0
    alarms_only: bool = False


def quota_level(spent: float, elapsed: float, *, before: int) -> int:
    """The level for a share of the quota that is spent after a share of the month; `before` is the level until now.

    A level that was reached is left only when use is clearly behind it.
    """
    if spent >= 1 - RESERVED:
        return ALARMS_ONLY
    ahead = spent - elapsed
    rises = sum(ahead > limit for limit in _AHEAD)
    holds = sum(ahead > limit - _HYSTERESIS for limit in _AHEAD)
    return max(rises, min(before, holds))


def write_age_ms(spent: float, elapsed: float) -> int:
    """How old batches are to become at least, for a share of the day's writes after a share of the day; 0 if any."""
    ahead = spent - elapsed - WRITE_BURST
    if ahead <= 0:
        return 0
    return int(min(2_000 * 2 ** min(ahead / WRITE_STEP, 10), LONGEST_BATCH_MS))


def thrift(level: int, *, write_age_ms: int = 0) -> Thrift:
    """What a level of the quota and the writes ask for together."""
    return Thrift(
        level=level,
        batch_age_ms=max(_BATCH_AGE_MS[level], write_age_ms),
        interval_ms=_INTERVAL_MS[level],
        heartbeat_s=_HEARTBEAT_S[level],
        alarms_only=level == ALARMS_ONLY,
    )
