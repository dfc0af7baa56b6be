"""What the kernel says of a network interface: what it is, and for a CAN controller whether it only listens."""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct, unpack_from
from typing import Final

_HEADER: Final = Struct("=IHHII")  # struct nlmsghdr
_LINK: Final = Struct("=BxHiII")  # struct ifinfomsg
_ATTRIBUTE: Final = Struct("=HH")
_GET_LINK: Final = 18
_ERROR: Final = 2
_REQUEST: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_LINKINFO: Final = 18
_INFO_KIND: Final = 1
_INFO_DATA: Final = 2
_CAN_BITTIMING: Final = 1
_CAN_CTRLMODE: Final = 5
_LISTEN_ONLY: Final = 0x02
_IFF_UP: Final = 1
_TYPE_MASK: Final = 0x3FFF
_ANSWER_BYTES: Final = 65_536
_TIMEOUT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class CanLink:
    """`kind` is the driver's family: "can" for controllers, "vcan" for virtual buses. None is what is not said."""

    is_up: bool
    kind: str | None
    listen_only: bool | None
    bitrate: int | None


def ask_link(name: str) -> CanLink | None:
    """What rtnetlink(7) says of the interface; None where it may not be asked. Raises OSError: there is none such."""
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(name) + 1, _IFLA_IFNAME) + name.encode() + b"\0"
    body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + _padded(attribute)
    request = _HEADER.pack(_HEADER.size + len(body), _GET_LINK, _REQUEST, 1, 0) + body
    try:
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    except OSError:  # a service may be kept from it
        return None
    with netlink:
        netlink.settimeout(_TIMEOUT_S)
        netlink.send(request)
        return parse_link(netlink.recv(_ANSWER_BYTES))


def parse_link(answer: bytes) -> CanLink:
    """The kernel's answer. Raises OSError for one that says why not."""
    length, kind_of_answer, *_ = _HEADER.unpack_from(answer)
    if kind_of_answer == _ERROR:
        (number,) = unpack_from("=i", answer, _HEADER.size)
        raise OSError(-number, os.strerror(-number))
    flags = _LINK.unpack_from(answer, _HEADER.size)[3]
    info: dict[int, bytes] = {}
    for number, value in _attributes(answer[_HEADER.size + _LINK.size : length]):
        if number == _IFLA_LINKINFO:
            info = dict(_attributes(value))
    kind = info[_INFO_KIND].rstrip(b"\0").decode() if _INFO_KIND in info else None
    data = dict(_attributes(info.get(_INFO_DATA, b""))) if kind == "can" else {}
    listen_only = bitrate = None
    if _CAN_CTRLMODE in data:
        listen_only = bool(unpack_from("=II", data[_CAN_CTRLMODE])[1] & _LISTEN_ONLY)
    if _CAN_BITTIMING in data:
        (bitrate,) = unpack_from("=I", data[_CAN_BITTIMING])
    return CanLink(bool(flags & _IFF_UP), kind, listen_only, bitrate)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """struct rtattr, one after the other."""
    while len(data) >= _ATTRIBUTE.size:
        length, number = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= length <= len(data):
            return
        yield number & _TYPE_MASK, data[_ATTRIBUTE.size : length]
        data = data[-(-length // 4) * 4 :]


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
