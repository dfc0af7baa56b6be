"""Listens beside the decoder to the protocols of one bus whose messages are more than a frame and its signals.

The identifiers of these protocols are reserved in the decoder, so that every other frame costs what it cost without.
"""

from collections.abc import Iterable

from edge.decoder import Decoder
from edge.heard import NOTHING, Heard
from edge.j1939_listener import FILTERS as J1939_FILTERS
from edge.j1939_listener import J1939Listener
from edge.protocols import Protocol


class Listener:
    """One bus. Without `protocols`, those that its databases suggest."""

    def __init__(self, decoder: Decoder, protocols: Iterable[Protocol] | None = None) -> None:
        wanted = suggested_protocols(decoder) if protocols is None else frozenset(protocols)
        self.j1939 = J1939Listener(decoder) if "j1939" in wanted else None
        decoder.reserve(self._wants)

    def take(self, t_ms: int, arbitration_id: int, is_extended: bool, data: bytes) -> Heard:
        """A frame that the decoder left."""
        if is_extended and self.j1939 is not None and self.j1939.wants(arbitration_id):
            return self.j1939.take(t_ms, arbitration_id, data)
        return NOTHING

    def faults(self) -> dict[str, int]:
        """Messages of several frames that were not heard whole, and frames that belong to none, by cause."""
        return {} if self.j1939 is None else {f"j1939_{cause}": n for cause, n in self.j1939.faults().items()}

    def filters(self) -> list[dict[str, int | bool]]:
        """python-can's, for what is listened to beside what the databases know."""
        return list(map(dict, J1939_FILTERS)) if self.j1939 is not None else []

    def _wants(self, arbitration_id: int, is_extended: bool) -> bool:
        return is_extended and self.j1939 is not None and self.j1939.wants(arbitration_id)


def suggested_protocols(decoder: Decoder) -> frozenset[Protocol]:
    """j1939 where a database has a J1939 message."""
    return frozenset({"j1939"} if decoder.knows_j1939 else ())
