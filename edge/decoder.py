"""Decode the frames of one bus with its databases.

    decoder = Decoder(databases, bus="pt")
    decoded = decoder.decode(arbitration_id, is_extended, data)      # None, or (indices, values, changed)

`decoded` is a plain tuple. `indices` point into `decoder.signals`, `values` are their numbers (int or float exactly as
cantools gives them with `decode_choices=False`; a float signal may hold NaN or infinity, which is for the sampler to
drop). `changed` is False when the payload is that of the frame before with the same identifier: then `indices` and
`values` are the very objects that were given then, and nothing was decoded. The signals of one frame come in cantools'
order. None means that no database knows the identifier.

A message that cantools cannot unpack gives no signals; `decoder.undecodable` names it. A short frame gives the signals
that fit, a long one is cut, an unknown selector value gives what does not depend on it; `decoder.counts` counts each.

A message that the database marks (VFrameFormat J1939PG) is matched by its parameter group: priority and source address,
and the destination where there is one, do not matter. A frame from another source than the database's identifier names
has the source address, two hexadecimal digits, behind the signal's name: `EEC1.EngineSpeed@0B`. Such signals, and all
of messages with the source 0xFE (no address, hence "any"), join `decoder.signals` when first seen: indices stay valid.

Identifiers of protocols that need more than one frame, or more than a database says, can be reserved: `decode` gives
None for them without counting them, and they are in `decoder.reserved_ids` when it does; `decode_reserved` is there for
what a database knows of them. Other frames cost what they would without.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cantools.database.can import Database, Message, Signal

from edge.buses.frame_check import Check, check_of
from edge.codegen import Decoded, Reader
from edge.protocol_names import CheckTable
from edge.recordings.message_layout import UNKNOWN_MUX as UNKNOWN_SELECTOR
from edge.recordings.message_layout import is_decodable
from wire.quality import BAD_CHECKSUM, COUNTER_SKIP, UNKNOWN_MUX

ANY_SOURCE = 0xFE  # SAE J1939-81: the null address, which tools write where no source is meant
MOST_FILTERS = 500  # Linux takes 512 filters per socket
_MOST_UNKNOWN_IDS = 1000
_MOST_RESERVED_IDS = 4096
_PGN_OF_PDU2 = 0x03FFFF00
_PGN_OF_PDU1 = 0x03FF0000


@dataclass(frozen=True, slots=True)
class SignalInfo:
    """What the databases say about one signal. `source` is a J1939 source address that the name carries."""

    name: str
    message: str
    signal: str
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    choices: Mapping[int | float, str] | None = None  # scaled value → text
    source: int | None = None

    @property
    def label(self) -> str:
        """The signal's name within its message: with the source, without bus and message."""
        return self.signal if self.source is None else f"{self.signal}@{self.source:02X}"

    @property
    def pattern_name(self) -> str:
        """What sampling patterns look at: `Message.Signal`, without bus or source."""
        return f"{self.message}.{self.signal}"


@dataclass(slots=True)
class DecodeCounts:
    """Frames with a fault, by cause and by message name (by hexadecimal identifier where there is no message)."""

    unknown_id: Counter[str] = field(default_factory=Counter)
    too_short: Counter[str] = field(default_factory=Counter)
    too_long: Counter[str] = field(default_factory=Counter)
    unknown_mux: Counter[str] = field(default_factory=Counter)
    undecodable: Counter[str] = field(default_factory=Counter)
    bad_checksum: Counter[str] = field(default_factory=Counter)
    counter_skip: Counter[str] = field(default_factory=Counter)

    def add(self, cause: str, name: str) -> None:
        getattr(self, cause)[name] += 1

    def totals(self) -> dict[str, int]:
        return {cause: getattr(self, cause).total() for cause in self.__dataclass_fields__}


class SignalTable:
    """The signals of one or several decoders under one numbering. A name that is there already keeps its index."""

    def __init__(self) -> None:
        self.signals: list[SignalInfo] = []
        self._index_by_name: dict[str, int] = {}
        self._owners: dict[int, Slot] = {}

    def add(self, info: SignalInfo) -> int:
        index = self._index_by_name.setdefault(info.name, len(self.signals))
        if index == len(self.signals):
            self.signals.append(info)
        return index

    def claim(self, index: int, slot: "Slot") -> None:
        """Note whose signal it is. Of two who carry the same one, neither can know from its own frames what is new."""
        other = self._owners.setdefault(index, slot)
        if other is not slot:
            other.remember_nothing()
            slot.remember_nothing()

    def find(self, name: str) -> "SignalInfo | None":
        """The signal of that name, None if there is none."""
        index = self._index_by_name.get(name)
        return None if index is None else self.signals[index]


class Decoder:
    """One bus. Where two databases define an identifier, the later one holds; `overridden` names the earlier."""

    def __init__(
        self,
        databases: Iterable[Database],
        *,
        bus: str | None = None,
        table: SignalTable | None = None,
        checks: CheckTable | None = None,
    ) -> None:
        self.counts = DecodeCounts()
        self.overridden: list[str] = []
        self.undecodable: list[str] = []
        self._prefix = f"{bus}:" if bus else ""
        self._checks = checks
        self._table = table if table is not None else SignalTable()
        self._messages: dict[tuple[int, bool], Message] = {}
        self._groups: dict[int, list[Message]] = {}
        self._standard: dict[int, Slot] = {}
        self._extended: dict[int, Slot] = {}
        self.reserved_ids: set[int] = set()
        self._reserved: dict[tuple[int, bool], Slot] = {}
        self._is_reserved: Callable[[int, bool], bool] = _never
        self._slots: dict[tuple[str, int, int | None], Slot] = {}
        for database in databases:
            for message in database.messages:
                self._register(message)
        for message in self._messages.values():
            if not (_is_j1939(message) and message.frame_id & 0xFF == ANY_SOURCE):
                self._slot(message, message.frame_id & 0xFF)

    @property
    def signals(self) -> Sequence[SignalInfo]:
        """Grows when a J1939 source is first seen; an index never changes its meaning."""
        return self._table.signals

    @property
    def table(self) -> SignalTable:
        """For those who find signals outside of the databases."""
        return self._table

    @property
    def bus(self) -> str | None:
        """The bus's name, which stands before the signals'."""
        return self._prefix[:-1] or None

    @property
    def knows_j1939(self) -> bool:
        """Whether a database says of any message that it is J1939's."""
        return bool(self._groups)

    def decode(self, arbitration_id: int, is_extended: bool, data: bytes) -> Decoded | None:
        """The signals of one data frame, see the module."""
        slot = (self._extended if is_extended else self._standard).get(arbitration_id)
        if slot is None:
            slot = self._open(arbitration_id, is_extended)
            if slot is None:
                self.count_unknown(arbitration_id, is_extended)
                return None
        if data == slot.payload:
            return slot.unchanged
        if len(data) != slot.length:
            return slot.read_other(data)
        slot.payload = data
        decoded = slot.reader.read(data)
        slot.unchanged = (decoded[0], decoded[1], False)
        return decoded

    def slot(self, arbitration_id: int, is_extended: bool) -> "Slot | None":
        """What an identifier that was decoded before has its signals from."""
        return (self._extended if is_extended else self._standard).get(arbitration_id)

    def reader(self, arbitration_id: int, is_extended: bool) -> Reader | None:
        """What reads an identifier's frames; None where no database knows it, or where it is reserved."""
        slot = self.slot(arbitration_id, is_extended) or self._open(arbitration_id, is_extended)
        return None if slot is None or isinstance(slot, _UnknownSlot | _ReservedSlot) else slot.reader

    def reserve(self, is_reserved: Callable[[int, bool], bool]) -> None:
        """Leave identifiers to others, before the first frame; see the module."""
        self._is_reserved = is_reserved

    def decode_reserved(self, arbitration_id: int, is_extended: bool, data: bytes) -> Decoded | None:
        """The signals that a database knows of a frame, or of several that were put together, under a reserved id."""
        slot = self._reserved.get((arbitration_id, is_extended))
        if slot is None:
            message = self._find(arbitration_id, is_extended)
            if message is None:
                return None
            slot = self._reserved[arbitration_id, is_extended] = self._slot(message, arbitration_id & 0xFF)
        return slot.read(data)

    def defines(self, arbitration_id: int, is_extended: bool) -> bool:
        """Whether a database has a message for the identifier."""
        return self._find(arbitration_id, is_extended) is not None

    def count_unknown(self, arbitration_id: int, is_extended: bool, *, frames: int = 1) -> None:
        """Count what no database knows, by its identifier."""
        name = _id_name(arbitration_id, is_extended)
        unknown = self.counts.unknown_id
        unknown[name if name in unknown or len(unknown) < _MOST_UNKNOWN_IDS else "others"] += frames

    def filters(self, others: Sequence[dict[str, int | bool]] = ()) -> list[dict[str, int | bool]]:
        """python-can's filters for what the databases know, and `others`; empty, which means everything, where there
        are too many."""
        filters: dict[tuple[int, int, bool], None] = {}
        for message in self._messages.values():
            mask = 0x1FFFFFFF if message.is_extended_frame else 0x7FF
            if _is_j1939(message):
                mask = _group_mask(message.frame_id)
            filters[message.frame_id & mask, mask, message.is_extended_frame] = None
        if len(filters) + len(others) > MOST_FILTERS:
            return []
        known = [{"can_id": can_id, "can_mask": mask, "extended": extended} for can_id, mask, extended in filters]
        return [*known, *others]

    def _register(self, message: Message) -> None:
        key = (message.frame_id, message.is_extended_frame)
        if key in self._messages:
            self.overridden.append(self._messages[key].name)
        self._messages[key] = message
        if _is_j1939(message):
            self._groups.setdefault(_group(message.frame_id), []).append(message)

    def _open(self, arbitration_id: int, is_extended: bool) -> "Slot | None":
        """The slot for an identifier that is seen for the first time; None, which is not kept, where there is none."""
        slot: Slot
        if self._is_reserved(arbitration_id, is_extended):
            slot = self._open_reserved(arbitration_id)
        elif (message := self._find(arbitration_id, is_extended)) is not None:
            slot = self._slot(message, arbitration_id & 0xFF)
        elif len(self.counts.unknown_id) < _MOST_UNKNOWN_IDS:
            slot = _UnknownSlot(_id_name(arbitration_id, is_extended), self.counts)
        else:
            return None
        (self._extended if is_extended else self._standard)[arbitration_id] = slot
        return slot

    def _open_reserved(self, arbitration_id: int) -> "_ReservedSlot":
        """Remembers the identifier; of too many, all are forgotten, and opened anew when they come again."""
        if len(self.reserved_ids) >= _MOST_RESERVED_IDS:
            for slots in (self._standard, self._extended):
                for known in self.reserved_ids & slots.keys():
                    if isinstance(slots[known], _ReservedSlot):
                        del slots[known]
            self.reserved_ids.clear()
        self.reserved_ids.add(arbitration_id)
        return _ReservedSlot()

    def _find(self, arbitration_id: int, is_extended: bool) -> Message | None:
        exact = self._messages.get((arbitration_id, is_extended))
        if exact is not None or not is_extended:
            return exact
        candidates = self._groups.get(_group(arbitration_id), [])
        for source in (arbitration_id & 0xFF, ANY_SOURCE):
            for message in candidates:
                if message.frame_id & 0xFF == source:
                    return message
        return candidates[0] if candidates else None

    def _slot(self, message: Message, source: int) -> "Slot":
        """All identifiers that carry the same signals share one slot, or "unchanged" would be said too early."""
        named_source = source if _is_j1939(message) and source != message.frame_id & 0xFF else None
        key = (message.name, message.frame_id, named_source)
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = self._build(message, named_source)
        return slot

    def _build(self, message: Message, source: int | None) -> "Slot":
        if not is_decodable(message):
            self.undecodable.append(message.name)
            slot = Slot(message, {}, self.counts)
            slot.remember_nothing()
            return slot
        infos = {signal.name: _info(self._prefix, message, signal, source) for signal in message.signals}
        indices = {name: self._table.add(info) for name, info in infos.items()}
        slot = Slot(message, indices, self.counts)
        slot.check = None if self._checks is None else check_of(message, self._checks)
        for index in indices.values():
            self._table.claim(index, slot)
        return slot


class Slot:
    """A message as it comes from one source: its reader, and the payload that it had last."""

    __slots__ = (
        *("_counts", "_flags", "_message_length", "_name"),
        *("check", "cycle_ms", "length", "payload", "reader", "unchanged"),
    )

    def __init__(self, message: Message, indices: Mapping[str, int], counts: DecodeCounts) -> None:
        self.length = message.length  # of frames that need no second look; -1 where all do
        self.payload: bytes | None = None
        self.unchanged: Decoded | None = None
        self.reader = Reader(message, indices, self._report)
        self.check: Check | None = None
        self.cycle_ms: int = message.cycle_time or 0
        self._flags = 0
        self._name = message.name
        self._message_length = message.length
        self._counts = counts

    def quality(self, data: bytes) -> int:
        """What is wrong with a frame that was just read for the first time, as flags of wire.quality, and counted."""
        flags, self._flags = self._flags, 0
        if self.check is not None and len(data) == self._message_length:
            found = self.check(data)
            for flag, cause in ((BAD_CHECKSUM, "bad_checksum"), (COUNTER_SKIP, "counter_skip")):
                if found & flag:
                    self._counts.add(cause, self._name)
            flags |= found
        return flags

    def remember_nothing(self) -> None:
        """Read every frame anew from now on."""
        self.length = -1
        self.payload = self.unchanged = None

    def read(self, data: bytes) -> Decoded | None:
        """What `Decoder.decode` does with a slot, which does not come here for the sake of speed."""
        if self.unchanged is not None and data == self.payload:
            return self.unchanged
        if len(data) != self.length:
            return self.read_other(data)
        self.payload = data
        decoded = self.reader.read(data)
        self.unchanged = (decoded[0], decoded[1], False)
        return decoded

    def read_other(self, data: bytes) -> Decoded | None:
        """A frame of another length, or one whose payload must not be remembered."""
        self.payload = None
        if len(data) < self._message_length:
            self._report("too_short")
            return self.reader.read_short(data)
        if len(data) > self._message_length:
            self._report("too_long")
        return self.reader.read(data[: self._message_length])

    def _report(self, cause: str) -> None:
        self._counts.add(cause, self._name)
        self._flags = UNKNOWN_MUX if cause == UNKNOWN_SELECTOR else 0
        self.payload = None  # a frame with a fault is read again, so that each is counted


class _ReservedSlot(Slot):
    """An identifier that is left to others."""

    __slots__ = ()

    def __init__(self) -> None:
        self.length = -1
        self.payload = None
        self.unchanged = None
        self.cycle_ms = 0

    def read_other(self, data: bytes) -> None:
        """See Slot."""


class _UnknownSlot(Slot):
    """An identifier that no database has: its frames are counted."""

    __slots__ = ()

    def __init__(self, name: str, counts: DecodeCounts) -> None:
        self.length = -1
        self.payload = None
        self.unchanged = None
        self._name = name
        self._counts = counts

    def read_other(self, data: bytes) -> None:
        """See Slot."""
        self._counts.unknown_id[self._name] += 1


def _info(prefix: str, message: Message, signal: Signal, source: int | None) -> SignalInfo:
    suffix = "" if source is None else f"@{source:02X}"
    scale, offset = signal.conversion.scale, signal.conversion.offset
    choices = {raw * scale + offset: str(text) for raw, text in (signal.choices or {}).items()}
    return SignalInfo(
        name=f"{prefix}{message.name}.{signal.name}{suffix}",
        message=message.name,
        signal=signal.name,
        unit=signal.unit,
        minimum=signal.minimum,
        maximum=signal.maximum,
        choices=choices or None,
        source=source,
    )


def _id_name(arbitration_id: int, is_extended: bool) -> str:
    return f"{arbitration_id:08X}" if is_extended else f"{arbitration_id:03X}"


def _never(arbitration_id: int, is_extended: bool) -> bool:
    return False


def _is_j1939(message: Message) -> bool:
    return message.protocol == "j1939" and message.is_extended_frame


def _group_mask(arbitration_id: int) -> int:
    """The bits that make the parameter group: below PDU format 240 the next byte is a destination, not a part of it."""
    return _PGN_OF_PDU2 if (arbitration_id >> 16) & 0xFF >= 240 else _PGN_OF_PDU1


def _group(arbitration_id: int) -> int:
    return arbitration_id & _group_mask(arbitration_id)
