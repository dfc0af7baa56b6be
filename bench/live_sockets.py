"""Live sockets that cost little, so that hundreds can be held beside the server that is measured."""

import asyncio
import base64
import json
import os
import socket
from collections.abc import Mapping, Sequence
from struct import pack
from typing import Any, Final
from urllib.parse import urlsplit

NEWS: Final = b'{"id":"'
"""How what is told of a vehicle begins, from ours and from the plain server alike."""
_SMALL_BYTES: Final = 4_096


class LiveSocket(asyncio.Protocol):
    """Counts what it is told of vehicles without looking into it; or reads nothing at all once it has subscribed."""

    def __init__(self, *, stalled: bool = False) -> None:
        """Use `open`."""
        self.updates = 0
        self._stalled = stalled
        self._head = b""
        self._tail = b""
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(
        cls, url: str, wishes: Sequence[Mapping[str, Any]] = (), *, bearer: str = "", stalled: bool = False
    ) -> "LiveSocket":
        """`url` is of the server, `http://host:port/path`."""
        parts = urlsplit(url)
        assert parts.hostname
        raw = socket.socket()
        raw.setblocking(False)
        if stalled:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BYTES)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, (parts.hostname, parts.port))
        transport, one = await loop.create_connection(lambda: cls(stalled=stalled), sock=raw)
        key = base64.b64encode(os.urandom(16)).decode()
        authorization = f"Authorization: Bearer {bearer}\r\n" if bearer else ""
        transport.write(
            f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{authorization}\r\n".encode()
        )
        await one._opened
        for wish in wishes:
            transport.write(_frame(json.dumps(wish).encode()))
        if stalled:
            transport.pause_reading()
        return one

    def close(self) -> None:
        assert self._transport is not None
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._opened.done():
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            assert b" 101 " in head.split(b"\r\n")[0], head
            self._opened.set_result(None)
        both = self._tail + data
        self.updates += both.count(NEWS)
        self._tail = both[-(len(NEWS) - 1) :]


def _frame(payload: bytes) -> bytes:
    """As a client must send it, masked; with a mask of zeros, which changes nothing."""
    assert len(payload) < 65_536
    length = pack("!B", 0x80 | len(payload)) if len(payload) < 126 else pack("!BH", 0x80 | 126, len(payload))
    return b"\x81" + length + bytes(4) + payload
