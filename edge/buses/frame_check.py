"""Counters and checksums that makers put into their frames, by small tables that the configuration chooses from.

- `opendbc`: a signal COUNTER goes up by one from frame to frame, as in the databases of that name.
- `toyota`: also CHECKSUM: length, identifier and all other bytes added up.
- `tesla`: signals whose names end in Counter and Checksum: identifier and all other bytes added up.
- `hyundai`: the messages of Hyundai's and Kia's electric cars whose Counter and Checksum are known.

The rules were found by observation, by the authors of opendbc and of the Kona's database, and hold on the recording of
that car in every frame; no recording of the other makes was at hand.
"""

from collections.abc import Callable, Mapping
from functools import reduce
from operator import xor
from typing import Final, Literal

from cantools.database.can import Message, Signal

from edge.protocol_names import CheckTable
from edge.recordings.message_layout import place
from wire.quality import BAD_CHECKSUM, COUNTER_SKIP

Check = Callable[[bytes], int]
"""The flags that a frame of the message's length earns, which come after one another."""

Sum = Callable[[int, bytes], int]
"""A checksum by identifier and content, the bits of the checksum itself being zero."""


def nibble_sum(_: int, data: bytes) -> int:
    """All half bytes added up."""
    return sum((byte >> 4) + (byte & 15) for byte in data)


def nibble_xor(_: int, data: bytes) -> int:
    """All half bytes, exclusive or."""
    return reduce(xor, ((byte >> 4) ^ (byte & 15) for byte in data), 0)


def byte_sum(arbitration_id: int, data: bytes) -> int:
    """Identifier and bytes added up."""
    return (arbitration_id & 0xFF) + (arbitration_id >> 8) + sum(data)


def byte_sum_with_length(arbitration_id: int, data: bytes) -> int:
    """The same, and the length."""
    return byte_sum(arbitration_id, data) + len(data)


_HYUNDAI_SUMS: Final[Mapping[int, Sum]] = {0x109: nibble_sum, 0x10C: nibble_sum, 0x2B0: nibble_xor}
_HYUNDAI_COUNTERS: Final = frozenset({0x109, 0x10C, 0x200, 0x220, 0x2B0, 0x394, 0x471, 0x592})


def check_of(message: Message, table: CheckTable) -> Check | None:
    """What checks a message's frames; None where the table knows nothing of it."""
    counter, checksum = _named(message, table)
    checks: list[Check] = []
    if counter is not None:
        checks.append(_CounterCheck(counter))
    if checksum is not None:
        signal, compute = checksum
        checks.append(_ChecksumCheck(message.frame_id, signal, compute))
    if not checks or message.is_multiplexed():
        return None
    return lambda data: sum(check(data) for check in checks)


def _named(message: Message, table: CheckTable) -> tuple[Signal | None, tuple[Signal, Sum] | None]:
    """The signals that the table means."""
    if table == "hyundai":
        counter = _find(message, "Counter") if message.frame_id in _HYUNDAI_COUNTERS else None
        checksum, compute = _find(message, "Checksum"), _HYUNDAI_SUMS.get(message.frame_id)
    elif table == "tesla":
        counter, checksum, compute = _find(message, "Counter"), _find(message, "Checksum"), byte_sum
    else:
        counter = _find(message, "COUNTER")
        checksum = _find(message, "CHECKSUM") if table == "toyota" else None
        compute = byte_sum_with_length
    return counter, None if checksum is None or compute is None else (checksum, compute)


def _find(message: Message, ending: str) -> Signal | None:
    found = [signal for signal in message.signals if signal.name.endswith(ending)]
    return found[0] if len(found) == 1 else None


class _CounterCheck:
    """A counter starts anew behind its maximum, which some makers set below what its bits can hold."""

    def __init__(self, signal: Signal) -> None:
        full = 1 << signal.length
        top = full - 1 if signal.maximum is None else int(signal.maximum)
        self._states = top + 1 if 0 < top < full else full
        self._read = _bits_of(signal)
        self._last: bytes | None = None

    def __call__(self, data: bytes) -> int:
        last, self._last = self._last, data
        if last is None or last == data:
            return 0
        return 0 if (self._read(last) + 1) % self._states == self._read(data) else COUNTER_SKIP


class _ChecksumCheck:
    def __init__(self, arbitration_id: int, signal: Signal, compute: Sum) -> None:
        first, last, shift = place(signal)
        order: Literal["little", "big"] = "little" if signal.byte_order == "little_endian" else "big"
        own = (((1 << signal.length) - 1) << shift).to_bytes(last - first + 1, order)
        self._others = [(first + number, 0xFF & ~mask) for number, mask in enumerate(own)]
        self._mask = (1 << signal.length) - 1
        self._read = _bits_of(signal)
        self._arbitration_id = arbitration_id
        self._compute = compute

    def __call__(self, data: bytes) -> int:
        content = bytearray(data)
        for number, mask in self._others:
            content[number] &= mask
        wanted = self._compute(self._arbitration_id, bytes(content)) & self._mask
        return 0 if self._read(data) == wanted else BAD_CHECKSUM


def _bits_of(signal: Signal) -> Callable[[bytes], int]:
    first, last, shift = place(signal)
    order: Literal["little", "big"] = "little" if signal.byte_order == "little_endian" else "big"
    mask = (1 << signal.length) - 1
    return lambda data: (int.from_bytes(data[first : last + 1], order) >> shift) & mask
