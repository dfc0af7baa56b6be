"""What the kernel gives for frames of a CAN bus, as Frames. Pure: bytes in, frames and counts out.

A slot holds one message as recvmmsg fills it: struct canfd_frame (a classic frame is a shorter one), the kernel's time
of reception and its count of dropped frames, in the order in which the kernel writes them. What is absent is zero.
"""

import socket
from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple

from edge.frame import Frame

SO_TIMESTAMPNS: Final = 64  # SO_TIMESTAMPNS_NEW of Linux 5.1: 64 bits, also on a computer of 32
SO_RXQ_OVFL: Final = 40
FRAME_BYTES: Final = 72  # CANFD_MTU

_HEAD: Final = Struct("@Nii")
_TIME: Final = Struct("@qq")
_COUNT: Final = Struct("@I")
_EXTENDED: Final = 0x80000000
_REMOTE: Final = 0x40000000
_ERROR: Final = 0x20000000
_ID: Final = 0x1FFFFFFF
_CLASSIC_DATA: Final = 8
_DATA_AT: Final = 8
_NS_PER_S: Final = 1_000_000_000

CONTROL_BYTES: Final = socket.CMSG_SPACE(_TIME.size) + socket.CMSG_SPACE(_COUNT.size)
_SLOT: Final = Struct(
    f"=IB3x{_CLASSIC_DATA}s{FRAME_BYTES - _DATA_AT - _CLASSIC_DATA}x"
    f"{socket.CMSG_LEN(0)}sqq{socket.CMSG_SPACE(_TIME.size) - socket.CMSG_LEN(_TIME.size)}x"
    f"{socket.CMSG_LEN(0)}sI{socket.CMSG_SPACE(_COUNT.size) - socket.CMSG_LEN(_COUNT.size)}x"
)
SLOT_BYTES: Final = _SLOT.size
_TIME_HEAD: Final = _HEAD.pack(socket.CMSG_LEN(_TIME.size), socket.SOL_SOCKET, SO_TIMESTAMPNS)
_COUNT_HEAD: Final = _HEAD.pack(socket.CMSG_LEN(_COUNT.size), socket.SOL_SOCKET, SO_RXQ_OVFL)


class ErrorFrame(NamedTuple):
    """What the controller tells of itself or the bus: classes and data of linux/can/error.h."""

    t_ns: int
    error_class: int
    data: bytes


class Received(NamedTuple):
    """The messages of some slots, by kind. `dropped` is the kernel's count since the socket was opened, if it says."""

    frames: list[Frame]
    errors: Sequence[ErrorFrame]
    remote: int
    dropped: int | None


def parse_slots(slots: memoryview, channel: str, now_ns: int) -> Received:
    """Whole slots, in their order. `now_ns` stands in where the kernel gives no time."""
    frames: list[Frame] = []
    errors: list[ErrorFrame] = []
    remote = 0
    dropped: int | None = None
    append, new = frames.append, tuple.__new__
    for can_id, length, data, time_head, seconds, nanoseconds, count_head, count in _SLOT.iter_unpack(slots):
        t_ns = seconds * _NS_PER_S + nanoseconds if time_head == _TIME_HEAD else now_ns
        if count_head == _COUNT_HEAD:
            dropped = count
        if length != _CLASSIC_DATA:
            begin = (len(frames) + len(errors) + remote) * SLOT_BYTES + _DATA_AT
            data = bytes(slots[begin : begin + min(length, FRAME_BYTES - _DATA_AT)])
        if can_id < _ERROR:
            append(new(Frame, (t_ns, channel, can_id, False, data)))  # twice as fast as Frame(…)
        elif can_id & _ERROR:
            errors.append(ErrorFrame(t_ns, can_id & _ID, data))
        elif can_id & _REMOTE:
            remote += 1
        else:
            append(new(Frame, (t_ns, channel, can_id & _ID, True, data)))
    return Received(frames, errors, remote, dropped)


def pack_slot(can_id: int, data: bytes, *, t_ns: int | None = None, dropped: int | None = None) -> bytes:
    """A slot as the kernel would fill it."""
    timed, counted = t_ns is not None, dropped is not None
    slot = _SLOT.pack(
        can_id,
        len(data),
        data[:_CLASSIC_DATA],
        _TIME_HEAD if timed else b"",
        *divmod(t_ns or 0, _NS_PER_S),
        _COUNT_HEAD if counted else b"",
        dropped or 0,
    )
    return slot[:_DATA_AT] + data.ljust(FRAME_BYTES - _DATA_AT, b"\0") + slot[FRAME_BYTES:]
