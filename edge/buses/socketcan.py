"""The raw socket of SocketCAN: opened, and read in batches. The only file that knows it.

Python has no recvmmsg; through ctypes one call fetches up to 256 frames with their times and the count of dropped ones.
"""

import ctypes
import errno
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from struct import pack
from typing import Final, Self

from edge.buses.socketcan_frames import CONTROL_BYTES, FRAME_BYTES, SLOT_BYTES, SO_RXQ_OVFL, SO_TIMESTAMPNS

AT_ONCE: Final = 256
FULL_BYTES: Final = AT_ONCE * SLOT_BYTES
_SO_RCVBUFFORCE: Final = 33
_SOL_CAN_RAW: Final = 101
_CAN_RAW_FILTER: Final = 1
_CAN_RAW_ERR_FILTER: Final = 2
_CAN_RAW_FD_FRAMES: Final = 5
_ALL_ERRORS: Final = 0x1FFFFFFF
_EXTENDED: Final = 0x80000000


def has_socketcan() -> bool:
    """Whether this kernel has it."""
    if not hasattr(socket, "AF_CAN"):
        return False
    try:
        socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW).close()
    except OSError as error:
        return error.errno not in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)
    return True


def open_socketcan(
    channel: str, *, filters: Sequence[dict[str, int | bool]] = (), fd: bool = True, buffer_bytes: int
) -> socket.socket:
    """A socket that receives the frames of an interface, errors included; `filters` are python-can's, none means all.

    Raises OSError. An interface that is down can be opened: the first read says so.
    """
    opened = socket.socket(socket.AF_CAN, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.CAN_RAW)
    try:
        opened.setsockopt(_SOL_CAN_RAW, _CAN_RAW_ERR_FILTER, _ALL_ERRORS)
        if filters:
            opened.setsockopt(_SOL_CAN_RAW, _CAN_RAW_FILTER, pack_filters(filters))
        if fd:
            with suppress(OSError):  # a kernel without CAN FD has no such frames either
                opened.setsockopt(_SOL_CAN_RAW, _CAN_RAW_FD_FRAMES, 1)
        receive_with_times(opened, buffer_bytes)
        opened.bind((channel,))
    except OSError:
        opened.close()
        raise
    return opened


def pack_filters(filters: Sequence[dict[str, int | bool]]) -> bytes:
    """struct can_filter for each. A filter that says `extended` lets only such identifiers, or only others, through."""
    packed = bytearray()
    for wanted in filters:
        can_id, mask = int(wanted["can_id"]), int(wanted["can_mask"])
        if "extended" in wanted:
            mask |= _EXTENDED
            can_id |= _EXTENDED if wanted["extended"] else 0
        packed += pack("=II", can_id, mask)
    return bytes(packed)


def receive_with_times(opened: socket.socket, buffer_bytes: int) -> None:
    """Ask for the kernel's times, its count of drops, and a buffer (without a privilege no more than it allows all)."""
    opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    opened.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)


class FrameSocket:
    """Reads a non-blocking socket whose messages are CAN frames; owns it."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._slots = (ctypes.c_char * (AT_ONCE * SLOT_BYTES))()
        self._view = memoryview(self._slots).cast("B")
        self._parts = (_Part * AT_ONCE)()
        self._headers = (_Header * AT_ONCE)()
        for place, (header, part) in enumerate(zip(self._headers, self._parts, strict=True)):
            part.base = ctypes.addressof(self._slots) + place * SLOT_BYTES
            part.length = FRAME_BYTES
            message = header.message
            message.parts = ctypes.pointer(part)
            message.part_count = 1
            message.control = part.base + FRAME_BYTES
            message.control_length = CONTROL_BYTES
        self._unused = bytes(self._headers)
        self._used = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """For those who wait until there is something to read."""
        return self._socket.fileno()

    def send(self, arbitration_id: int, is_extended: bool, data: bytes) -> None:
        """A classic data frame, handed to the driver. Raises OSError, as where its queue is full."""
        can_id = arbitration_id | (_EXTENDED if is_extended else 0)
        self._socket.send(pack("=IB3x8s", can_id, len(data), data))

    @property
    def buffer_bytes(self) -> int:
        """The room that the kernel gives; each frame takes some hundred bytes of it."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def read(self) -> memoryview:
        """The slots of what waits, `AT_ONCE` at most: fewer say that no more does. They hold until the next call.

        Raises OSError: the interface is down or gone.
        """
        used = self._used
        ctypes.memset(self._slots, 0, used * SLOT_BYTES)
        ctypes.memmove(self._headers, self._unused, used * ctypes.sizeof(_Header))
        self._used = 0
        count = _recvmmsg(self._socket.fileno(), self._headers, AT_ONCE, socket.MSG_DONTWAIT, None)
        if count < 0:
            problem = ctypes.get_errno()
            if problem in (errno.EAGAIN, errno.EINTR):
                return self._view[:0]
            raise OSError(problem, os.strerror(problem))
        self._used = count
        return self._view[: count * SLOT_BYTES]


class _Part(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("parts", ctypes.POINTER(_Part)),
        ("part_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Header(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (("message", _Message), ("received", ctypes.c_uint))


_recvmmsg = ctypes.CDLL(None, use_errno=True).recvmmsg
_recvmmsg.argtypes = (ctypes.c_int, ctypes.POINTER(_Header), ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
