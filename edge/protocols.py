"""Names of the protocols that can be listened to beside what databases say of single frames."""

from typing import Literal, get_args

Protocol = Literal["j1939", "isotp"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
