"""Names that both ends must agree on."""

import re
import zlib

VEHICLE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$"
"""What a vehicle's identifier looks like: 1 to 64 letters, digits and `_.:-`, beginning with a letter or digit."""

STREAM_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
"""A stream's identifier: a UUID in lower case with hyphens."""

MAX_SAFE_INTEGER = 2**53
"""Times and sequence numbers stay within ± this, so that every JSON reader holds them exactly."""

DEFAULT_SHARDS = 16

_vehicle = re.compile(VEHICLE_PATTERN[:-1] + r"\Z")


def is_vehicle(text: str) -> bool:
    """Whether `text` may name a vehicle."""
    return _vehicle.match(text) is not None


def shard_of(vehicle: str, shards: int = DEFAULT_SHARDS) -> int:
    """The shard, 0 to `shards` - 1, that carries everything of `vehicle`."""
    return zlib.crc32(vehicle.encode()) % shards
