"""What diagnostics on a bus says, by listening alone: answers to whoever asks, a scan tool or the dash.

Listens to OBD's own identifiers (ISO 15765-4) at any time. Other identifiers from 700 on belong to diagnostics too in
many cars, but not in all: they are listened to for 5 s after a request was heard, unless a database defines them.
"""

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import replace
from typing import Final

from edge.codegen import Decoded
from edge.decoder import Decoder, SignalInfo
from edge.protocols.code_watch import CodeWatch, DeviceEvent, EventData
from edge.protocols.heard import NOTHING, Heard, Payload
from edge.protocols.isotp import IsoTp
from edge.protocols.obd import (
    CURRENT_DATA,
    IS_ANSWER,
    LISTS,
    PENDING,
    READ_DATA,
    READ_DTC,
    REFUSAL,
    read_codes,
    read_statuses,
    read_values,
    read_vin,
    requested_mask,
)
from edge.protocols.obd_pids import Pid

FILTERS: Final = (
    {"can_id": 0x700, "can_mask": 0x700, "extended": False},
    {"can_id": 0x18DA0000, "can_mask": 0x1FFE0000, "extended": True},
)
"""python-can's, for all that is listened to."""

_ENGINE: Final = (0x7E8, 0x10)  # whose signals carry no source in their names
_ANSWER_WITHIN_MS: Final = 5000  # P2* of ISO 14229-2, after "response pending"
_MOST_MASKS: Final = 32
_EXTENDED: Final = 1 << 29
_FAILED, _PENDING, _CONFIRMED = 0x01, 0x04, 0x08


class ObdListener:
    """One bus."""

    def __init__(self, decoder: Decoder) -> None:
        self.isotp = IsoTp()
        self._decoder = decoder
        self._indices: dict[tuple[int, int], tuple[int]] = {}
        self._codes = CodeWatch()
        self._statuses: dict[int, dict[str, int]] = {}
        self._vins: dict[int, str] = {}
        self._asked_ms: int | None = None
        self._masks: deque[tuple[int, int]] = deque(maxlen=_MOST_MASKS)

    def wants(self, arbitration_id: int, is_extended: bool) -> bool:
        """Whether an identifier is for this listener."""
        if is_extended:
            return arbitration_id >> 17 == 0x18DA >> 1
        return arbitration_id >= 0x700 and (_is_obd(arbitration_id) or not self._decoder.defines(arbitration_id, False))

    def faults(self) -> dict[str, int]:
        """Messages that were not heard whole, and frames that belong to none, by cause."""
        return self.isotp.counts.faults()

    def take(self, t_ms: int, arbitration_id: int, is_extended: bool, data: bytes) -> Heard:
        """A frame that is wanted."""
        is_obd = is_extended or _is_obd(arbitration_id)
        if not is_obd and not self._was_asked(t_ms) and not _asks(data):
            self._decoder.count_unknown(arbitration_id, False)
            return NOTHING
        own = self._decoder.decode_reserved(arbitration_id, is_extended, data)
        if own is not None and len(data) == 8 and 0 < data[0] < 8 and data[1] == CURRENT_DATA and not self.isotp.open:
            return Heard((own,))  # most of what there is on such a bus, and all of it in the database
        decoded: tuple[Decoded, ...] = () if own is None else (own,)
        content = self.isotp.take(t_ms, arbitration_id | _EXTENDED if is_extended else arbitration_id, data)
        if content is None:
            return Heard(decoded) if decoded else NOTHING
        if not content[0] & IS_ANSWER:
            self._note_request(t_ms, content)
        elif content[0] == CURRENT_DATA:
            if not decoded and is_obd:
                decoded = tuple(self._values(_source(arbitration_id, is_extended), content))
        else:
            events = self._events(t_ms, _source(arbitration_id, is_extended), content)
            return Heard(decoded, Payload(arbitration_id, is_extended, content), events)
        return Heard(decoded, Payload(arbitration_id, is_extended, content))

    def _was_asked(self, t_ms: int) -> bool:
        return self._asked_ms is not None and abs(t_ms - self._asked_ms) <= _ANSWER_WITHIN_MS

    def _note_request(self, t_ms: int, content: bytes) -> None:
        self._asked_ms = t_ms
        mask = requested_mask(content)
        if mask is not None:
            self._masks.append((t_ms, mask))

    def _values(self, source: int, content: bytes) -> Iterable[Decoded]:
        for pid, value in read_values(content):
            indices = self._indices.get((source, pid.number))
            if indices is None:
                indices = self._indices[source, pid.number] = (self._decoder.table.add(self._info(source, pid)),)
            yield indices, (value,), True

    def _info(self, source: int, pid: Pid) -> SignalInfo:
        """The engine's has the plain name, unless a database has a signal of that name."""
        bus = self._decoder.bus
        info = SignalInfo(
            name=f"{bus}:OBD.{pid.name}" if bus else f"OBD.{pid.name}",
            message="OBD",
            signal=pid.name,
            unit=pid.unit,
            minimum=pid.offset,
            maximum=pid.maximum,
            source=None,
        )
        if source in _ENGINE and self._decoder.table.find(info.name) in (None, info):
            return info
        return replace(info, name=f"{info.name}@{source:02X}", source=source)

    def _events(self, t_ms: int, source: int, content: bytes) -> list[DeviceEvent]:
        context: EventData = {"source": f"{source:02X}"}
        if self._decoder.bus is not None:
            context["bus"] = self._decoder.bus
        if content[0] == REFUSAL:
            if content[2:3] == bytes([PENDING]):
                self._asked_ms = t_ms
        elif (codes := read_codes(content)) is not None:
            status = LISTS[content[0]]
            named: dict[Hashable, EventData] = {code: {"code": code} for code in codes}
            return self._codes.replace((source, status), named, context | {"protocol": "obd2", "status": status})
        elif (statuses := read_statuses(content)) is not None:
            active = self._merge(t_ms, source, dict(statuses))
            return self._codes.replace((source, "uds"), active, context | {"protocol": "uds"})
        elif (vin := read_vin(content)) is not None and self._vins.get(source) != vin:
            self._vins[source] = vin
            return [("vin", context | {"vin": vin})]
        return []

    def _merge(self, t_ms: int, source: int, listed: dict[str, int]) -> dict[Hashable, EventData]:
        """The source's active codes after an answer of UDS.

        A code is gone when it is missing although it had one of the bits that were asked for. Which request an answer
        belongs to is not said, so only those bits count that every request of late has asked for; without any, nothing
        is gone.
        """
        masks = [mask for asked_ms, mask in self._masks if abs(t_ms - asked_ms) <= _ANSWER_WITHIN_MS]
        asked = 0xFF if masks else 0
        for mask in masks:
            asked &= mask
        known = self._statuses.get(source, {})
        merged = {code: status for code, status in known.items() if not status & asked} | listed
        self._statuses[source] = {code: status for code, status in merged.items() if _status_name(status)}
        return {code: {"code": code, "status": _status_name(status)} for code, status in self._statuses[source].items()}


def _is_obd(arbitration_id: int) -> bool:
    """All of them from 7DF on, and physical requests and answers, 7E0 to 7EF."""
    return 0x7DF <= arbitration_id <= 0x7EF


def _asks(data: bytes) -> bool:
    """Whether a frame can be a request for codes or data by UDS."""
    return len(data) >= 3 and 2 <= data[0] <= 7 and data[1] in (READ_DTC, READ_DATA)


def _source(arbitration_id: int, is_extended: bool) -> int:
    return arbitration_id & 0xFF if is_extended else arbitration_id


def _status_name(status: int) -> str | None:
    """The most that can be said of an active code; None where it is not active."""
    if status & _CONFIRMED:
        return "confirmed"
    if status & _PENDING:
        return "pending"
    return "failed" if status & _FAILED else None
