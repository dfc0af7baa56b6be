"""Which times can be at all. Pure."""

from datetime import UTC, datetime
from typing import Final

SOFTWARE_DATE: Final = datetime(2025, 1, 1, tzinfo=UTC)
"""No clock that is earlier than this software is right. A release may raise it, to a day before its own."""

NOT_AFTER: Final = datetime(2100, 1, 1, tzinfo=UTC)
ROLLOVER_MS: Final = 1024 * 7 * 24 * 3600 * 1000
"""GPS counts weeks with ten bits: an old receiver goes back by so much every 19.6 years."""

_EARLIEST_MS: Final = int(SOFTWARE_DATE.timestamp()) * 1000
_LATEST_MS: Final = int(NOT_AFTER.timestamp()) * 1000


def is_plausible(utc_ms: int) -> bool:
    """Whether it can be now, as far as this software knows."""
    return _EARLIEST_MS <= utc_ms < _LATEST_MS


def unroll(utc_ms: int) -> int | None:
    """What a receiver's time means: as it says, or one rollover later; None for what cannot be.

    A time before this software is taken for a rollover only if what comes out is in the first half of a round after it:
    a receiver that starts at a fixed date, or a recording of some years ago, comes out in the second half or nowhere.
    """
    if utc_ms < _EARLIEST_MS:
        utc_ms += ROLLOVER_MS
        return utc_ms if _EARLIEST_MS <= utc_ms < _EARLIEST_MS + ROLLOVER_MS // 2 else None
    return utc_ms if utc_ms < _EARLIEST_MS + ROLLOVER_MS else None
