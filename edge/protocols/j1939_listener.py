"""What a J1939 bus says in more than one frame, and its trouble codes, by listening alone.

Takes TP.CM, TP.DT, DM1 and DM2; a message that was put together goes through the decoder as if it had come in one
frame. DM1 and DM2 become events when a code appears, disappears or occurs again.
"""

from typing import Final

from edge.codegen import Decoded
from edge.decoder import Decoder
from edge.protocols.code_watch import CodeWatch, DeviceEvent, EventData
from edge.protocols.heard import NOTHING, Heard
from edge.protocols.j1939_dm import DM1_PGN, DM2_PGN, read_dm
from edge.protocols.j1939_id import join_id, split_id
from edge.protocols.j1939_transport import CONTROL_PGN, PACKET_PGN, J1939Transport, Transfer

FILTERS: Final = tuple(
    {"can_id": pgn << 8, "can_mask": mask << 8, "extended": True}
    for pgn, mask in ((CONTROL_PGN, 0x3FF00), (PACKET_PGN, 0x3FF00), (DM1_PGN, 0x3FFFF), (DM2_PGN, 0x3FFFF))
)
"""python-can's, for all that is listened to."""

_TRANSPORT: Final = frozenset({CONTROL_PGN, PACKET_PGN})
_STATUS: Final = {DM1_PGN: "active", DM2_PGN: "previously_active"}


class J1939Listener:
    """One bus."""

    def __init__(self, decoder: Decoder) -> None:
        self.transport = J1939Transport()
        self._decoder = decoder
        self._codes = CodeWatch()

    @staticmethod
    def wants(arbitration_id: int) -> bool:
        """Whether a 29 bit identifier is for this listener."""
        pgn = (arbitration_id >> 8) & 0x3FFFF
        return pgn & 0x3FF00 in _TRANSPORT or pgn in _STATUS

    def faults(self) -> dict[str, int]:
        """Transfers that were not heard whole, and frames that belong to none, by cause."""
        return self.transport.counts.faults()

    def take(self, t_ms: int, arbitration_id: int, data: bytes) -> Heard:
        """A frame that is wanted."""
        pgn, source, destination = split_id(arbitration_id)
        own = self._decode(arbitration_id, data)
        if pgn == CONTROL_PGN:
            self.transport.take_control(t_ms, source, destination, data)
            return Heard(own) if own else NOTHING
        if pgn != PACKET_PGN:
            message = Transfer(pgn, source, destination, data)
            return Heard(own, message, self._events(message))
        whole = self.transport.take_packet(t_ms, source, destination, data)
        if whole is None:
            return Heard(own) if own else NOTHING
        return Heard(own + self._decode_whole(whole), whole, self._events(whole))

    def _decode(self, arbitration_id: int, data: bytes) -> tuple[Decoded, ...]:
        decoded = self._decoder.decode_reserved(arbitration_id, True, data)
        return () if decoded is None else (decoded,)

    def _decode_whole(self, message: Transfer) -> tuple[Decoded, ...]:
        arbitration_id = join_id(message.pgn, message.source, message.destination)
        decoded = self._decode(arbitration_id, message.data)
        if not decoded and message.pgn not in _STATUS:
            self._decoder.count_unknown(arbitration_id, True)
        return decoded

    def _events(self, message: Transfer) -> list[DeviceEvent]:
        status = _STATUS.get(message.pgn)
        said = read_dm(message.data) if status is not None else None
        if said is None:
            return []
        codes: dict[object, EventData] = {}
        for code in said.codes:
            data: EventData = {"spn": code.spn, "fmi": code.fmi, "occurrence": code.occurrence}
            codes[code.spn, code.fmi] = data | ({"conversion_method": 1} if code.conversion_method else {})
        context: EventData = {
            "protocol": "j1939",
            "source": f"{message.source:02X}",
            "status": status,
            "lamps": list(said.lit),
        }
        if self._decoder.bus is not None:
            context["bus"] = self._decoder.bus
        return self._codes.replace((message.pgn, message.source), codes, context)
