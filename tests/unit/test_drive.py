"""Reading drives: the own format, flat events, and everything that is wrong with them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.recordings.drive import DriveError, Series, is_drive, load_drive, parse_drive
from edge.recordings.drive_fix import DriveFix

OWN = {"format": "fleetwire-drive", "version": 1}


def own(**more: object) -> dict[str, object]:
    return {**OWN, "signals": {"EngineData.EngineSpeed": {"t": [0, 0.5], "v": [800, 812.25]}}, **more}


def test_own_format_gives_signals_and_fixes() -> None:
    drive = parse_drive(
        own(
            vehicle="van-1",
            start="2025-06-02T06:00:00Z",
            dbc="fleetwire.dbc",
            duration=9,
            fixes={"t": [1, 2.5], "lat": [60.1, 60.2], "lon": [24.9, 25], "speed": [10, None], "sats": [9, 10]},
        ),
        name="x",
    )
    assert drive.vehicle == "van-1"
    assert drive.start_ms == 1_748_844_000_000
    assert drive.duration_ms == 9000
    assert drive.signals == {"EngineData.EngineSpeed": Series((0, 500), (800.0, 812.25))}
    assert drive.fixes == (
        DriveFix(1000, 60.1, 24.9, speed=10.0, sats=9),
        DriveFix(2500, 60.2, 25.0, sats=10),
    )
    assert drive.problems.count == 0


@pytest.mark.parametrize(
    ("t", "v"),
    [
        ([0, 1, 2], [1, float("nan"), 3]),
        ([0, 1, 2], [1, "fast", 3]),
        ([0, 1, 2], [1, True, 3]),
        ([0, -1, 2], [1, 2, 3]),
        ([0, None, 2], [1, 2, 3]),
        ([0, 1e400, 2], [1, 2, 3]),
        ([1, 0.5, 2], [1, 2, 3]),
        ([0, 1, 2], [1, 10**400, 3]),
    ],
)
def test_a_bad_sample_is_named_and_the_others_are_kept(t: list[object], v: list[object]) -> None:
    drive = parse_drive(own(signals={"A.B": {"t": t, "v": v}}), name="x")
    assert drive.signals["A.B"].v == (1.0, 3.0)
    assert drive.problems.count == 1
    assert "'A.B', element 1" in drive.problems.named[0]


def test_a_bad_signal_does_not_take_others_with_it() -> None:
    drive = parse_drive(own(signals={"A.B": {"t": [0], "v": []}, "A.C": 7, "A.D": {"t": [0], "v": [1]}}), name="x")
    assert set(drive.signals) == {"A.D"}
    assert drive.problems.count == 2


def test_a_fix_off_the_earth_is_left_out() -> None:
    fixes = {"t": [0, 1, 2, 3], "lat": [91, 60, None, 60], "lon": [0, 181, 0, -25]}
    drive = parse_drive(own(fixes=fixes), name="x")
    assert [fix.t_ms for fix in drive.fixes] == [3000]
    assert drive.problems.count == 3


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"format": "fleetwire-drive", "version": 2}, "version 2"),
        ({"format": "fleetwire-drive", "version": 1}, "no usable signal"),
        ({"type": "FeatureCollection"}, "neither a drive"),
        (7, "neither a drive"),
        ([], "no event"),
        ([{"lat": 1, "lon": 2}], r"element 0 has no usable time \(None\)"),
    ],
)
def test_nothing_usable_is_an_error_that_says_why(document: object, problem: str) -> None:
    with pytest.raises(DriveError, match=problem):
        parse_drive(document, name="x")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_a_file_that_is_no_json_is_an_error_with_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "d.json"
    path.write_bytes(content)
    with pytest.raises(DriveError, match=r"d\.json"):
        load_drive(path)


def test_events_are_found_under_any_common_key_in_any_case() -> None:
    drive = parse_drive(
        [
            {"ID": "a", "Latitude": "60.0", "LNG": 24, "Speed": 36, "TimeStamp": 1_700_000_000},
            {"Vehicle": "a", "LAT": 60.1, "longitude": 24, "time": "2023-11-14T22:13:30Z", "heading": 90},
            {"id": "a", "lat": 60.2, "lon": 24, "timestamp": 1_700_000_020_500},
            {"id": "a", "lat": 60.3, "lon": 24, "timestamp": "1700000030"},
            {"id": "a", "lat": 60.4, "lon": 24, "timestamp": "2023-11-15T00:14:00+02:00"},
        ],
        name="x",
    )
    assert drive.vehicle == "a"
    assert drive.start_ms == 1_700_000_000_000
    assert [fix.t_ms for fix in drive.fixes] == [0, 10_000, 20_500, 30_000, 40_000]
    assert drive.fixes[0].speed == 36.0
    assert drive.fixes[1].course == 90.0
    assert drive.signals["VehicleMotion.VehicleSpeed"] == Series((0,), (36.0,))


def test_events_come_in_any_order_and_bad_ones_are_counted() -> None:
    drive = parse_drive(
        {
            "events": [
                {"lat": 2, "lon": 2, "time": 20},
                None,
                {"lat": "x", "lon": 2, "time": 15},
                {"lat": 1, "lon": 1, "time": 10},
            ]
        },
        name="x",
    )
    assert [fix.lat for fix in drive.fixes] == [1.0, 2.0]
    assert drive.problems.count == 2
    assert "element 1" in drive.problems.named[0]


def test_events_of_other_vehicles_are_left_out_and_said() -> None:
    events = [{"id": ident, "lat": 1, "lon": 2, "time": index} for index, ident in enumerate("aabab")]
    assert len(parse_drive(events, name="x").fixes) == 3
    other = parse_drive(events, name="x", vehicle="b")
    assert len(other.fixes) == 2
    assert "another vehicle, 'a'" in other.problems.named[0]
    with pytest.raises(DriveError, match="vehicle 'c'"):
        parse_drive(events, name="x", vehicle="c")


def test_only_json_is_a_drive() -> None:
    assert is_drive(Path("a.JSON"))
    assert not is_drive(Path("a.log"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(["id", "lat", "lng", "time", "speed", "t", "v", "Lon", "signals", "fixes", "A.B"])


@given(
    st.one_of(
        json_values,
        st.lists(st.dictionaries(keys, json_values), max_size=4),
        st.dictionaries(keys, json_values).map(lambda more: {**OWN, **more}),
    )
)
def test_any_json_is_read_or_refused_in_our_own_words(document: object) -> None:
    try:
        drive = parse_drive(json.loads(json.dumps(document)), name="x")
    except DriveError:
        return
    assert drive.signals or drive.fixes
    for series in drive.signals.values():
        assert list(series.t_ms) == sorted(series.t_ms)
