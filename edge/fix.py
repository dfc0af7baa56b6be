"""A position: what the GPS readers and the decoded signals hand to the batcher."""

from typing import NamedTuple


class Fix(NamedTuple):
    """One valid position of one epoch.

    `t_ms` is when it was received, in ms since the Unix epoch, as for CAN frames; None when nobody received it (a log
    file). `utc_ms` is what the receiver itself says the time was: a replay or a cold receiver may say anything there.
    """

    t_ms: int | None
    lat: float
    lon: float
    alt: float | None = None  # metres above mean sea level
    speed: float | None = None  # km/h
    course: float | None = None  # degrees true, 0 to 360
    hdop: float | None = None
    sats: int | None = None
    utc_ms: int | None = None
