"""Fixes out of decoded signals."""

import math
from dataclasses import dataclass

import pytest

from edge.fix_signals import FixSignals

POSITION = (0, 1, 2)  # lat, lon, valid
SPEED = (3, 4)  # speed, course
T = 1_700_000_000_000


@dataclass(frozen=True)
class Signal:
    name: str
    unit: str | None = None


SIGNALS = [
    Signal("P.Latitude", "deg"),
    Signal("P.Longitude", "deg"),
    Signal("P.Valid"),
    Signal("S.Speed", "m/s"),
    Signal("S.Course", "deg"),
]
NAMES = {"lat": "P.Latitude", "lon": "P.Longitude", "valid": "P.Valid", "speed": "S.Speed", "course": "S.Course"}


@pytest.fixture
def subject() -> FixSignals:
    return FixSignals(NAMES, SIGNALS)


def test_valid_position_gives_a_fix_with_the_latest_speed(subject: FixSignals) -> None:
    assert subject.offer(T, SPEED, (10.0, -90.0)) is None
    fix = subject.offer(T + 500, POSITION, (48.1, 11.5, 1))
    assert fix is not None
    assert (fix.t_ms, fix.lat, fix.lon, fix.speed, fix.course, fix.alt) == (T + 500, 48.1, 11.5, 36.0, 270.0, None)


def test_not_valid_is_no_fix(subject: FixSignals) -> None:
    assert subject.offer(T, POSITION, (48.1, 11.5, 0)) is None
    assert subject.counts.not_valid == 1


def test_old_speed_is_not_used(subject: FixSignals) -> None:
    subject.offer(T, SPEED, (10.0, 90.0))
    fix = subject.offer(T + 2_001, POSITION, (48.1, 11.5, 1))
    assert fix is not None
    assert fix.speed is None


def test_validity_in_another_message_must_be_recent() -> None:
    subject = FixSignals(NAMES, SIGNALS)
    assert subject.offer(T, (0, 1), (48.1, 11.5)) is None
    subject.offer(T + 1, (2,), (1,))
    assert subject.offer(T + 2, (0, 1), (48.1, 11.5)) is not None
    assert subject.offer(T + 5_000, (0, 1), (48.1, 11.5)) is None
    assert subject.counts.incomplete == 2


@pytest.mark.parametrize("position", [(math.nan, 11.5), (91.0, 11.5), (48.1, 181.0), (48.1, math.inf)])
def test_position_outside_of_the_earth_is_no_fix(subject: FixSignals, position: tuple[float, float]) -> None:
    assert subject.offer(T, POSITION, (*position, 1)) is None
    assert subject.counts.implausible == 1


def test_other_frames_are_passed_over(subject: FixSignals) -> None:
    assert subject.offer(T, (7, 8, 9), (1.0, 2.0, 3.0)) is None


def test_signal_that_is_first_seen_later_is_found() -> None:
    signals = list(SIGNALS[:0])
    subject = FixSignals({"lat": "P.Latitude@0B", "lon": "P.Longitude@0B"}, signals)
    assert subject.offer(T, (5, 6), (1.0, 2.0)) is None
    signals += [Signal("P.Latitude@0B"), Signal("P.Longitude@0B")]
    assert subject.offer(T, (0, 1), (48.1, 11.5)) is not None
