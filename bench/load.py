"""Requests made beforehand, and a client that costs little, so that the server is what is measured."""

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import zstandard

from edge.batcher import Draft
from edge.outbox import REQUEST_LEVEL
from wire.codec import encode_batch
from wire.stream_id import new_stream

CONNECTIONS: Final = 32
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


@dataclass(frozen=True)
class Sender:
    """A vehicle as the cloud knows it, with the stream that it sends."""

    vehicle: str
    token: str
    stream: str

    @classmethod
    def of(cls, credentials: Iterable[tuple[str, str]]) -> "list[Sender]":
        """A stream for each (vehicle, token)."""
        now_ms = time.time_ns() // 1_000_000
        return [cls(vehicle, token, new_stream(now_ms)) for vehicle, token in credentials]


def request(sender: Sender, draft: Draft, seq: int, *, shift_ms: int = 0) -> bytes:
    """One batch as the uplink sends it, with the head of the HTTP request; its times are moved by `shift_ms`."""
    batch = draft.to_batch(vehicle=sender.vehicle, stream=sender.stream, seq=seq)
    payload = encode_batch(batch.model_copy(update={"t0": batch.t0 + shift_ms}))
    streams = json.dumps([{"stream": sender.stream, "next": seq + 1, "lost": []}], separators=(",", ":")).encode()
    envelope = b'{"batches":[' + payload + b'],"streams":' + streams + b"}"
    return http_request(sender, zstandard.ZstdCompressor(level=REQUEST_LEVEL, write_checksum=True).compress(envelope))


def http_request(sender: Sender, body: bytes) -> bytes:
    """The head before what was compressed."""
    head = (
        f"POST /v1/batches HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {sender.token}\r\n"
        f"Content-Type: application/json\r\nContent-Encoding: zstd\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def send(url: str, lanes: Sequence[Sequence[bytes]]) -> float:
    """Send each lane over a connection of its own, one request after the other; returns the seconds it took.

    A lane holds whole vehicles, so that none has two requests under way. AssertionError unless every answer is a 200.
    """
    connections = [await Connection.open(url) for _ in lanes]
    began = time.perf_counter()
    await asyncio.gather(*(_send_lane(*one) for one in zip(connections, lanes, strict=True)))
    took_s = time.perf_counter() - began
    for connection in connections:
        connection.close()
    return took_s


def lanes(by_vehicle: Sequence[Sequence[bytes]], connections: int = CONNECTIONS) -> list[list[bytes]]:
    """Vehicles dealt out to connections; within one, the vehicles take turns."""
    dealt = [by_vehicle[start::connections] for start in range(min(connections, len(by_vehicle)))]
    return [[one for turn in zip(*vehicles, strict=True) for one in turn] for vehicles in dealt]


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        """Use `Connection.open`."""
        self._buffer = b""
        self._answer: asyncio.Future[None] | None = None
        self._transport: asyncio.WriteTransport | None = None

    @classmethod
    async def open(cls, url: str) -> "Connection":
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        return (await asyncio.get_running_loop().create_connection(cls, parts.hostname, parts.port))[1]

    async def post(self, request: bytes) -> None:
        """Returns when the answer is there. AssertionError when it is not a 200."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        await self._answer

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(_HEAD_END)
        if not found or len(body) < _content_length(head) or self._answer is None or self._answer.done():
            return
        self._buffer = b""
        if head.startswith(b"HTTP/1.1 200 "):
            self._answer.set_result(None)
        else:
            self._answer.set_exception(AssertionError(f"answered {head[:40]!r} {body[:300]!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(AssertionError(f"the server closed the connection: {exc}"))


async def _send_lane(connection: Connection, lane: Sequence[bytes]) -> None:
    for one in lane:
        await connection.post(one)


def _content_length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.index(_LENGTH) + len(_LENGTH)
    return int(lowered[start:].split(b"\r\n", 1)[0])
