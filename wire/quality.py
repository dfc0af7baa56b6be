"""Why a sample is not good: the bits of `q`. A flagged sample is sent and stored like any other."""

from typing import Final

INEXACT: Final = 1
"""An integer beyond ± 2^53, which became the nearest double."""

OUT_OF_RANGE: Final = 2
"""Below the minimum or above the maximum that the database gives."""

BAD_CHECKSUM: Final = 4
"""The frame's checksum is not that of its content."""

COUNTER_SKIP: Final = 8
"""The frame's counter did not go on by one: a frame before it is missing, or was not sent."""

STALE: Final = 16
"""The message has stayed away for several of its cycles; the sample repeats its last value."""

UNKNOWN_MUX: Final = 32
"""The frame's selector has a value that the database does not know; these are the signals that do not depend on it."""
