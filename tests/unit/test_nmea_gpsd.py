"""Our fixes against what gpsd reports for the same five logs."""

import json
from pathlib import Path
from typing import Any

import pytest

from edge.fix import Fix
from edge.nmea import NmeaParser

LOGS = Path(__file__).parents[3] / "shared" / "data" / "nmea"
DAY_MS = 24 * 3600 * 1000
KMH_PER_MS = 3.6

# Epochs with a fix, epochs without, sentences that are not good.
EXPECTED = {
    "haicom-305N": (68, 6, 0),
    "telit-he910": (187, 37, 0),
    "ublox-8": (72, 0, 1),
    "gp-320fw-2019-04-07-coldboot": (2, 18, 44),
    "rx210": (40, 22, 0),
}


def time_of_day_ms(time: str) -> int:
    hours, minutes, seconds = time.split("T")[1].rstrip("Z").split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000 + round(float(seconds) * 1000)


ONLY_OURS = {
    "haicom-305N": {
        time_of_day_ms(
            "T09:53:04.802Z"
        ): "GGA has a fix of 0 satellites: gpsd calls that none. GSA lists the three that"
        " it is made of, GGA and RMC say that it is valid, and it lies on the track"
    }
}
ONLY_GPSD = {
    "telit-he910": {
        None: "gpsd says the first epoch's position before a sentence brings the date, and says it again with its time"
    }
}
DIFFERENT = {
    "gp-320fw-2019-04-07-coldboot": {
        None: (
            {"speed", "course"},
            "the epoch's RMC is cut; its VTG is whole, and gpsd takes neither speed nor course from a VTG",
        )
    }
}

pytestmark = pytest.mark.skipif(not LOGS.is_dir(), reason="the shared recordings are not beside the checkout")


def parse(name: str) -> tuple[NmeaParser, list[Fix]]:
    parser = NmeaParser()
    fixes = parser.feed((LOGS / f"{name}.log").read_bytes())
    return parser, fixes + parser.end()


def gpsd_reports(name: str) -> list[dict[str, Any]]:
    lines = (LOGS / f"{name}.log.chk").read_bytes().splitlines()
    return [json.loads(line) for line in lines if line.startswith(b'{"class":"TPV"')]


@pytest.mark.parametrize("name", EXPECTED)
def test_epochs_with_and_without_fix_are_as_many_as_recorded(name: str) -> None:
    parser, fixes = parse(name)
    bad = parser.counts.bad_checksum + parser.counts.broken + parser.counts.malformed
    assert (len(fixes), parser.counts.no_fix, bad) == EXPECTED[name]


def last_words(name: str) -> dict[int | None, dict[str, Any]]:
    """What gpsd says of each epoch, by its time of day, once it has heard all of it.

    It reports after each sentence: at the first with the speed of the epoch before, and without a time until there is
    a date.
    """
    return {time_of_day_ms(report["time"]) if "time" in report else None: report for report in gpsd_reports(name)}


def moment_of(fix: Fix) -> int | None:
    return None if fix.utc_ms is None else fix.utc_ms % DAY_MS


def differences(fix: Fix, report: dict[str, Any]) -> set[str]:
    """Dates are not compared: gpsd shifts them by the GPS week count."""
    ours = {"lat": fix.lat, "lon": fix.lon, "speed": fix.speed, "course": fix.course, "alt": fix.alt}
    theirs = {"lat": report["lat"], "lon": report["lon"], "course": report.get("track"), "alt": report.get("altMSL")}
    theirs["speed"] = report["speed"] * KMH_PER_MS if "speed" in report else None
    tolerance = {"lat": 2e-7, "lon": 2e-7, "speed": 0.01, "course": 0.001, "alt": 0.001}
    found = {name for name, value in ours.items() if not is_near(value, theirs[name], tolerance[name])}
    if (fix.alt is not None) != (report["mode"] == 3):
        found.add("mode")
    return found


def is_near(ours: float | None, theirs: float | None, tolerance: float) -> bool:
    return ours == theirs if ours is None or theirs is None else abs(ours - theirs) <= tolerance


@pytest.mark.parametrize("name", EXPECTED)
def test_position_speed_and_mode_agree_with_gpsd_but_for_what_is_named(name: str) -> None:
    """A fix with an altitude is one that gpsd calls 3D."""
    reports = last_words(name)
    with_fix = {moment: report for moment, report in reports.items() if report["mode"] >= 2}
    fixes = {moment_of(fix): fix for fix in parse(name)[1]}
    assert fixes.keys() - with_fix.keys() == ONLY_OURS.get(name, {}).keys()
    assert with_fix.keys() - fixes.keys() == ONLY_GPSD.get(name, {}).keys()
    found = {moment: differences(fixes[moment], with_fix[moment]) for moment in fixes.keys() & with_fix.keys()}
    named = {moment: fields for moment, (fields, _) in DIFFERENT.get(name, {}).items()}
    assert {moment: fields for moment, fields in found.items() if fields} == named
