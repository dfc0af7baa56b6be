"""Listens beside the decoder to the protocols of one bus whose messages are more than a frame and its signals.

The identifiers of these protocols are reserved in the decoder, so that every other frame costs what it cost without.
"""

from collections.abc import Iterable

from edge.decoder import Decoder
from edge.protocol_names import Protocol
from edge.protocols.heard import NOTHING, Heard
from edge.protocols.j1939_listener import FILTERS as J1939_FILTERS
from edge.protocols.j1939_listener import J1939Listener
from edge.protocols.obd_listener import FILTERS as OBD_FILTERS
from edge.protocols.obd_listener import ObdListener


class Listener:
    """One bus. Without `protocols`, isotp, and j1939 where a database has a J1939 message."""

    def __init__(self, decoder: Decoder, protocols: Iterable[Protocol] | None = None) -> None:
        wanted = suggested_protocols(decoder) | {"isotp"} if protocols is None else frozenset(protocols)
        self.j1939 = J1939Listener(decoder) if "j1939" in wanted else None
        self.obd = ObdListener(decoder) if "isotp" in wanted else None
        decoder.reserve(self._wants)

    def take(self, t_ms: int, arbitration_id: int, is_extended: bool, data: bytes) -> Heard:
        """A frame that the decoder left, its identifier being in `reserved_ids`."""
        if is_extended and self.j1939 is not None and self.j1939.wants(arbitration_id):
            return self.j1939.take(t_ms, arbitration_id, data)
        if self.obd is not None and (not is_extended or self.obd.wants(arbitration_id, True)):
            return self.obd.take(t_ms, arbitration_id, is_extended, data)
        return NOTHING

    def faults(self) -> dict[str, int]:
        """Messages of several frames that were not heard whole, and frames that belong to none, by cause."""
        j1939 = {} if self.j1939 is None else self.j1939.faults()
        isotp = {} if self.obd is None else self.obd.faults()
        return {f"j1939_{cause}": n for cause, n in j1939.items()} | {f"isotp_{cause}": n for cause, n in isotp.items()}

    @property
    def open(self) -> int:
        """How many messages have begun and not ended."""
        return (self.j1939.transport.open if self.j1939 else 0) + (self.obd.isotp.open if self.obd else 0)

    def filters(self) -> list[dict[str, int | bool]]:
        """python-can's, for what is listened to beside what the databases know."""
        j1939 = () if self.j1939 is None else J1939_FILTERS
        isotp = () if self.obd is None else OBD_FILTERS
        return [dict(filter_) for filter_ in (*j1939, *isotp)]

    def _wants(self, arbitration_id: int, is_extended: bool) -> bool:
        if is_extended and self.j1939 is not None and self.j1939.wants(arbitration_id):
            return True
        return self.obd is not None and self.obd.wants(arbitration_id, is_extended)


def suggested_protocols(decoder: Decoder) -> frozenset[Protocol]:
    """j1939 where a database has a J1939 message."""
    return frozenset({"j1939"} if decoder.knows_j1939 else ())
