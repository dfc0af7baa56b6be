"""NMEA 0183 from bytes to fixes: RMC, GGA, GNS, VTG, GSA and ZDA of any talker.

Pure: bytes and the time of their reception go in, fixes come out. A sentence counts only with a right checksum and with
every field that is read in its right form; anything else is counted by cause and never gives a position. Sentences that
share a time of day form an epoch, which gives at most one fix: when the next epoch begins, or at `flush()`. Where any
sentence of an epoch says that there is no fix (RMC status V or mode N, GGA quality 0, GNS mode all N, every GSA 1),
there is none.

Formats: NMEA 0183 4.11; u-blox 8 receiver description, section 31.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from edge.fix import Fix

LONGEST_SENTENCE = 250  # bytes; the standard says 82, receivers with sentences of their own say more
KMH_PER_KNOT = 1.852
MOST_SATS = 255


@dataclass(slots=True)
class NmeaCounts:
    """What became of the input. sentences = used + other + malformed; epochs = fixes + no_fix."""

    sentences: int = 0  # with a right checksum
    used: int = 0
    other: int = 0  # carries nothing for a fix: GSV, GLL, proprietary ones
    malformed: int = 0  # the checksum is right, a field is not
    bad_checksum: int = 0
    broken: int = 0  # begins with $ and has no checksum
    epochs: int = 0
    fixes: int = 0
    no_fix: int = 0


class NmeaParser:
    """Bytes in portions of any size in, fixes out. `day` helps where no sentence carries a date (GGA alone)."""

    def __init__(self, *, day: date | None = None) -> None:
        self.counts = NmeaCounts()
        self._rest = b""
        self._clock = _ReceiverClock(day)
        self._epoch = _Epoch()

    def feed(self, data: bytes, t_ms: int | None = None) -> list[Fix]:
        """The fixes of the epochs that ended within `data`, received at `t_ms`."""
        *lines, self._rest = _BREAK.split(self._rest + data)
        if len(self._rest) > LONGEST_SENTENCE:
            lines, self._rest = [*lines, self._rest], b""
        return [fix for line in lines for fix in self._line(line, t_ms)]

    def flush(self) -> list[Fix]:
        """The fix of the epoch at hand, if it has one by now: the receiver pauses. It is given only once."""
        fix = self._fix()
        return [] if fix is None else [fix]

    def end(self) -> list[Fix]:
        """What is left when the input has ended."""
        line, self._rest = self._rest, b""
        return self._line(line, None) + self._close()

    def _line(self, line: bytes, t_ms: int | None) -> list[Fix]:
        if not line.startswith(b"$"):
            return []
        match = _SENTENCE.match(line)
        if match is None:
            self.counts.broken += 1
            return []
        body, checksum = match.groups()
        if _checksum(body) != int(checksum, 16):
            self.counts.bad_checksum += 1
            return []
        self.counts.sentences += 1
        kind, *fields = body.decode("ascii").split(",")
        read = _READERS.get(kind[2:]) if len(kind) == 5 else None
        if read is None:
            self.counts.other += 1
            return []
        try:
            facts = read(fields)
        except (ValueError, IndexError):
            self.counts.malformed += 1
            return []
        self.counts.used += 1
        fixes = self._close() if self._epoch.ends_before(facts) else []
        self._epoch.add(facts, t_ms)
        return fixes

    def _close(self) -> list[Fix]:
        if not self._epoch.kinds:
            return []
        fix = self._fix()
        self._clock.utc_ms(self._epoch.time_of_day, self._epoch.day)  # an epoch without a fix tells the day too
        self.counts.epochs += 1
        self.counts.no_fix += not self._epoch.given
        self._epoch = _Epoch()
        return [] if fix is None else [fix]

    def _fix(self) -> Fix | None:
        epoch = self._epoch
        if epoch.given or not epoch.has_fix:
            return None
        epoch.given = True
        self.counts.fixes += 1
        return epoch.fix(self._clock.utc_ms(epoch.time_of_day, epoch.day))


@dataclass(frozen=True, slots=True)
class _Facts:
    """What one sentence says. `valid` is None where the sentence does not say whether there is a fix."""

    kind: str
    valid: bool | None = None
    time_of_day: timedelta | None = None
    day: date | None = None
    position: tuple[float, float] | None = None
    alt: float | None = None
    speed: float | None = None
    course: float | None = None
    hdop: float | None = None
    sats: int | None = None


@dataclass(slots=True)
class _Epoch:
    """The sentences of one time of day."""

    kinds: set[str] = field(default_factory=set)
    t_ms: int | None = None
    time_of_day: timedelta | None = None
    day: date | None = None
    denied: bool = False
    gsa_modes: list[bool] = field(default_factory=list)
    known: dict[str, object] = field(default_factory=dict)
    given: bool = False

    def ends_before(self, facts: _Facts) -> bool:
        if facts.kind in {"VTG", "GSA"}:  # without a time; after the pause they come ahead of their own epoch
            return self.given
        if facts.time_of_day is None or self.time_of_day is None:
            return facts.kind in self.kinds
        return facts.time_of_day != self.time_of_day

    def add(self, facts: _Facts, t_ms: int | None) -> None:
        if not self.kinds:
            self.t_ms = t_ms
        self.kinds.add(facts.kind)
        self.time_of_day = self.time_of_day if facts.time_of_day is None else facts.time_of_day
        self.day = self.day or facts.day
        if facts.kind == "GSA":
            self.gsa_modes.append(bool(facts.valid))
        else:
            self.denied |= facts.valid is False
        for name in ("position", "alt", "speed", "course", "hdop", "sats"):
            value = getattr(facts, name)
            if value is not None:
                self.known.setdefault(name, value)

    @property
    def has_fix(self) -> bool:
        no_satellites = bool(self.gsa_modes) and not any(self.gsa_modes)
        return "position" in self.known and not self.denied and not no_satellites

    def fix(self, utc_ms: int | None) -> Fix:
        values = dict(self.known)
        lat, lon = values.pop("position")  # type: ignore[misc]
        return Fix(self.t_ms, lat, lon, utc_ms=utc_ms, **values)  # type: ignore[has-type,arg-type]


class _ReceiverClock:
    """Date and time of day to UTC; a day that nobody named is the last one, or the next after midnight."""

    def __init__(self, day: date | None) -> None:
        self._day = day
        self._last: timedelta | None = None

    def utc_ms(self, time_of_day: timedelta | None, day: date | None) -> int | None:
        if time_of_day is None:
            return None
        if day is not None:
            self._day = day
        elif self._day is not None and self._last is not None and self._last - time_of_day > timedelta(hours=12):
            self._day += timedelta(days=1)
        self._last = time_of_day
        if self._day is None:
            return None
        moment = datetime.combine(self._day, time.min, tzinfo=UTC) + time_of_day
        return (moment - _UNIX_EPOCH) // timedelta(milliseconds=1)


_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BREAK = re.compile(rb"[\r\n]+|(?=\$)")
_SENTENCE = re.compile(rb"\$([ -#%-)+-~]+)\*([0-9A-Fa-f]{2})(?![0-9A-Za-z])")
_UNSIGNED = re.compile(r"\d+(?:\.\d*)?", re.ASCII)
_SIGNED = re.compile(r"-?\d+(?:\.\d*)?", re.ASCII)
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d|60)(?:\.(\d*))?", re.ASCII)
_ANGLE = re.compile(r"(\d{1,3})([0-5]\d(?:\.\d*)?)", re.ASCII)


def _rmc(fields: Sequence[str]) -> _Facts:
    valid = fields[1] == "A" and (len(fields) < 12 or fields[11] != "N")
    return _Facts(
        "RMC",
        valid=valid,
        time_of_day=_time_of_day(fields[0]),
        position=_position(fields[2:6]) if valid else None,
        speed=_scaled(_number(fields[6]), KMH_PER_KNOT) if valid else None,
        course=_course(fields[7]) if valid else None,
        day=_two_digit_day(fields[8]),
    )


def _gga(fields: Sequence[str]) -> _Facts:
    valid = (_integer(fields[5]) or 0) != 0
    return _satellite_fix("GGA", fields, valid=valid)


def _gns(fields: Sequence[str]) -> _Facts:
    valid = bool(fields[5].strip("N"))
    return _satellite_fix("GNS", fields, valid=valid)


def _satellite_fix(kind: str, fields: Sequence[str], *, valid: bool) -> _Facts:
    return _Facts(
        kind,
        valid=valid,
        time_of_day=_time_of_day(fields[0]),
        position=_position(fields[1:5]) if valid else None,
        sats=_sats(fields[6]),
        hdop=_number(fields[7]),
        alt=_number(fields[8], _SIGNED) if valid else None,
    )


def _vtg(fields: Sequence[str]) -> _Facts:
    if (fields[1], fields[7]) != ("T", "K"):
        raise ValueError("not a VTG of NMEA 0183 2.0 or later")
    return _Facts("VTG", course=_course(fields[0]), speed=_number(fields[6]))


def _gsa(fields: Sequence[str]) -> _Facts:
    return _Facts("GSA", valid=(_integer(fields[1]) or 1) > 1, hdop=_number(fields[15]))


def _zda(fields: Sequence[str]) -> _Facts:
    return _Facts("ZDA", time_of_day=_time_of_day(fields[0]), day=_day(fields[3], fields[2], fields[1]))


_READERS: dict[str, Callable[[Sequence[str]], _Facts]] = {
    "RMC": _rmc,
    "GGA": _gga,
    "GNS": _gns,
    "VTG": _vtg,
    "GSA": _gsa,
    "ZDA": _zda,
}


def _checksum(body: bytes) -> int:
    result = 0
    for byte in body:
        result ^= byte
    return result


def _number(text: str, form: re.Pattern[str] = _UNSIGNED) -> float | None:
    if not text:
        return None
    if not form.fullmatch(text):
        raise ValueError(f"not a number: {text!r}")
    return float(text)


def _integer(text: str) -> int | None:
    value = _number(text)
    return None if value is None else int(value)


def _sats(text: str) -> int | None:
    count = _integer(text)
    if count is not None and count > MOST_SATS:
        raise ValueError(f"not a number of satellites: {text!r}")
    return count


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _course(text: str) -> float | None:
    course = _number(text)
    if course is not None and course > 360:
        raise ValueError(f"not a course: {text!r}")
    return course


def _position(fields: Sequence[str]) -> tuple[float, float] | None:
    if not any(fields):
        return None
    lat, north_south, lon, east_west = fields
    return _degrees(lat, north_south, "NS", limit=90), _degrees(lon, east_west, "EW", limit=180)


def _degrees(text: str, hemisphere: str, hemispheres: str, *, limit: int) -> float:
    match = _ANGLE.fullmatch(text)
    if match is None or len(hemisphere) != 1 or hemisphere not in hemispheres:
        raise ValueError(f"not an angle: {text!r} {hemisphere!r}")
    degrees = int(match[1]) + float(match[2]) / 60
    if degrees > limit:
        raise ValueError(f"beyond {limit} degrees: {text!r}")
    return -degrees if hemisphere == hemispheres[1] else degrees


def _time_of_day(text: str) -> timedelta | None:
    if not text:
        return None
    match = _TIME_OF_DAY.fullmatch(text)
    if match is None:
        raise ValueError(f"not a time of day: {text!r}")
    hours, minutes, seconds, fraction = match.groups()
    milliseconds = int(((fraction or "") + "000")[:3])
    return timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds), milliseconds=milliseconds)


def _two_digit_day(text: str) -> date | None:
    if len(text) != 6 or not text.isdecimal():
        return None
    year = int(text[4:])
    return _day(str(year + (1900 if year >= 80 else 2000)), text[2:4], text[:2])


def _day(year: str, month: str, day: str) -> date | None:
    """None for what is no date: a cold receiver writes 000000, and its position is good all the same."""
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None
