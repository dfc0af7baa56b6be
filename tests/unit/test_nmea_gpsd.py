"""Our fixes against what gpsd reports for the same five logs."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from edge.fix import Fix
from edge.nmea import NmeaParser

LOGS = Path(__file__).parents[3] / "shared" / "data" / "nmea"
DAY_MS = 24 * 3600 * 1000

# Epochs with a fix, epochs without, sentences that are not good.
EXPECTED = {
    "haicom-305N": (68, 6, 0),
    "telit-he910": (187, 37, 0),
    "ublox-8": (72, 0, 1),
    "gp-320fw-2019-04-07-coldboot": (2, 18, 44),
    "rx210": (40, 22, 0),
}

pytestmark = pytest.mark.skipif(not LOGS.is_dir(), reason="the shared recordings are not beside the checkout")


def parse(name: str) -> tuple[NmeaParser, list[Fix]]:
    parser = NmeaParser()
    fixes = parser.feed((LOGS / f"{name}.log").read_bytes())
    return parser, fixes + parser.end()


def gpsd_reports(name: str) -> list[dict[str, Any]]:
    lines = (LOGS / f"{name}.log.chk").read_bytes().splitlines()
    return [json.loads(line) for line in lines if line.startswith(b'{"class":"TPV"')]


def time_of_day_ms(time: str) -> int:
    hours, minutes, seconds = time.split("T")[1].rstrip("Z").split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000 + round(float(seconds) * 1000)


@pytest.mark.parametrize("name", EXPECTED)
def test_epochs_with_and_without_fix_are_as_many_as_recorded(name: str) -> None:
    parser, fixes = parse(name)
    bad = parser.counts.bad_checksum + parser.counts.broken + parser.counts.malformed
    assert (len(fixes), parser.counts.no_fix, bad) == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_position_speed_and_mode_agree_with_gpsd(name: str) -> None:
    """Dates are not compared: gpsd shifts them by the GPS week count. A fix without a date has its last position."""
    reports = defaultdict(list)
    for report in gpsd_reports(name):
        if "time" in report:
            reports[time_of_day_ms(report["time"])].append(report)
    _, fixes = parse(name)
    dated = {fix.utc_ms % DAY_MS: fix for fix in fixes if fix.utc_ms is not None}

    with_fix = {moment for moment, group in reports.items() if any(report["mode"] >= 2 for report in group)}
    assert with_fix <= dated.keys()
    for moment in dated.keys() & with_fix:
        fix, group = dated[moment], reports[moment]
        assert any((r["lat"], r["lon"]) == pytest.approx((fix.lat, fix.lon), abs=2e-7) for r in group if "lat" in r)
        speeds = [report["speed"] * 3.6 for report in group if "speed" in report]
        if speeds and fix.speed is not None:
            assert any(fix.speed == pytest.approx(speed, abs=0.05) for speed in speeds)
        altitudes = [report["altMSL"] for report in group if "altMSL" in report]
        assert not altitudes or any(fix.alt == pytest.approx(altitude, abs=0.06) for altitude in altitudes)
