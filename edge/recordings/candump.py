"""candump's two forms: what `-l` and `-L` write, and what is printed on the console, with any of its time stamps.

    (1594172461.968006) vcan0 0C8#F000000000000000 R          also 123##3AABB (FD), 123#R8 (remote)
     (2020-12-19 12:04:45.485261)  vcan0  0C8   [8]  F0 00 00 00 00 00 00 00   'ascii'          a date is taken as UTC

Sources: can-utils lib.h (snprintf_canframe) and candump.c.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from edge.frame import Frame
from edge.recordings.log_file import RecordingCounts, checked_time, text_lines

_LOG = re.compile(
    r"\(([^)]+)\)\s+(\S+)\s+([0-9A-Fa-f]{3,8})#(#[0-9A-Fa-f])?([0-9A-Fa-f]*|[Rr]\d?)(?:_[0-9A-Fa-f])?(?:\s+[RTrt])?\s*"
)
_CONSOLE = re.compile(
    r"\s*(?:\(([^)]+)\)\s+)?(\S+)\s+(?:[RT]X\s+\S\s+\S\s+)?([0-9A-Fa-f]{3,8})\s+\[\s*(\d+)\]\s*"
    r"(remote request|(?:[0-9A-Fa-f]{2}(?: |$))*)(.*)",
    re.DOTALL,
)
_ERROR = re.compile(r"\s*(?:\([^)]+\)\s+)?\S+\s+ERROR\b")
_COMMENT = re.compile(r"\s*(?:#|;|//|$)")
_ERROR_FLAG = 0x20000000
_ID_MASK = 0x1FFFFFFF
_LONGEST = 64  # bytes, CAN FD


def read_candump(path: Path, counts: RecordingCounts) -> Iterator[Frame]:
    """The data frames; everything else is counted."""
    return read_lines(path, text_lines(path), counts)


def read_lines(path: Path, lines: Iterable[str], counts: RecordingCounts, *, first: int = 1) -> Iterator[Frame]:
    """Those of some lines of the file, of which the first has this number."""
    for number, line in enumerate(lines, start=first):
        try:
            frame = parse_line(line, counts)
        except ValueError:
            counts.bad_line(path, number, line)
            continue
        if frame is not None:
            yield frame


def parse_line(line: str, counts: RecordingCounts) -> Frame | None:
    """The frame of a line; None, and counted, for a remote or error frame or a comment. Raises ValueError."""
    found = _LOG.fullmatch(line)
    if found is not None:
        time, channel, identifier, _, payload = found.groups()
        is_remote = payload[:1] in ("R", "r")
    else:
        found = _CONSOLE.fullmatch(line.rstrip("\r\n"))
        if found is None:
            _count_other(line, counts)
            return None
        time, channel, identifier, length, payload, _ = found.groups()
        is_remote = payload.startswith("remote")
    arbitration_id = int(identifier, 16)
    if len(identifier) > 3 and arbitration_id & _ERROR_FLAG:
        counts.error += 1
        return None
    t_ns = time_ns(time) if time is not None else None
    if is_remote:
        counts.remote += 1
        return None
    data = bytes.fromhex(payload)
    if len(data) > _LONGEST or (found.re is _CONSOLE and len(data) != int(length)):
        raise ValueError("not the number of bytes that the line announces, or too many")
    return Frame(t_ns, channel, arbitration_id & _ID_MASK, len(identifier) > 3, data)


def time_ns(text: str) -> int:
    """`1594172461.968006`, `-0.5` or `2020-12-19 12:04:45.485261` in ns, exactly. Raises ValueError."""
    seconds, _, fraction = text.strip().partition(".")
    if "-" in seconds[1:]:
        moment = datetime.fromisoformat(text.strip()).replace(tzinfo=UTC)
        seconds = str(int(moment.replace(microsecond=0).timestamp()))
    if fraction and not fraction.isdecimal():
        raise ValueError(f"no time: {text!r}")
    below = int(fraction[:9].ljust(9, "0")) if fraction else 0
    return checked_time(int(seconds) * 1_000_000_000 + (-below if seconds.startswith("-") else below))


def _count_other(line: str, counts: RecordingCounts) -> None:
    if _COMMENT.match(line):
        counts.comments += 1
    elif _ERROR.match(line):
        counts.error += 1
    else:
        raise ValueError("no candump line")
