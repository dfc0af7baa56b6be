"""NMEA out of a drive reads back as the drive's positions."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.nmea import NmeaParser
from edge.recordings.drive import Drive
from edge.recordings.drive_fix import DriveFix
from edge.recordings.drive_nmea import drive_positions, nmea_sentences

NOON = datetime(2025, 6, 2, 12, 0, 0, 250_000, tzinfo=UTC)


def optional(low: float, high: float) -> st.SearchStrategy[float | None]:
    return st.none() | st.floats(low, high)


@given(
    st.builds(
        DriveFix,
        t_ms=st.just(0),
        lat=st.floats(-90, 90),
        lon=st.floats(-180, 180),
        alt=optional(-400, 8000),
        speed=optional(0, 400),
        course=optional(0, 360),
        hdop=optional(0.1, 50),
        sats=st.none() | st.integers(0, 40),
    )
)
def test_sentences_read_back_as_the_fix(fix: DriveFix) -> None:
    parser = NmeaParser()
    found = parser.feed(nmea_sentences(fix, NOON), 7) + parser.flush()
    assert len(found) == 1
    read = found[0]
    assert read.lat == pytest.approx(fix.lat, abs=1e-6)
    assert read.lon == pytest.approx(fix.lon, abs=1e-6)
    assert read.utc_ms == round(NOON.timestamp() * 1000)
    assert read.sats == fix.sats
    for name, tolerance in (("alt", 0.051), ("speed", 0.001), ("hdop", 0.051)):
        wanted, value = getattr(fix, name), getattr(read, name)
        assert value == (None if wanted is None else pytest.approx(wanted, abs=tolerance))
    assert parser.counts.used == parser.counts.sentences == 2


def test_no_fix_is_said_and_is_none() -> None:
    parser = NmeaParser()
    assert parser.feed(nmea_sentences(None, NOON), 7) + parser.flush() == []
    assert parser.counts.used == 2


def test_a_receiver_without_a_fix_speaks_once_a_second() -> None:
    fixes = (DriveFix(2_000, 60.0, 24.0), DriveFix(3_000, 60.0, 24.0), DriveFix(6_000, 60.0, 24.0))
    drive = Drive(None, None, None, 8_000, {}, fixes)
    spoken = list(drive_positions(drive))
    assert [t_ms for t_ms, _ in spoken] == [0, 1_000, 2_000, 3_000, 4_500, 5_500, 6_000, 7_500]
    assert [t_ms for t_ms, fix in spoken if fix] == [2_000, 3_000, 6_000]


def test_a_drive_without_positions_is_silent() -> None:
    assert list(drive_positions(Drive(None, None, None, 8_000, {}, ()))) == []
