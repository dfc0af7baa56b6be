"""What a frame, or the last one of several, says beyond the decoder."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from edge.codegen import Decoded
from edge.protocols.code_watch import DeviceEvent
from edge.protocols.j1939_transport import Transfer


class Payload(NamedTuple):
    """A whole message of diagnostics, and the identifier that its frames had."""

    arbitration_id: int
    is_extended: bool
    data: bytes


class Heard(NamedTuple):
    """Signals as the decoder gives them, the message that is complete now, and what of it is an event."""

    decoded: Sequence[Decoded] = ()
    message: Transfer | Payload | None = None
    events: Sequence[DeviceEvent] = ()


NOTHING: Final = Heard()
