import errno
import json
import shutil
import subprocess
from struct import pack

import pytest

from edge.buses.can_link import CanLink, ask_link, parse_link

LISTEN_ONLY, FD = 0x02, 0x20


def _attribute(number: int, value: bytes) -> bytes:
    return pack("=HH", 4 + len(value), number) + value + b"\0" * (-len(value) % 4)


def _answer(*attributes: bytes, up: bool = True) -> bytes:
    body = pack("=BxHiII", 0, 280, 4, int(up), 0) + b"".join(attributes)
    return pack("=IHHII", 16 + len(body), 16, 0, 1, 0) + body


def _controller(flags: int, bitrate: int = 500_000) -> bytes:
    data = _attribute(1, pack("=8I", bitrate, 875, 125, 6, 7, 2, 1, 1)) + _attribute(5, pack("=II", 0, flags))
    return _attribute(18, _attribute(1, b"can\0") + _attribute(2 | 0x8000, data))


@pytest.mark.parametrize(("flags", "listens"), [(LISTEN_ONLY, True), (LISTEN_ONLY | FD, True), (FD, False), (0, False)])
def test_a_controller_says_whether_it_only_listens(flags: int, listens: bool) -> None:
    link = parse_link(_answer(_attribute(3, b"can0\0"), _controller(flags)))
    assert link == CanLink(is_up=True, kind="can", listen_only=listens, bitrate=500_000)


def test_a_virtual_bus_has_nothing_to_say() -> None:
    link = parse_link(_answer(_attribute(18, _attribute(1, b"vcan\0")), up=False))
    assert link == CanLink(is_up=False, kind="vcan", listen_only=None, bitrate=None)


def test_an_answer_that_is_cut_says_less() -> None:
    answer = _answer(_controller(LISTEN_ONLY))
    for length in range(32, len(answer)):
        parse_link(answer[:length])


def test_an_interface_that_is_not_there_is_an_error() -> None:
    with pytest.raises(OSError, match="No such device") as raised:
        ask_link("can77")
    assert raised.value.errno == errno.ENODEV


@pytest.mark.skipif(shutil.which("ip") is None, reason="no ip command here to compare with")
def test_it_sees_what_ip_sees() -> None:
    shown = subprocess.run(["ip", "-details", "-json", "link", "show"], capture_output=True, check=True)
    links = json.loads(shown.stdout)
    for link in links:
        seen = ask_link(link["ifname"])
        assert seen is not None
        assert seen.kind == link.get("linkinfo", {}).get("info_kind")
        assert seen.is_up == ("UP" in link["flags"])
