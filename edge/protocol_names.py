"""Names of what the configuration may ask for beside what databases say of single frames."""

from typing import Literal, get_args

Protocol = Literal["j1939", "isotp"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

CheckTable = Literal["opendbc", "toyota", "tesla", "hyundai"]
"""Whose counters and checksums are known, see edge.buses.frame_check."""
