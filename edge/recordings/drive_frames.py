"""A drive as CAN frames: what the vehicle's control units would have sent.

Every message that the drive has a signal of is sent at its cycle time (GenMsgCycleTime), with the values that hold at
that moment; one without a cycle time is sent at each change. A multiplexed message sends its layouts in turn. Signals
of a message that the drive says nothing about are 0, or the nearest value in their range. Positions become GnssPosition
and GnssMotion where the database has them.
"""

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from cantools.database.can import Database, Message, Signal

from edge.dbc import load_database
from edge.frame import Frame
from edge.recordings.drive import Drive, DriveError, Series
from edge.recordings.drive_fix import DriveFix

OWN_DATABASES: Final = Path(__file__).parents[2] / "dbc"
DEFAULT_DATABASE: Final = "fleetwire.dbc"
FIX_HOLDS_MS: Final = 1500
"""A position older than this is none: the receiver would have sent another one by then."""
STAGGER_MS: Final = 2
"""Messages of one cycle time begin this much apart, as on a real bus, where they never come in one burst."""

Tree: TypeAlias = "Sequence[str | Mapping[str, Mapping[int, Tree]]]"


@dataclass(slots=True)
class EncodeCounts:
    """What could not be sent as it stands in the drive."""

    unknown_signals: list[str] = field(default_factory=list)  # not in the database
    clamped: int = 0  # payloads with a value beyond its signal's range


def drive_database(drive: Drive, path: Path) -> Database:
    """The database that the drive in `path` names, from beside it or the project's own; unnamed, the project's."""
    name = drive.dbc or DEFAULT_DATABASE
    for folder in (path.parent, OWN_DATABASES):
        if (folder / name).is_file():
            return load_database(folder / name)
    raise DriveError(f"{path}: its database {name!r} is neither beside it nor in {OWN_DATABASES}; name one with --dbc")


def drive_frames(
    drive: Drive, database: Database, *, channel: str = "can0", counts: EncodeCounts | None = None
) -> Iterator[Frame]:
    """The frames of `drive` in the order of their times, which are Unix times (from 0 where it has no start).

    Raises DriveError when the database knows none of the drive's signals.
    """
    counts = EncodeCounts() if counts is None else counts
    by_message = _by_message(drive, database, counts)
    if not by_message:
        raise DriveError(
            "the database has none of the drive's signals: " + ", ".join(itertools.islice(counts.unknown_signals, 5))
        )
    start_ns = (drive.start_ms or 0) * 1_000_000
    streams = [
        _message_payloads(_Sender(message, series, counts), drive.duration_ms, index * STAGGER_MS)
        for index, (message, series) in enumerate(by_message)
    ]
    for t_ms, arbitration_id, is_extended, data in heapq.merge(*streams):
        yield Frame(start_ns + t_ms * 1_000_000, channel, arbitration_id, is_extended, data)


def gnss_series(fixes: Sequence[DriveFix], duration_ms: int) -> dict[str, Series]:
    """The positions as signals of GnssPosition and GnssMotion. Valid is 0 before the first and in every gap."""
    series = {
        name: _series((fix.t_ms, getattr(fix, column)) for fix in fixes if getattr(fix, column) is not None)
        for name, column in _GNSS_COLUMNS.items()
    }
    valid = [(0, 0.0)]
    for fix, following in itertools.zip_longest(fixes, fixes[1:]):
        valid.append((fix.t_ms, 1.0))
        gone_ms = fix.t_ms + FIX_HOLDS_MS
        if gone_ms < (following.t_ms if following is not None else duration_ms):
            valid.append((gone_ms, 0.0))
    series["GnssPosition.PositionValid"] = _series(valid)
    return {name: one for name, one in series.items() if one.t_ms}


_GNSS_COLUMNS: Final = {
    "GnssPosition.Latitude": "lat",
    "GnssPosition.Longitude": "lon",
    "GnssMotion.GroundSpeed": "speed",
    "GnssMotion.Course": "course",
    "GnssMotion.Altitude": "alt",
    "GnssMotion.Hdop": "hdop",
    "GnssMotion.Satellites": "sats",
}


def _series(pairs: Iterable[tuple[int, float]]) -> Series:
    rows = list(pairs)
    return Series(tuple(t_ms for t_ms, _ in rows), tuple(float(value) for _, value in rows))


def _by_message(drive: Drive, database: Database, counts: EncodeCounts) -> list[tuple[Message, dict[str, Series]]]:
    """The messages to send, each with the drive's series by the bare name of the signal."""
    known = {message.name: {signal.name for signal in message.signals} for message in database.messages}
    gnss = {
        name: series
        for name, series in gnss_series(drive.fixes, drive.duration_ms).items()
        if drive.fixes and name.split(".")[1] in known.get(name.split(".")[0], ())
    }
    wanted: dict[str, dict[str, Series]] = {}
    for name, series in (gnss | dict(drive.signals)).items():
        message, _, signal = name.rpartition(".")
        if signal in known.get(message, ()):
            wanted.setdefault(message, {})[signal] = series
        else:
            counts.unknown_signals.append(name)
    return [(message, wanted[message.name]) for message in database.messages if message.name in wanted]


def _message_payloads(sender: "_Sender", end_ms: int, phase_ms: int) -> Iterator[tuple[int, int, bool, bytes]]:
    message = sender.message
    for t_ms in _send_times(message.cycle_time, sender.series, end_ms, phase_ms):
        for data in sender.payloads(t_ms):
            yield t_ms, message.frame_id, message.is_extended_frame, data


def _send_times(cycle_ms: int | None, series: Mapping[str, Series], end_ms: int, phase_ms: int) -> Iterable[int]:
    first_ms = min(one.t_ms[0] for one in series.values())
    if not cycle_ms:
        return sorted({t_ms for one in series.values() for t_ms in one.t_ms})
    skipped = -(-max(0, first_ms - phase_ms) // cycle_ms)
    return range(phase_ms + skipped * cycle_ms, end_ms + phase_ms + 1, cycle_ms)


class _Sender:
    """One message: which values hold, and which of its layouts is next."""

    def __init__(self, message: Message, series: Mapping[str, Series], counts: EncodeCounts) -> None:
        self.message = message
        self.series = series
        self._counts = counts
        self._layouts = list(_layouts(message.signal_tree, frozenset(series)))
        self._next = 0
        self._held = {name: _Held(one) for name, one in series.items()}
        self._limits = {signal.name: _limits(signal) for signal in message.signals}
        self._last: dict[int, tuple[tuple[float, ...], bytes]] = {}

    def payloads(self, t_ms: int) -> Iterator[bytes]:
        """What is to be sent at `t_ms`: one layout in its turn, all of them where the message has no cycle time."""
        turns = 1 if self.message.cycle_time else len(self._layouts)
        for _ in range(turns):
            index, self._next = self._next, (self._next + 1) % len(self._layouts)
            yield self._payload(index, t_ms)

    def _payload(self, index: int, t_ms: int) -> bytes:
        selectors, names = self._layouts[index]
        values = tuple(self._held[name].at(t_ms) if name in self._held else 0.0 for name in names)
        last = self._last.get(index)
        if last is not None and last[0] == values:
            return last[1]
        within = {name: self._within(name, value) for name, value in zip(names, values, strict=True)}
        data = bytes(self.message.encode(within | dict(selectors), strict=False))
        self._last[index] = (values, data)
        return data

    def _within(self, name: str, value: float) -> float:
        low, high = self._limits[name]
        within = min(max(value, low), high)
        if within != value and name in self._held:
            self._counts.clamped += 1
        return within


class _Held:
    """A series that is asked for rising times."""

    def __init__(self, series: Series) -> None:
        self._t_ms, self._v = series
        self._index = 0

    def at(self, t_ms: int) -> float:
        """The value that holds at `t_ms`: the last one at or before it, or else the first."""
        while self._index + 1 < len(self._t_ms) and self._t_ms[self._index + 1] <= t_ms:
            self._index += 1
        return self._v[self._index]


def _layouts(tree: Any, wanted: frozenset[str]) -> Iterator[tuple[dict[str, int], list[str]]]:
    """Every layout of a message that carries a wanted signal (or the only one): its selectors and its other signals."""
    layouts = list(_branches(tree))
    carrying = [layout for layout in layouts if not wanted.isdisjoint(layout[1])]
    return iter(carrying or layouts[:1])


def _branches(tree: Any) -> Iterator[tuple[dict[str, int], list[str]]]:
    plain = [node for node in tree if isinstance(node, str)]
    choices = []
    for node in tree:
        if isinstance(node, dict):
            ((selector, branches),) = node.items()
            choices.append(
                [
                    ({selector: value} | selectors, names)
                    for value, subtree in branches.items()
                    for selectors, names in _branches(subtree)
                ]
            )
    for combination in itertools.product(*choices):
        selectors: dict[str, int] = {}
        names = list(plain)
        for more_selectors, more_names in combination:
            selectors |= more_selectors
            names += more_names
        yield selectors, names


def _limits(signal: Signal) -> tuple[float, float]:
    """The physical values that the signal may and can carry."""
    if signal.is_float:
        return _bound(signal.minimum, -float("inf")), _bound(signal.maximum, float("inf"))
    lowest, highest = (
        (-(2 ** (signal.length - 1)), 2 ** (signal.length - 1) - 1) if signal.is_signed else (0, 2**signal.length - 1)
    )
    ends = sorted((lowest * signal.scale + signal.offset, highest * signal.scale + signal.offset))
    low, high = max(ends[0], _bound(signal.minimum, ends[0])), min(ends[1], _bound(signal.maximum, ends[1]))
    return (low, high) if low <= high else (ends[0], ends[1])


def _bound(limit: float | None, otherwise: float) -> float:
    return otherwise if limit is None else float(limit)
