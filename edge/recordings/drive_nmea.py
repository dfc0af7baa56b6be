"""A drive's positions as a GPS receiver would send them: RMC and GGA, once a fix.

Format: NMEA 0183 4.11; the mode field of RMC is A (autonomous) or N (no fix).
"""

from collections.abc import Iterator
from datetime import datetime
from functools import reduce
from operator import xor

from edge.recordings.drive import Drive
from edge.recordings.drive_fix import DriveFix
from edge.recordings.drive_frames import FIX_HOLDS_MS

KMH_PER_KNOT = 1.852
PERIOD_MS = 1000
_MINUTE_PARTS = 100_000  # five decimals of a minute, 2 cm


def drive_positions(drive: Drive) -> Iterator[tuple[int, DriveFix | None]]:
    """What the receiver reports at which ms of the drive: each fix, and None once a second where there is none."""
    if not drive.fixes:
        return
    due_ms = 0
    for fix in drive.fixes:
        yield from ((t_ms, None) for t_ms in range(due_ms, fix.t_ms, PERIOD_MS))
        yield fix.t_ms, fix
        due_ms = fix.t_ms + FIX_HOLDS_MS
    yield from ((t_ms, None) for t_ms in range(due_ms, drive.duration_ms, PERIOD_MS))


def nmea_sentences(fix: DriveFix | None, utc: datetime) -> bytes:
    """RMC and GGA for `fix` at the moment `utc`; None is a receiver without a fix."""
    time, date = f"{utc:%H%M%S}.{utc.microsecond // 10_000:02d}", f"{utc:%d%m%y}"
    if fix is None:
        return _sentence(f"GPRMC,{time},V,,,,,,,{date},,,N") + _sentence(f"GPGGA,{time},,,,,0,00,99.9,,M,,M,,")
    position = f"{_angle(fix.lat, 2, 'NS')},{_angle(fix.lon, 3, 'EW')}"
    knots = _decimal(None if fix.speed is None else fix.speed / KMH_PER_KNOT, 3)
    course = _decimal(None if fix.course is None else round(fix.course, 2) % 360, 2)
    sats = "" if fix.sats is None else f"{fix.sats:02d}"
    return _sentence(f"GPRMC,{time},A,{position},{knots},{course},{date},,,A") + _sentence(
        f"GPGGA,{time},{position},1,{sats},{_decimal(fix.hdop, 1)},{_decimal(fix.alt, 1)},M,,M,,"
    )


def _angle(degrees: float, width: int, hemispheres: str) -> str:
    parts = round(abs(degrees) * 60 * _MINUTE_PARTS)
    whole, rest = divmod(parts, 60 * _MINUTE_PARTS)
    minutes, fraction = divmod(rest, _MINUTE_PARTS)
    return f"{whole:0{width}d}{minutes:02d}.{fraction:05d},{hemispheres[degrees < 0]}"


def _decimal(value: float | None, places: int) -> str:
    return "" if value is None else f"{value:.{places}f}"


def _sentence(body: str) -> bytes:
    checksum = reduce(xor, body.encode())
    return f"${body}*{checksum:02X}\r\n".encode()
