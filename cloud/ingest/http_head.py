"""The head of a request for batches as agents write it, read in one pass.

What is not plainly good is None here and left to aiohttp, which knows all of HTTP. So nothing in this module refuses;
it must only never read a request that aiohttp would read otherwise.
"""

from functools import lru_cache
from typing import Final, NamedTuple

BATCHES: Final = "/v1/batches"

_REQUEST: Final = f"POST {BATCHES} HTTP/1.1".encode()
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\nContent-Length: "
_MOST_BYTES: Final = 4_096
_MOST_DIGITS: Final = 9
_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_LEFT_TO_AIOHTTP: Final = frozenset(("content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"))
"""A length in other letters, or a second one, and what is about the connection."""


class Head(NamedTuple):
    """`begin` and `end` are the body's place behind it, in what was read."""

    authorization: str | None
    encoding: str | None
    begin: int
    end: int


def read_head(data: bytes | bytearray) -> Head | None:
    """Of a request that `data` begins with: POST /v1/batches with a known length, on a connection that stays open."""
    end = data.find(_END, 0, _MOST_BYTES)
    if end < 0 or not data.startswith(_REQUEST):
        return None
    before, _, rest = bytes(data[len(_REQUEST) : end]).partition(_LENGTH)
    length, line_end, after = rest.partition(b"\r\n")
    about = _read_others(before + line_end + after)
    if about is None or not length.isdigit() or len(length) > _MOST_DIGITS:
        return None
    begin = end + len(_END)
    return Head(*about, begin, begin + int(length))


@lru_cache(maxsize=4096)
def _read_others(lines: bytes) -> tuple[str | None, str | None] | None:
    """Authorization and encoding, of fields but the length, which are the same in all requests of a connection."""
    text = lines.decode("latin-1")
    if not text.isascii() or not text.replace("\r\n", "").isprintable():
        return None
    rest, *named = text.split("\r\n")
    fields: dict[str, str] = {}
    for line in named:
        name, colon, value = line.partition(":")
        fields[_lowered(name) if colon else ""] = value.strip(" ")
    if (
        rest
        or "" in fields
        or "host" not in fields
        or len(fields) < len(named)  # a name that is there twice
        or fields.get("connection", "keep-alive").lower() != "keep-alive"
        or not _LEFT_TO_AIOHTTP.isdisjoint(fields)
    ):
        return None
    return fields.get("authorization"), fields.get("content-encoding")


@lru_cache(maxsize=256)
def _lowered(name: str) -> str:
    """A field's name in small letters; empty for one that is none."""
    lowered = name.lower()
    return lowered if _NAME_CHARACTERS.issuperset(lowered) else ""
