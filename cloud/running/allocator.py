"""glibc's allocator, set for processes that run for months beside others. Does nothing where it is another one.

It starts with blocks of 128 KiB and more in mappings of their own, which go back to the system when they are freed. But
with the first such block that is freed it takes to keeping blocks of that size, up to 32 MB, in its heaps, where
whatever small is allocated behind them keeps them from shrinking; and each thread may get a heap of its own.
"""

import ctypes
from typing import Final

ARENAS: Final = 2
"""Python's lock lets the threads take turns: the event loop, and the one that packs rows or unpacks a body."""
OWN_MAPPING_BYTES: Final = 262_144
"""A block of that size is mapped by itself, and so much may lie free at the end of a heap.

The price is page faults: 6 ms more CPU for a full group of 50,000 samples. With 512 KiB the heaps grow as before.
"""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8


def settle() -> None:
    """Before there are threads: a heap that is there stays."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # musl, macOS
        return
    mallopt(_M_ARENA_MAX, ARENAS)
    mallopt(_M_MMAP_THRESHOLD, OWN_MAPPING_BYTES)  # any value set keeps it from moving
    mallopt(_M_TRIM_THRESHOLD, OWN_MAPPING_BYTES)
