"""Put together what diagnostics sends in several frames, by listening alone (ISO 15765-2, normal addressing).

Each identifier is a channel of its own. Pure; times are passed in, in ms. A message is given only when every frame of
it was heard in its order: what is incomplete is dropped and counted by its cause. Flow control steers those who talk to
each other and is of no concern to a listener.

started = completed + timed_out + wrong_sequence + too_short + interrupted + crowded_out + open, of several frames each
"""

from dataclasses import asdict, dataclass, field
from typing import Final

MOST_OPEN: Final = 64
LONGEST: Final = 4095
"""Longer ones are downloads into a device."""

_SINGLE, _FIRST, _CONSECUTIVE, _FLOW_CONTROL = range(4)
_GAP_MS: Final = 1000  # N_Bs and N_Cr: what sender and receiver wait for each other at most
_CLASSIC: Final = 8


@dataclass(slots=True)
class IsoTpCounts:
    """Messages of several frames by how they ended; `single` are those of one; `stray` and `malformed` are frames."""

    single: int = 0
    started: int = 0
    completed: int = 0
    timed_out: int = 0
    wrong_sequence: int = 0  # a frame was missed, or came twice
    too_short: int = 0  # a frame does not hold the bytes that it should
    interrupted: int = 0  # the same sender began anew
    crowded_out: int = 0  # the oldest of too many
    too_long: int = 0  # announced more than is kept
    stray: int = 0  # consecutive frames of no message whose beginning was heard
    malformed: int = 0  # frames of no known kind

    def faults(self) -> dict[str, int]:
        """All that ended in no message, by cause."""
        good = ("single", "started", "completed")
        return {cause: count for cause, count in asdict(self).items() if cause not in good}


class IsoTp:
    """Listens to the messages of one bus. A `channel` is one sender's: its identifier."""

    def __init__(self, *, most_open: int = MOST_OPEN) -> None:
        self.counts = IsoTpCounts()
        self._open: dict[int, _Session] = {}
        self._most_open = most_open

    @property
    def open(self) -> int:
        """How many messages have begun and not ended."""
        return len(self._open)

    def take(self, t_ms: int, channel: int, data: bytes) -> bytes | None:
        """A frame; the message, when it is complete with it."""
        kind = data[0] >> 4 if data else None
        if kind == _CONSECUTIVE:
            return self._take_consecutive(t_ms, channel, data)
        if kind == _SINGLE:
            return self._take_single(t_ms, channel, data)
        if kind == _FIRST:
            self._begin(t_ms, channel, data)
        elif kind != _FLOW_CONTROL:
            self.counts.malformed += 1
        return None

    def _take_single(self, t_ms: int, channel: int, data: bytes) -> bytes | None:
        size, start = data[0] & 0xF, 1
        if size == 0 and len(data) > _CLASSIC:  # of CAN FD
            size, start = data[1], 2
        if not 0 < size <= len(data) - start:
            self.counts.malformed += 1
            return None
        self._interrupt(t_ms, channel)
        self.counts.single += 1
        return data[start : start + size]

    def _begin(self, t_ms: int, channel: int, data: bytes) -> None:
        size, start = int.from_bytes(data[:2], "big") & 0xFFF, 2
        if size == 0:
            size, start = int.from_bytes(data[2:6], "big"), 6
        if len(data) < _CLASSIC or size <= len(data) - start:
            self.counts.malformed += 1
            return
        self._interrupt(t_ms, channel)
        if size > LONGEST:
            self.counts.too_long += 1
            return
        if len(self._open) >= self._most_open:
            self._make_room(t_ms)
        self.counts.started += 1
        self._open[channel] = _Session(size, len(data) - 1, t_ms, bytearray(data[start:]))

    def _take_consecutive(self, t_ms: int, channel: int, data: bytes) -> bytes | None:
        session = self._live(t_ms, channel)
        if session is None:
            self.counts.stray += 1
            return None
        wanted = min(session.frame_bytes, session.size - len(session.data))
        if data[0] & 0xF != session.expected or len(data) - 1 < wanted:
            self._drop(channel, "too_short" if data[0] & 0xF == session.expected else "wrong_sequence")
            return None
        session.data += data[1 : 1 + wanted]
        session.expected = (session.expected + 1) & 0xF
        session.t_ms = t_ms
        if len(session.data) < session.size:
            return None
        del self._open[channel]
        self.counts.completed += 1
        return bytes(session.data)

    def _interrupt(self, t_ms: int, channel: int) -> None:
        if self._live(t_ms, channel) is not None:
            self._drop(channel, "interrupted")

    def _live(self, t_ms: int, channel: int) -> "_Session | None":
        session = self._open.get(channel)
        if session is not None and t_ms - session.t_ms > _GAP_MS:
            self._drop(channel, "timed_out")
            return None
        return session

    def _drop(self, channel: int, cause: str) -> None:
        del self._open[channel]
        setattr(self.counts, cause, getattr(self.counts, cause) + 1)

    def _make_room(self, t_ms: int) -> None:
        for channel in list(self._open):
            self._live(t_ms, channel)
        if len(self._open) >= self._most_open:
            self._drop(min(self._open, key=lambda channel: self._open[channel].t_ms), "crowded_out")


@dataclass(slots=True)
class _Session:
    """A message that has begun: how many bytes a frame brings, and what has come until `t_ms`."""

    size: int
    frame_bytes: int
    t_ms: int
    data: bytearray = field(default_factory=bytearray)
    expected: int = 1
