"""The vehicle model: repeatable, within the database's ranges, and a vehicle one can believe in."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from edge.recordings.drive import parse_drive
from edge.recordings.drive_frames import EncodeCounts, drive_frames
from simulator.drive_maker import drive_text, make_drive, own_database
from simulator.driver import Phase
from simulator.errors import SimulatorError
from simulator.routes import bearing, distance_m, road, road_names
from simulator.vehicle import Vehicle

START = datetime(2025, 6, 2, 6, tzinfo=UTC)
SIGNALS = {f"{message.name}.{signal.name}": signal for message in own_database().messages for signal in message.signals}


def test_every_reading_is_a_signal_within_its_range() -> None:
    vehicle = Vehicle(road("helsinki-airport"), seed=3)
    for _ in range(3000):
        vehicle.step(1.0)
        for name, value in vehicle.readings().items():
            signal = SIGNALS[name]
            assert signal.minimum is not None
            assert signal.maximum is not None
            assert signal.minimum <= value <= signal.maximum, name
    missing = {name for name in SIGNALS if name not in vehicle.readings()}
    assert missing == {name for name in SIGNALS if name.startswith("Gnss")} | {"TyreStatus.TyrePosition"}


@pytest.mark.parametrize("route", road_names())
def test_it_drives_there_and_back_as_a_driver_would(route: str) -> None:
    vehicle = Vehicle(road(route), seed=5)
    phases: set[Phase] = set()
    last_ms, last_odometer_m = 0.0, vehicle.odometer_m
    for _ in range(2 * 3600):
        vehicle.step(0.5)
        driver = vehicle.driver
        phases.add(driver.phase)
        assert -3.2 * 0.5 <= driver.speed_ms - last_ms <= 2.5 * 0.5 or driver.speed_ms == 0
        assert driver.speed_ms * 3.6 <= driver.spot.limit_kmh * 1.15 + 60
        assert vehicle.odometer_m >= last_odometer_m
        assert 0 <= driver.place.at_m <= driver.road.length_m + 5
        last_ms, last_odometer_m = driver.speed_ms, vehicle.odometer_m
    assert {Phase.DRIVING, Phase.STANDING, Phase.PARKED} <= phases
    assert last_odometer_m > 1000


def test_a_vehicle_with_a_memory_goes_on_where_it_was() -> None:
    first = Vehicle(road("helsinki-turku"), seed="truck-1")
    for _ in range(1800):
        first.step(1.0)
    second = Vehicle(road("helsinki-turku"), seed="truck-1", memory=first.memory())
    assert second.memory() == first.memory()
    assert second.driver.phase is Phase.DRIVING


def test_equal_seeds_make_equal_bytes_and_others_do_not() -> None:
    def text(seed: int) -> str:
        return drive_text(make_drive(route="helsinki-kallio-loop", seed=seed, minutes=3, start=START, vehicle="v"))

    assert text(1) == text(1)
    assert text(1) != text(2)


def test_a_made_drive_reads_back_and_fits_its_database() -> None:
    document = make_drive(route="helsinki-airport", seed=1, minutes=6, start=START, vehicle="v")
    drive = parse_drive(document, name="x")
    counts = EncodeCounts()
    frames = list(drive_frames(drive, own_database(), counts=counts))
    assert drive.problems.count == 0
    assert counts == EncodeCounts()
    assert {frame.arbitration_id for frame in frames} == {message.frame_id for message in own_database().messages}
    assert drive.duration_ms == 360_000


@pytest.mark.parametrize("route", ["helsinki-airport", "helsinki-kallio-loop"])
def test_a_round_trip_ends_where_it_began(route: str) -> None:
    drive = parse_drive(
        make_drive(route=route, seed=1, minutes=300, start=START, vehicle="v", round_trip=True), name="x"
    )
    first, last = drive.fixes[0], drive.fixes[-1]
    assert distance_m(first.lat, first.lon, last.lat, last.lon) < 50
    assert max(fix.speed or 0 for fix in drive.fixes) > 30
    assert drive.duration_ms < 300 * 60_000


def test_a_drives_speed_is_the_speed_of_its_positions() -> None:
    drive = parse_drive(make_drive(route="helsinki-turku", seed=2, minutes=12, start=START, vehicle="v"), name="x")
    travelled_m = sum(distance_m(a.lat, a.lon, b.lat, b.lon) for a, b in pairwise(drive.fixes) if b.speed)
    by_speed_m = sum(
        (b.t_ms - a.t_ms) / 1000 * ((a.speed or 0) + (b.speed or 0)) / 2 / 3.6 for a, b in pairwise(drive.fixes)
    )
    assert travelled_m == pytest.approx(by_speed_m, rel=0.03)


@pytest.mark.parametrize("route", road_names())
def test_roads_are_smooth_and_complete(route: str) -> None:
    one = road(route)
    spots = [one.spot(at_m) for at_m in range(0, int(one.length_m), 50)]
    for a, b in pairwise(spots):
        assert distance_m(a.lat, a.lon, b.lat, b.lon) <= 51
        assert abs((b.course - a.course + 180) % 360 - 180) < 60
    back = one.spot(1000, backwards=True)
    assert abs(abs(back.course - one.spot(1000).course) - 180) < 1e-6
    assert back.curvature == -one.spot(1000).curvature


def test_bearing_and_distance_are_those_of_the_globe() -> None:
    assert distance_m(60, 24, 61, 24) == pytest.approx(111_195, abs=1)
    assert bearing(60, 24, 60, 24.01) == pytest.approx(90, abs=0.01)
    assert bearing(60, 24, 59.99, 24) == pytest.approx(180)


def test_unknown_routes_and_impossible_lengths_are_said() -> None:
    with pytest.raises(SimulatorError, match=r"no route 'x'; there are helsinki-turku"):
        road("x")
    with pytest.raises(SimulatorError, match="not 0"):
        make_drive(route="helsinki-airport", seed=1, minutes=0, start=START, vehicle="v")
