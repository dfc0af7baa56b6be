"""One CAN frame as every source of the agent delivers it."""

from typing import NamedTuple


class Frame(NamedTuple):
    """A data frame. `t_ns` is Unix time as received or recorded, None where a recording has no time."""

    t_ns: int | None
    channel: str
    arbitration_id: int
    is_extended: bool
    data: bytes
