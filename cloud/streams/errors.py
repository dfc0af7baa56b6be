"""What Redis says is wrong, in the cloud's own terms."""

from typing import Final

from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from cloud.errors import BusDown, BusFull

_PASSING: Final = (BusyLoadingError, ClusterDownError, ReadOnlyError, TryAgainError)
_PASSING_TEXTS: Final = ("BUSY ", "NOREPLICAS", "MISCONF")


class NoGroup(Exception):
    """The stream or its group is gone: Redis was wiped."""


class Unblocked(Exception):
    """The stream that was waited for is gone from this node; nothing was read."""


def translated(error: Exception) -> Exception:
    """BusDown, BusFull, NoGroup or Unblocked; what is a mistake of ours stays as it is."""
    text = str(error)
    if isinstance(error, OutOfMemoryError) or text.startswith("OOM"):
        return BusFull("Redis is over its memory limit")
    if text.startswith("NOGROUP"):
        return NoGroup(text)
    if text.startswith("UNBLOCKED"):
        return Unblocked(text)
    if isinstance(error, _PASSING) or text.startswith(_PASSING_TEXTS):
        return BusDown(f"Redis cannot serve now: {text or type(error).__name__}")
    if isinstance(error, ResponseError | BusDown):
        return error
    return BusDown(f"Redis does not answer: {text or type(error).__name__}")
