"""Stream identifiers: UUID version 7 (RFC 9562, section 5.7), so that they sort by the time they were drawn."""

import secrets
import uuid
from collections.abc import Callable


def new_stream(now_ms: int, random_bits: Callable[[int], int] = secrets.randbits) -> str:
    """Draw a stream identifier. `now_ms` is Unix time; a wrong clock costs the order, never uniqueness."""
    value = (now_ms & (1 << 48) - 1) << 80 | 0x7 << 76 | random_bits(12) << 64 | 0b10 << 62 | random_bits(62)
    return str(uuid.UUID(int=value))
