"""Heads of requests for batches: those that are plainly good are read, and read as aiohttp would; no other is."""

import asyncio
import os

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.ingest.http_head import Head, read_head

LINE = b"POST /v1/batches HTTP/1.1\r\n"


def head(*fields: str, line: bytes = LINE) -> bytes:
    return line + "".join(f"{field}\r\n" for field in fields).encode("latin-1") + b"\r\n"


def test_fields_are_found_whatever_their_case() -> None:
    data = head("Host: a", "AUTHORIZATION: Bearer fwd_x", "content-encoding:  zstd ", "Content-Length: 12")
    assert read_head(data + b"x" * 20) == Head("Bearer fwd_x", "zstd", len(data), len(data) + 12)


def test_connection_that_stays_open_is_as_none_said() -> None:
    assert (
        read_head(head("Host: a", "Content-Length: 0", "Connection: Keep-Alive", "X-Forwarded-For: 10.0.0.1"))
        is not None
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        LINE,
        LINE + b"Content-Length: 2\r\n",
        head("Host: a", "Content-Length: 2", line=b"POST /v1/events HTTP/1.1\r\n"),
        head("Host: a", "Content-Length: 2", line=b"POST /v1/batches?x=1 HTTP/1.1\r\n"),
        head("Host: a", "Content-Length: 2", line=b"POST /v1/batches HTTP/1.0\r\n"),
        head("Host: a", "Content-Length: 2", line=b"POST /v1/batches HTTP/1.1 \r\n"),
        head("Host: a", "Content-Length: 2", line=b"GET /v1/batches HTTP/1.1\r\n"),
        head(),
        head("Content-Length: 2"),
        head("Host: a"),
        head("Host: a", "Content-Length: -2"),
        head("Host: a", "Content-Length: +2"),
        head("Host: a", "Content-Length: 0x2"),
        head("Host: a", "Content-Length: 2, 2"),
        head("Host: a", "Content-Length: \xb2"),
        head("Host: a", "Content-Length: 2\t"),
        head("Host: a", "content-length: 2"),
        head("Host: a", "Content-Length:2"),
        head("Host: a", "Content-Length: 2", "CONTENT-LENGTH: 3"),
        head("Host: a", "Content-Length: 2222222222"),
        head("Host: a", "Content-Length: 2", "content-length: 2"),
        head("Host: a", "Content-Length: 2", "Authorization: a", "authorization: b"),
        head("Host: a", "Content-Length: 2", "Transfer-Encoding: chunked"),
        head("Host: a", "Content-Length: 2", "Expect: 100-continue"),
        head("Host: a", "Content-Length: 2", "Upgrade: h2c"),
        head("Host: a", "Content-Length: 2", "Connection: close"),
        head("Host: a", "Content-Length: 2", "Connection: keep-alive, upgrade"),
        head("Host: a", "Content-Length : 2"),
        head("Host: a", "Content-Length: 2", " folded: 1"),
        head("Host: a", "Content-Length: 2", "nothing"),
        head("Host: a", "Content-Length: 2", "X: a\nContent-Encoding: gzip"),
        head("Host: a", "Content-Length: 2", "X: a\rContent-Encoding: gzip"),
        head("Host: a", "Content-Length: 2", "X: \x00"),
        head("Host: a", "Content-Length: 2", "X: \xff"),
        head("Host: a", "Content-Length: 2", "X: " + "a" * 5000),
    ],
)
def test_what_is_not_plainly_good_is_left_to_aiohttp(data: bytes) -> None:
    assert read_head(data + b"{}") is None


GOOD = head("Host: a", "Authorization: Bearer fwd_x", "Content-Length: 33", "Content-Encoding: zstd", "Accept: */*")
PARTS = st.sampled_from(
    [b" ", b"\t", b"\r", b"\n", b"\r\n", b":", b",", b"Content-Length", b"chunked", b"1", b"A", b"\x00"]
)


@settings(max_examples=int(os.environ.get("FLEETWIRE_BAD_INPUT_EXAMPLES", "2000")) // 4)
@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), PARTS | st.binary(max_size=2)), max_size=3))
async def test_what_is_read_is_what_aiohttp_reads(damages: list[tuple[int, int, bytes]]) -> None:
    data = GOOD
    for place, cut, put in damages:
        data = data[:place] + put + data[place + cut :]
    found = read_head(data)
    if found is None:
        return
    data = data[: found.begin] + bytes(found.end - found.begin)
    loop = asyncio.get_running_loop()
    (message, payload), *_ = HttpRequestParser(BaseProtocol(loop), loop, 2**16, auto_decompress=False).feed_data(data)[
        0
    ]
    assert (message.method, message.path, message.version) == ("POST", "/v1/batches", (1, 1))
    assert [message.should_close, message.upgrade, message.chunked] == [False] * 3
    assert message.headers.getall("Authorization", [None]) == [found.authorization]
    assert message.headers.getall("Content-Encoding", [None]) == [found.encoding]
    assert int(message.headers["Content-Length"]) == found.end - found.begin
    assert data[: found.begin].endswith(b"\r\n\r\n")
    assert payload is not None
