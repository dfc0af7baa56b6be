"""Instants as ms since the Unix epoch."""

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def to_ms(instant: datetime) -> int:
    return (instant - EPOCH) // _MILLISECOND
