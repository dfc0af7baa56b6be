"""A value that carries its quality with it."""

from wire.names import MAX_SAFE_INTEGER
from wire.quality import INEXACT


class Flagged(float):
    """A number like any other, whose sample is not good; `flags` are bits of `wire.quality`."""

    __slots__ = ("flags",)

    flags: int

    def __new__(cls, value: float, flags: int) -> "Flagged":
        """The number; one that was flagged before keeps these flags too."""
        made = super().__new__(cls, value)
        made.flags = flags | flags_of(value)
        return made


def flags_of(value: float) -> int:
    """What is known to be wrong with a number as it comes from the decoder; 0 if nothing."""
    if isinstance(value, Flagged):
        return value.flags
    return INEXACT if isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER else 0
