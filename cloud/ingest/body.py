"""A request's body, unpacked within bounds. Everything that is wrong with it is a Problem with its own status."""

import asyncio
import io
import threading
import zlib
from functools import lru_cache
from typing import Final, NamedTuple

import zstandard
from aiohttp import hdrs, web

from cloud.problem import Problem

READ_S: Final = 60.0
ENCODINGS: Final = "zstd, gzip, identity"
AT_ONCE_BYTES: Final = 1_200_000
"""More than agents send, and unpacked in some ms."""
_CHUNK: Final = 65_536
_WINDOW_BYTES: Final = 2**26
_ONE_FRAME_BYTES: Final = 1_000_000


class _OfThread(threading.local):
    """A decompressor is for one thread at a time."""

    def __init__(self) -> None:
        self.decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)


_OF_THREAD: Final = _OfThread()


class Body(NamedTuple):
    """`frame` is the body as it was sent, where that is one zstd frame which says how much is in it."""

    plain: bytes
    frame: bytes | None = None


async def read_body(request: web.Request, *, limit: int, plain_limit: int) -> Body:
    """Raises Problem 400, 408, 413 or 415. The server must not decompress by itself."""
    encoding = content_encoding(tuple(request.headers.getall(hdrs.CONTENT_ENCODING, ())))
    if (request.content_length or 0) > limit:
        raise _too_large(limit, "as sent")
    if request.content.is_eof() and request.content.exception() is None:  # it came with the head
        body = request.content.read_nowait()
        if len(body) > limit:
            raise _too_large(limit, "as sent")
    else:
        body = await _receive(request, limit)
    return await unpack_aside(body, encoding, plain_limit=plain_limit)


async def _receive(request: web.Request, limit: int) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(READ_S):
            async for chunk in request.content.iter_chunked(_CHUNK):
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit, "as sent")
    except TimeoutError:
        raise Problem(408, f"the body did not arrive within {READ_S:.0f} s; send less at once") from None
    except (web.RequestPayloadError, ConnectionError) as error:
        raise Problem(400, f"the body was cut: {error}") from error
    return bytes(body)


@lru_cache(maxsize=64)
def content_encoding(values: tuple[str, ...]) -> str:
    """Raises Problem 415."""
    codings = [coding.strip().lower() for value in values for coding in value.split(",") if coding.strip()]
    if len(codings) > 1:
        raise _unsupported(f"the body is encoded {len(codings)} times ({', '.join(codings)}); once is the most")
    coding = codings[0] if codings else "identity"
    if coding not in ENCODINGS.split(", "):
        raise _unsupported(f"Content-Encoding '{coding}' is not known here; use one of {ENCODINGS}")
    return coding


async def unpack_aside(body: bytes, coding: str, *, plain_limit: int) -> Body:
    """As `unpack`, in a thread where that takes a while, so that others are answered meanwhile."""
    if (at_once := unpack_at_once(body, coding, plain_limit=plain_limit)) is not None:
        return at_once
    if coding == "identity":
        return unpack(body, coding, plain_limit=plain_limit)
    return await asyncio.to_thread(unpack, body, coding, plain_limit=plain_limit)


def unpack_at_once(body: bytes, coding: str | None, *, plain_limit: int) -> Body | None:
    """What agents send, one frame of zstd; None for anything else, and for what would take a while."""
    if coding == "zstd" and (whole := _one_frame(body, min(plain_limit, AT_ONCE_BYTES))) is not None:
        return Body(whole, body)
    return None


def unpack(body: bytes, coding: str, *, plain_limit: int) -> Body:
    """Raises Problem 400 or 413, the latter before more than the limit was unpacked."""
    try:
        if coding == "zstd" and (whole := _one_frame(body, plain_limit)) is not None:
            return Body(whole, body)
        plain = {"zstd": _unzstd, "gzip": _gunzip}[coding](body, plain_limit) if coding != "identity" else body
    except (zstandard.ZstdError, zlib.error, EOFError) as error:
        raise Problem(400, f"the body is no {coding}, or was cut: {error}") from error
    if len(plain) > plain_limit:
        raise _too_large(plain_limit, "once unpacked")
    return Body(plain)


def _one_frame(body: bytes, limit: int) -> bytes | None:
    """What is in it; None for more than one frame, or none, or more in it than is taken."""
    try:
        if len(body) < _ONE_FRAME_BYTES and 0 <= zstandard.frame_content_size(body) <= limit:
            return _OF_THREAD.decompressor.decompress(body, allow_extra_data=False)
    except zstandard.ZstdError:  # which the long way meets again, and explains
        pass
    return None


def _unzstd(body: bytes, limit: int) -> bytes:
    with _OF_THREAD.decompressor.stream_reader(io.BytesIO(body), read_across_frames=True) as reader:
        plain: bytes = reader.read(limit + 1)
    if len(plain) <= limit and len(plain) < zstandard.frame_content_size(body):
        raise EOFError("it ends too early")
    return plain


def _gunzip(body: bytes, limit: int) -> bytes:
    plain = bytearray()
    while body and len(plain) <= limit:
        member = zlib.decompressobj(wbits=31)
        plain += member.decompress(body, limit + 1 - len(plain))
        if not member.eof and len(plain) <= limit:
            raise EOFError("it ends too early")
        body = member.unused_data
    return bytes(plain)


def _too_large(limit: int, where: str) -> Problem:
    return Problem(413, f"the body is larger than {limit} bytes {where}; send fewer batches at once")


def _unsupported(detail: str) -> Problem:
    return Problem(415, detail, headers={hdrs.ACCEPT_ENCODING: ENCODINGS})
