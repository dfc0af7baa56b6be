"""What the kernel says of its own clock."""

import ctypes
from typing import Final

_TIMEX_BYTES: Final = 512  # more than struct timex takes anywhere; all zero asks without setting anything
_TIME_ERROR: Final = 5  # adjtimex(2): nobody keeps the clock


def is_synchronised() -> bool | None:
    """Whether something keeps the clock right, as NTP or PPS does; None where the kernel does not say."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return None
    state = adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if state < 0 else state != _TIME_ERROR
