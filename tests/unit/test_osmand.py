"""Reports of OsmAnd and its kin: every usual spelling says the same, and nothing makes it fail but a Problem."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.osmand import of_json, of_parameters, read_report
from cloud.problem import Problem
from wire.model import Batch

NOW_MS = 1_780_000_000_123
T_MS = 1_779_999_999_000


def read(**parameters: str) -> Batch:
    return read_report(of_parameters({"id": "x"} | parameters), "truck-1", NOW_MS).batch


def test_whole_report() -> None:
    batch = read(
        lat="47.5", lon="-8.25", timestamp="1779999999", speed="10", bearing="370", altitude="430.5", hdop="1.2",
        accuracy="5", batt="83.5", charge="true", sat="9", alarm="sos", driver="ann", rpm="1500",
    )  # fmt: skip
    assert batch.fixes is not None
    assert batch.fixes.model_dump() == {
        "dt": [0], "lat": [47.5], "lon": [-8.25], "alt": [430.5], "speed": [18.52], "course": [10.0], "hdop": [1.2],
        "sats": [9],
    }  # fmt: skip
    assert batch.t0 == T_MS
    values = {name: column.v[0] for name, column in batch.signals.items()}
    assert values == {"OsmAnd.accuracy": 5, "OsmAnd.batt": 83.5, "OsmAnd.charge": 1, "OsmAnd.rpm": 1500}
    assert [(event.kind, event.data, event.t) for event in batch.events] == [("alarm", {"value": "sos"}, T_MS)]


@pytest.mark.parametrize(
    "timestamp",
    ["1779999999", "1779999999000", "1779999999.0", "2026-05-28T20:26:39Z", "2026-05-28T22:26:39+02:00",
     "2026-05-28 20:26:39", "2026-05-28T20:26:39", "2026-05-28T20:26:39.000Z"],
)  # fmt: skip
def test_spellings_of_a_time(timestamp: str) -> None:
    assert read(lat="1", lon="2", timestamp=timestamp).t0 == T_MS


def test_without_a_time_it_is_of_now_and_never_a_repeat() -> None:
    report = of_parameters({"deviceid": "x", "lat": "1", "lon": "2"})
    one, other = read_report(report, "v", NOW_MS), read_report(report, "v", NOW_MS + 1)
    assert (one.batch.t0, one.key == other.key) == (NOW_MS, False)


def test_repeat_is_known_whatever_the_order() -> None:
    given = {"id": "x", "lat": "1", "lon": "2", "timestamp": "1779999999", "a": "1"}
    one = read_report(of_parameters(given), "v", NOW_MS)
    other = read_report(of_parameters(dict(reversed(given.items()))), "v", NOW_MS + 99)
    assert one.key == other.key
    assert read_report(of_parameters(given | {"a": "2"}), "v", NOW_MS).key != one.key


def test_what_a_phone_does_not_know_is_null() -> None:
    fixes = read(lat="1", lon="2", speed="-1", bearing="-1", hdop="-1").fixes
    assert fixes is not None
    assert (fixes.speed, fixes.course, fixes.hdop) == ([None], [None], [None])


def test_position_that_is_not_valid_is_no_fix() -> None:
    batch = read(lat="1", lon="2", valid="false", batt="50")
    assert batch.fixes is None
    assert list(batch.signals) == ["OsmAnd.batt"]


def test_location_in_one_parameter() -> None:
    fixes = read(location="47.5,8.25").fixes
    assert fixes is not None
    assert (fixes.lat, fixes.lon) == ([47.5], [8.25])


def test_json_of_traccars_client() -> None:
    report = of_json(
        {
            "device_id": "phone",
            "location": {
                "timestamp": "2026-05-28T20:26:39.000Z",
                "coords": {"latitude": 47.5, "longitude": 8.25, "accuracy": 4.5, "speed": 10, "heading": 90.5},
                "is_moving": True,
                "odometer": 1234.5,
                "event": "motionchange",
                "battery": {"level": 0.83, "is_charging": False},
                "activity": {"type": "in_vehicle"},
            },
        }
    )  # fmt: skip
    batch = read_report(report, "v", NOW_MS).batch
    assert report.device == "phone"
    assert batch.fixes is not None
    assert (batch.fixes.speed, batch.fixes.course, batch.t0) == ([36.0], [90.5], T_MS)
    values = {name: column.v[0] for name, column in batch.signals.items()}
    assert values == {
        "OsmAnd.accuracy": 4.5, "OsmAnd.batt": 83.0, "OsmAnd.charge": 0, "OsmAnd.motion": 1, "OsmAnd.odometer": 1234.5,
    }  # fmt: skip
    assert [event.kind for event in batch.events] == ["event"]


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"lat": "91", "lon": "2"}, "no position"),
        ({"lat": "1"}, "no position"),
        ({"lat": "x", "lon": "2"}, "no position"),
        ({"lat": "nan", "lon": "2"}, "no position"),
        ({"lat": "1", "lon": "2", "timestamp": "soon"}, "no time"),
        ({"lat": "1", "lon": "2", "timestamp": "1e300"}, ""),
        ({"lat": "1", "lon": "2", "timestamp": "9999-99-99"}, "no time"),
        ({"lat": "1", "lon": "2", "timestamp": "10000000000000000"}, ""),
        ({"lat": "1", "lon": "2", "alarm": "a\0b"}, "U+0000"),
        ({}, "says nothing"),
    ],
)
def test_what_cannot_be_a_report_is_refused(parameters: dict[str, str], says: str) -> None:
    with pytest.raises(Problem) as raised:
        read(**parameters)
    assert raised.value.status == 400
    assert says in raised.value.detail


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = ["lat", "lon", "location", "timestamp", "speed", "bearing", "altitude", "hdop", "sat", "valid", "alarm", "batt"]
TEXTS = ["1", "-1", "1e999", "nan", "-0", "2026-05-28", "1779999999", "true", "", "9" * 400, "1_0", "٣", "\0", "1,2"]


def status_of(read: Callable[[], object]) -> int:
    try:
        read()
    except Problem as problem:
        return problem.status
    return 200


@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), st.sampled_from(TEXTS) | st.text(max_size=12)))
def test_any_parameters_are_a_report_or_a_problem(parameters: dict[str, str]) -> None:
    assert status_of(lambda: read(**parameters)) in (200, 400)


@given(st.dictionaries(st.sampled_from(["latitude", "longitude", "speed", "heading"]), json_values), json_values)
def test_any_json_is_a_report_or_a_problem(coords: dict[str, object], other: object) -> None:
    value = {"device_id": other, "location": {"timestamp": other, "coords": coords, "battery": other}}
    for one in (value, other, {"location": other}):
        assert status_of(lambda one=one: read_report(of_json(one), "truck-1", NOW_MS)) in (200, 400)  # type: ignore[misc]
