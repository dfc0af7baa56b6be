"""Hold the traffic of one bus against its databases: what is unknown, unseen, out of range, or comes at another pace.

Pure; frames and times are passed in.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from cantools.database.can import Database

from edge.codegen import Decoded
from edge.decoder import Decoder, SignalInfo, SignalTable
from edge.fix_signals import FixSignals
from edge.frame import Frame
from edge.frame_source import ReaderCounts
from edge.protocol_names import Protocol
from edge.protocols.listener import Listener
from edge.service.finding import Finding, note, ok, problem

MOST_NAMED: Final = 5
LEAST_INTERVALS: Final = 4
OTHER_PACE: Final = 2.0
"""By what factor a message's median interval may differ from the database's cycle time."""

MOST_ERRORS: Final = 0.05
_NS_PER_MS: Final = 1_000_000
_ADVICE: Final = {
    "unknown_id": "they are not stored; if they matter, add a database that knows them to dbc",
    "unseen": "they may only come while driving, or from equipment that this vehicle lacks: check --seconds 60",
    "too_short": "the signals that fit are stored; is this the database of this model and year?",
    "too_long": "what the database knows is stored; is this the database of this model and year?",
    "unknown_mux": "what does not depend on the selector is stored; a newer database may know it",
    "undecodable": "nothing of them is stored: correct the message in the database",
    "outside": "stored as they are; a wrong scale, sign or byte order in the database looks like this",
    "saturated": "mostly 'not available': then it is as it should be, or the sensor is not fitted",
    "pace": "as it should be for what is sent on change; else the database is another model's, or frames are missing",
}


@dataclass(slots=True)
class _Seen:
    """The values of one signal."""

    low: float
    high: float


@dataclass(slots=True)
class _Pace:
    """The intervals of one message from one source."""

    last_ns: int
    intervals_ms: list[float] = field(default_factory=list)


class BusWatch:
    """Takes the frames of one bus."""

    def __init__(
        self,
        databases: Sequence[Database],
        *,
        what: str,
        bus: str | None = None,
        table: SignalTable | None = None,
        fixes: FixSignals | None = None,
        protocols: Sequence[Protocol] | None = None,
        polls: bool = False,
    ) -> None:
        """`polls`: the agent will ask on this bus, which may be silent until then."""
        self.frames = 0
        self._polls = polls
        self._has_databases = bool(databases)
        self.fixes = 0
        self._what = what
        self._decoder = Decoder(databases, bus=bus, table=table)
        self._listener = Listener(self._decoder, protocols)
        self._fix_signals = fixes
        self._cycles_ms = {message.name: message.cycle_time for database in databases for message in database.messages}
        self._messages: Counter[str] = Counter()
        self._values: dict[int, _Seen] = {}
        self._paces: dict[tuple[int, str], _Pace] = {}

    def take(self, frames: Iterable[Frame], now_ns: int) -> None:
        """`now_ns` stands in for a missing time."""
        signals = self._decoder.signals
        for frame in frames:
            self.frames += 1
            t_ns = now_ns if frame.t_ns is None else frame.t_ns
            for indices, values, changed in self._understand(frame, t_ns // _NS_PER_MS):
                message = signals[indices[0]].message
                self._messages[message] += 1
                self._note_pace(frame.arbitration_id, message, t_ns)
                if changed:
                    self._note_values(indices, values)
                if self._fix_signals is not None and self._fix_signals.offer(t_ns // _NS_PER_MS, indices, values):
                    self.fixes += 1

    def findings(self, counts: ReaderCounts, *, seconds: float) -> list[Finding]:
        """What there is to say once it was listened for `seconds`."""
        if not self.frames:
            return [self._silence(counts, seconds)]
        found = [ok(self._what, f"{self.frames:,} frames in {seconds:g} s, {self.frames / seconds:,.0f}/s")]
        if counts.error > MOST_ERRORS * self.frames:
            found.append(
                problem(self._what, f"{counts.error:,} error frames", "compare the bitrate, wiring and termination")
            )
        if counts.dropped:
            found.append(problem(self._what, f"{counts.dropped:,} frames dropped", "this machine is too slow, or busy"))
        found += self._coverage()
        found += self._ranges()
        found += self._other_paces()
        return found

    def _understand(self, frame: Frame, t_ms: int) -> Iterable[Decoded]:
        """What a frame says, or the message of several frames that it completes."""
        decoded = self._decoder.decode(frame.arbitration_id, frame.is_extended, frame.data)
        if decoded is not None:
            return [decoded] if decoded[0] else []
        if frame.arbitration_id not in self._decoder.reserved_ids:
            return []
        heard = self._listener.take(t_ms, frame.arbitration_id, frame.is_extended, frame.data)
        return [part for part in heard.decoded if part[0]]

    def _silence(self, counts: ReaderCounts, seconds: float) -> Finding:
        if counts.last_error is not None:
            advice = "is the adapter plugged in and the interface up? ip -details link show"
            return problem(self._what, f"cannot be read: {counts.last_error}", advice)
        if counts.error or counts.remote:
            found = f"no data frame in {seconds:g} s, but {counts.error} error and {counts.remote} remote frames"
            return problem(self._what, found, "the bitrate is wrong, or CAN high and low are swapped")
        if self._polls:
            found = f"no frame in {seconds:g} s; the agent will ask, which a check does not"
            return note(self._what, found, "see what is answered when it runs: fleetwire edge status")
        advice = "is the ignition on? Then look at the bitrate, at CAN high, low and ground, and at the termination"
        return problem(self._what, f"no frame in {seconds:g} s", advice)

    def _coverage(self) -> list[Finding]:
        faults = self._decoder.counts
        unknown = faults.unknown_id.total()
        found = []
        if unknown == self.frames and self._has_databases:
            advice = "the database is another vehicle's or another bus's: look at dbc, and whether buses are swapped"
            found.append(problem(self._what, f"the databases know none of its {len(faults.unknown_id)} ids", advice))
        elif unknown:
            share = 100 * unknown / self.frames
            named = _named(name for name, _ in faults.unknown_id.most_common())
            words = f"{len(faults.unknown_id)} unknown ids, {share:.0f} % of frames: {named}"
            found.append(note(self._what, words, _ADVICE["unknown_id"]))
        unseen = [name for name in self._cycles_ms if name not in self._messages]
        if unseen and self._messages:
            total = len(self._cycles_ms)
            words = f"{len(unseen)} of {total} messages not seen: {_named(unseen)}"
            found.append(note(self._what, words, _ADVICE["unseen"]))
        for cause, words in (
            ("too_short", "shorter than the database says"),
            ("too_long", "longer than the database says"),
            ("unknown_mux", "with a selector that the database does not know"),
            ("undecodable", "that cannot be decoded"),
        ):
            messages: Counter[str] = getattr(faults, cause)
            if messages:
                named = _named(name for name, _ in messages.most_common())
                found.append(note(self._what, f"{messages.total():,} frames {words}: {named}", _ADVICE[cause]))
        return found

    def _ranges(self) -> list[Finding]:
        outside, saturated = [], []
        for index, seen in self._values.items():
            info = self._decoder.signals[index]
            if (limits := _limits(info)) is None:
                continue
            low, high = limits
            if seen.low < low or seen.high > high:
                outside.append(f"{info.name} {seen.low:g}…{seen.high:g} of {low:g}…{high:g}")
            elif seen.low == seen.high == high and not info.choices:
                saturated.append(f"{info.name} {high:g}")
        found = []
        if outside:
            words = f"{len(outside)} signals out of range: {_named(outside)}"
            found.append(note(self._what, words, _ADVICE["outside"]))
        if saturated:
            words = f"{len(saturated)} signals always at their maximum: {_named(saturated)}"
            found.append(note(self._what, words, _ADVICE["saturated"]))
        return found

    def _other_paces(self) -> list[Finding]:
        other = []
        for (_, message), pace in self._paces.items():
            cycle_ms = self._cycles_ms.get(message)
            if not cycle_ms or len(pace.intervals_ms) < LEAST_INTERVALS:
                continue
            measured_ms = median(pace.intervals_ms)
            if not cycle_ms / OTHER_PACE <= measured_ms <= cycle_ms * OTHER_PACE:
                other.append(f"{message} every {measured_ms:.0f} ms, said to be {cycle_ms}")
        words = f"{len(other)} messages at another pace: {_named(other)}"
        return [note(self._what, words, _ADVICE["pace"])] if other else []

    def _note_pace(self, arbitration_id: int, message: str, t_ns: int) -> None:
        key = (arbitration_id, message)
        pace = self._paces.get(key)
        if pace is None:
            self._paces[key] = _Pace(t_ns)
            return
        pace.intervals_ms.append((t_ns - pace.last_ns) / _NS_PER_MS)
        pace.last_ns = t_ns

    def _note_values(self, indices: Sequence[int], values: Sequence[float]) -> None:
        for index, value in zip(indices, values, strict=True):
            seen = self._values.get(index)
            if seen is None:
                self._values[index] = _Seen(value, value)
            else:
                seen.low, seen.high = min(seen.low, value), max(seen.high, value)


def _limits(info: SignalInfo) -> tuple[float, float] | None:
    if info.minimum is None or info.maximum is None or info.minimum >= info.maximum:
        return None
    return info.minimum, info.maximum


def _named(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - MOST_NAMED
    return ", ".join(listed[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
