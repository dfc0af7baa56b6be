"""A drive's frames, decoded again, are the drive's values within the database's resolution."""

from bisect import bisect_right
from pathlib import Path

import cantools
import pytest
from cantools.database.can import Database
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.recordings.drive import Drive, DriveError, Series, parse_drive
from edge.recordings.drive_fix import DriveFix
from edge.recordings.drive_frames import (
    FIX_HOLDS_MS,
    OWN_DATABASES,
    EncodeCounts,
    drive_database,
    drive_frames,
    gnss_series,
)

OWN = cantools.database.load_file(OWN_DATABASES / "fleetwire.dbc", strict=True)
assert isinstance(OWN, Database)
SIGNALS = {
    f"{message.name}.{signal.name}": signal
    for message in OWN.messages
    for signal in message.signals
    if not signal.is_multiplexer and not message.name.startswith("Gnss")
}
SMALL = """VERSION ""
NS_ :
BS_:
BU_: A
BO_ 16 OnChange: 8 A
 SG_ Mode : 0|8@1+ (1,0) [0|255] "" A
 SG_ Real : 8|32@1- (1,0) [0|0] "" A
BO_ 2147483920 Nested: 8 A
 SG_ Outer M : 0|8@1+ (1,0) [0|255] "" A
 SG_ Inner m1M : 8|8@1+ (1,0) [0|255] "" A
 SG_ Deep m4 : 16|16@1- (0.5,0) [-100|100] "" A
 SG_ Flat m2 : 16|16@1+ (1,0) [0|65535] "" A
SIG_VALTYPE_ 16 Real : 1;
SG_MUL_VAL_ 2147483920 Inner Outer 1-1;
SG_MUL_VAL_ 2147483920 Deep Inner 4-4;
SG_MUL_VAL_ 2147483920 Flat Outer 2-2;
"""


def drive(signals: dict[str, Series], fixes: tuple[DriveFix, ...] = (), duration_ms: int = 10_000) -> Drive:
    return Drive(None, 1_000_000, None, duration_ms, signals, fixes)


@st.composite
def signal_series(draw: st.DrawFn) -> dict[str, Series]:
    names = draw(st.lists(st.sampled_from(sorted(SIGNALS)), min_size=1, max_size=12, unique=True))
    series = {}
    for name in names:
        signal = SIGNALS[name]
        times = sorted(draw(st.lists(st.integers(0, 9_999), min_size=1, max_size=8, unique=True)))
        values = st.floats(float(signal.minimum or 0), float(signal.maximum or 0))
        series[name] = Series(tuple(times), tuple(draw(values) for _ in times))
    return series


def held(series: Series, t_ms: int) -> float:
    return series.v[max(0, bisect_right(series.t_ms, t_ms) - 1)]


@settings(max_examples=60, deadline=None)
@given(signal_series())
def test_decoded_frames_hold_the_drives_values(signals: dict[str, Series]) -> None:
    counts = EncodeCounts()
    seen: set[str] = set()
    last_ns = 0
    for frame in drive_frames(drive(signals), OWN, counts=counts):
        assert frame.t_ns is not None
        assert frame.t_ns >= last_ns
        last_ns = frame.t_ns
        t_ms = frame.t_ns // 1_000_000 - 1_000_000
        message = OWN.get_message_by_frame_id(frame.arbitration_id)
        for name, value in message.decode(frame.data, decode_choices=False).items():
            series = signals.get(f"{message.name}.{name}")
            if series is not None:
                seen.add(f"{message.name}.{name}")
                assert isinstance(value, int | float)
                assert abs(value - held(series, t_ms)) <= message.get_signal_by_name(name).scale / 2 * 1.000001
    assert seen == set(signals)
    assert counts == EncodeCounts()


def test_messages_are_sent_at_their_cycle_times() -> None:
    signals = {"EngineData.EngineSpeed": Series((0,), (900.0,)), "Fuel.FuelLevel": Series((2_500,), (50.0,))}
    frames = list(drive_frames(drive(signals), OWN))
    assert sum(frame.arbitration_id == 256 for frame in frames) == 101
    assert sum(frame.arbitration_id == 768 for frame in frames) == 8  # from the first value on


def test_a_multiplexed_message_sends_its_layouts_in_turn() -> None:
    signals = {
        "TyreStatus.TyrePressureFrontLeft": Series((0,), (250.0,)),
        "TyreStatus.TyrePressureRearRight": Series((0,), (290.0,)),
    }
    wheels = [OWN.decode_message(784, frame.data)["TyrePosition"] for frame in drive_frames(drive(signals), OWN)]
    assert [str(wheel) for wheel in wheels[:4]] == ["Front left", "Rear right", "Front left", "Rear right"]


def test_without_a_cycle_time_every_change_is_sent(tmp_path: Path) -> None:
    (tmp_path / "small.dbc").write_text(SMALL)
    database = cantools.database.load_file(tmp_path / "small.dbc")
    assert isinstance(database, Database)
    signals = {
        "OnChange.Mode": Series((0, 700), (1.0, 300.0)),
        "OnChange.Real": Series((700,), (-2.5,)),
        "Nested.Deep": Series((5,), (-7.3,)),
        "Nested.Flat": Series((5,), (9.0,)),
        "Gone.Signal": Series((0,), (1.0,)),
    }
    counts = EncodeCounts()
    frames = list(drive_frames(drive(signals), database, counts=counts))
    decoded = [
        (
            frame.t_ns,
            database.decode_message(frame.arbitration_id, frame.data, force_extended_id=frame.is_extended),
        )
        for frame in frames
    ]
    assert [(t_ns // 10**6 - 10**6, values) for t_ns, values in decoded if t_ns is not None] == [
        (0, {"Mode": 1, "Real": -2.5}),
        (5, {"Outer": 1, "Inner": 4, "Deep": -7.5}),
        (5, {"Outer": 2, "Flat": 9}),
        (700, {"Mode": 255, "Real": -2.5}),
    ]
    assert frames[1].is_extended
    assert counts == EncodeCounts(unknown_signals=["Gone.Signal"], clamped=1)


def test_values_beyond_the_range_are_clamped_and_counted() -> None:
    counts = EncodeCounts()
    signals = {"EngineData.EngineSpeed": Series((0, 5_000), (90_000.0, -4.0))}
    values = {
        OWN.decode_message(256, frame.data)["EngineSpeed"] for frame in drive_frames(drive(signals), OWN, counts=counts)
    }
    assert values == {8000, 0}
    assert counts.clamped == 2


def test_a_database_of_another_vehicle_is_refused() -> None:
    with pytest.raises(DriveError, match=r"none of the drive's signals: Other\.Signal"):
        list(drive_frames(drive({"Other.Signal": Series((0,), (1.0,))}), OWN))


def test_positions_become_gnss_signals_that_end_with_the_fix() -> None:
    fixes = (DriveFix(1_000, 60.0, 24.0), DriveFix(2_000, 60.1, 24.1, alt=12.0), DriveFix(9_000, 60.2, 24.2))
    series = gnss_series(fixes, 10_000)
    assert series["GnssPosition.Latitude"] == Series((1_000, 2_000, 9_000), (60.0, 60.1, 60.2))
    assert series["GnssMotion.Altitude"] == Series((2_000,), (12.0,))
    assert series["GnssPosition.PositionValid"] == Series(
        (0, 1_000, 2_000, 2_000 + FIX_HOLDS_MS, 9_000), (0.0, 1.0, 1.0, 0.0, 1.0)
    )
    positions = [
        OWN.decode_message(1024, frame.data, decode_choices=False)
        for frame in drive_frames(drive({}, fixes), OWN)
        if frame.arbitration_id == 1024
    ]
    assert [values["PositionValid"] for values in positions] == [0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1]
    assert positions[2]["Latitude"] == pytest.approx(60.1, abs=1e-7)


def test_a_drives_database_lies_beside_it_or_is_the_projects_own(tmp_path: Path) -> None:
    named = parse_drive(
        {"format": "fleetwire-drive", "version": 1, "dbc": "small.dbc", "signals": {"A.B": {"t": [0], "v": [1]}}},
        name="x",
    )
    with pytest.raises(DriveError, match=r"'small\.dbc' is neither beside it"):
        drive_database(named, tmp_path / "d.json")
    (tmp_path / "small.dbc").write_text(SMALL)
    assert [message.name for message in drive_database(named, tmp_path / "d.json").messages] == ["OnChange", "Nested"]
    unnamed = drive({"A.B": Series((0,), (1.0,))})
    assert len(drive_database(unnamed, tmp_path / "d.json").messages) == len(OWN.messages)
