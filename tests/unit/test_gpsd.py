"""gpsd's reports to fixes."""

import json

import pytest

from edge.gpsd import GpsdParser


def line(**report) -> bytes:
    return json.dumps(report).encode() + b"\n"


def tpv(**report) -> bytes:
    return line(**{"class": "TPV", "mode": 3, "time": "2024-05-06T07:08:09.000Z", "lat": 48.1, "lon": 11.5} | report)


def test_report_with_a_fix_gives_one() -> None:
    parser = GpsdParser()
    parser.feed(line(**{"class": "SKY", "hdop": 0.9, "uSat": 8}), 1)
    fix = parser.feed(tpv(altMSL=510.5, speed=10.0, track=90.0), 1_000)
    assert fix is not None
    assert (fix.t_ms, fix.lat, fix.lon, fix.alt, fix.course, fix.hdop, fix.sats) == (
        1_000,
        48.1,
        11.5,
        510.5,
        90,
        0.9,
        8,
    )
    assert fix.speed == pytest.approx(36.0)
    assert fix.utc_ms == 1_714_979_289_000


@pytest.mark.parametrize(
    "report",
    [
        tpv(mode=1),
        tpv(mode=0),
        line(**{"class": "TPV", "mode": 3}),
        line(**{"class": "VERSION"}),
        tpv(lat=91.0),
        tpv(lat=float("nan")),
        tpv(lat=10**400),
        b"[1]",
    ],
)
def test_report_without_a_fix_gives_none(report: bytes) -> None:
    assert GpsdParser().feed(report, 1_000) is None


def test_repeated_report_of_an_epoch_gives_no_second_fix() -> None:
    parser = GpsdParser()
    assert parser.feed(tpv(), 1_000) is not None
    assert parser.feed(tpv(), 1_001) is None
    assert parser.feed(tpv(time="2024-05-06T07:08:10.000Z"), 2_000) is not None


@pytest.mark.parametrize("text", [b"{", b"[" * 100_000])
def test_line_that_is_not_json_is_counted(text: bytes) -> None:
    parser = GpsdParser()
    assert parser.feed(text, 1_000) is None
    assert parser.malformed == 1


def test_quantity_that_cannot_be_is_left_out() -> None:
    parser = GpsdParser()
    parser.feed(line(**{"class": "SKY", "hdop": 0.9, "uSat": -1}), 1)
    fix = parser.feed(tpv(speed=1e308, altMSL=10**400), 1_000)
    assert fix is not None
    assert (fix.speed, fix.alt, fix.sats) == (None, None, None)
