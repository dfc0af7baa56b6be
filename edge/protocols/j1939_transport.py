"""Put together what J1939 sends in several frames, by listening alone (SAE J1939-21, transport protocol).

BAM, to all, and RTS/CTS, between two, any number of them interleaved. Pure; times are passed in, in ms. A message is
given only when every packet of it was heard in its order: what is incomplete is dropped and counted by its cause.

started = completed + timed_out + aborted + wrong_sequence + too_short + interrupted + crowded_out + open
"""

from dataclasses import asdict, dataclass, field
from typing import Final, NamedTuple

from edge.protocols.j1939_id import TO_ALL

CONTROL_PGN: Final = 0xEC00  # TP.CM
PACKET_PGN: Final = 0xEB00  # TP.DT
MOST_OPEN: Final = 256
LONGEST: Final = 1785  # 255 packets of 7 bytes

_RTS, _CTS, _END_OF_MESSAGE, _BAM, _ABORT = 16, 17, 19, 32, 255
_BAM_GAP_MS: Final = 750  # T1: 50 to 200 ms are allowed between the packets
_RTS_GAP_MS: Final = 1250  # T2 and T3: a receiver may take that long to say that it is ready


class Transfer(NamedTuple):
    """A whole message. `destination` is 255 where it is to all."""

    pgn: int
    source: int
    destination: int
    data: bytes


@dataclass(slots=True)
class TransportCounts:
    """Transfers by how they ended; `stray` and `malformed` are frames."""

    started: int = 0
    completed: int = 0
    timed_out: int = 0
    aborted: int = 0
    wrong_sequence: int = 0  # a packet was missed, or came twice
    too_short: int = 0  # a packet does not hold the bytes that it should
    interrupted: int = 0  # the same sender began anew
    crowded_out: int = 0  # the oldest of too many
    stray: int = 0  # packets of no transfer whose beginning was heard
    malformed: int = 0  # control frames that make no sense

    def faults(self) -> dict[str, int]:
        """All that ended in no message, by cause."""
        return {cause: count for cause, count in asdict(self).items() if cause not in ("started", "completed")}


class J1939Transport:
    """Listens to the transfers of one bus."""

    def __init__(self, *, most_open: int = MOST_OPEN) -> None:
        self.counts = TransportCounts()
        self._open: dict[tuple[int, int], _Session] = {}
        self._most_open = most_open

    @property
    def open(self) -> int:
        """How many transfers have begun and not ended."""
        return len(self._open)

    def take_control(self, t_ms: int, source: int, destination: int, data: bytes) -> None:
        """A frame of TP.CM: begins, steers or ends a transfer."""
        kind = data[0] if len(data) >= 8 else None
        pgn = int.from_bytes(data[5:8], "little")
        if kind in (_RTS, _BAM):
            self._begin(t_ms, source, destination, data, pgn)
        elif kind == _CTS:
            self._steer(t_ms, (destination, source), data, pgn)
        elif kind == _ABORT:  # either side may say so
            for key in ((source, destination), (destination, source)):
                if key in self._open and self._open[key].pgn == pgn:
                    self._drop(key, "aborted")
        elif kind != _END_OF_MESSAGE:
            self.counts.malformed += 1

    def take_packet(self, t_ms: int, source: int, destination: int, data: bytes) -> Transfer | None:
        """A frame of TP.DT; the message, when it is the last one."""
        key = (source, destination)
        session = self._live(t_ms, key)
        if session is None:
            self.counts.stray += 1
            return None
        payload, wanted = data[1:], min(7, session.size - len(session.data))
        if not data or data[0] != session.expected or len(payload) < wanted:
            self._drop(key, "too_short" if data and data[0] == session.expected else "wrong_sequence")
            return None
        session.data += payload[:wanted]
        session.expected += 1
        session.t_ms = t_ms
        if len(session.data) < session.size:
            return None
        del self._open[key]
        self.counts.completed += 1
        return Transfer(session.pgn, source, destination, bytes(session.data))

    def _begin(self, t_ms: int, source: int, destination: int, data: bytes, pgn: int) -> None:
        size, packets = data[1] | data[2] << 8, data[3]
        is_bam = data[0] == _BAM
        if not 0 < size <= LONGEST or packets != -(-size // 7) or is_bam != (destination == TO_ALL) or pgn > 0x3FFFF:
            self.counts.malformed += 1
            return
        key = (source, destination)
        if self._live(t_ms, key) is not None:
            self._drop(key, "interrupted")
        if len(self._open) >= self._most_open:
            self._make_room(t_ms)
        self.counts.started += 1
        self._open[key] = _Session(pgn, size, t_ms, _BAM_GAP_MS if is_bam else _RTS_GAP_MS)

    def _steer(self, t_ms: int, key: tuple[int, int], data: bytes, pgn: int) -> None:
        """Clear to send: the receiver names the packet that it wants next, or, with no packets, asks to wait."""
        session = self._live(t_ms, key)
        if session is None or session.pgn != pgn or key[1] == TO_ALL:
            return
        wants, following = data[1], data[2]
        if wants and not 1 <= following <= session.expected:
            self._drop(key, "wrong_sequence")
            return
        session.t_ms = t_ms
        if wants and following < session.expected:  # it missed what was heard here
            session.expected = following
            del session.data[7 * (following - 1) :]

    def _live(self, t_ms: int, key: tuple[int, int]) -> "_Session | None":
        session = self._open.get(key)
        if session is not None and session.is_over(t_ms):
            self._drop(key, "timed_out")
            return None
        return session

    def _drop(self, key: tuple[int, int], cause: str) -> None:
        del self._open[key]
        setattr(self.counts, cause, getattr(self.counts, cause) + 1)

    def _make_room(self, t_ms: int) -> None:
        for key in [key for key, session in self._open.items() if session.is_over(t_ms)]:
            self._drop(key, "timed_out")
        if len(self._open) >= self._most_open:
            self._drop(min(self._open, key=lambda key: self._open[key].t_ms), "crowded_out")


@dataclass(slots=True)
class _Session:
    """A transfer that has begun: the next packet's number, and what has come until `t_ms`."""

    pgn: int
    size: int
    t_ms: int
    gap_ms: int
    expected: int = 1
    data: bytearray = field(default_factory=bytearray)

    def is_over(self, t_ms: int) -> bool:
        return t_ms - self.t_ms > self.gap_ms
