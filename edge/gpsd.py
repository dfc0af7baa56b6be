"""gpsd's JSON reports to fixes. Pure. Format: gpsd_json(5)."""

import json
from datetime import datetime
from typing import Any, Final

from edge.fix import Fix

WATCH: Final = b'?WATCH={"enable":true,"json":true};\n'
KMH_PER_MS: Final = 3.6
MOST_SATS: Final = 255
_BEYOND: Final = 1e9  # no quantity in a report is as large


class GpsdParser:
    """Lines in, fixes out: one for each report with a fix and a new time."""

    def __init__(self) -> None:
        self.malformed = 0
        self._hdop: float | None = None
        self._sats: int | None = None
        self._last_time: str | None = None

    def feed(self, line: bytes, t_ms: int) -> Fix | None:
        """The fix that the line, received at `t_ms`, reports."""
        try:
            report = json.loads(line)
        except (ValueError, RecursionError):
            self.malformed += 1
            return None
        match report:
            case {"class": "SKY"}:
                self._hdop = _number(report, "hdop")
                sats = _number(report, "uSat")
                self._sats = int(sats) if sats is not None and 0 <= sats <= MOST_SATS else None
            case {"class": "TPV", "mode": 2 | 3}:
                return self._fix(report, t_ms)
        return None

    def _fix(self, report: dict[str, Any], t_ms: int) -> Fix | None:
        time = report.get("time")
        if time is not None and time == self._last_time:
            return None
        self._last_time = time
        lat, lon, speed = (_number(report, name) for name in ("lat", "lon", "speed"))
        if lat is None or lon is None or abs(lat) > 90 or abs(lon) > 180:
            self.malformed += 1
            return None
        return Fix(
            t_ms,
            lat,
            lon,
            alt=_number(report, "altMSL", "alt"),
            speed=None if speed is None else speed * KMH_PER_MS,
            course=_number(report, "track"),
            hdop=self._hdop,
            sats=self._sats,
            utc_ms=_utc_ms(time),
        )


def _number(report: dict[str, Any], *names: str) -> float | None:
    for name in names:
        value = report.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _BEYOND:
            return float(value)
    return None


def _utc_ms(time: object) -> int | None:
    try:
        return round(datetime.fromisoformat(str(time)).timestamp() * 1000)
    except ValueError:
        return None
