"""driving, idling, parked, offline: from times alone."""

import pytest

from cloud.vehicle_state import is_engine_speed, vehicle_state

NOW = 1_700_000_000_000


@pytest.mark.parametrize(
    ("seen", "driven", "engine", "state"),
    [
        (None, None, None, "offline"),
        (120_001, 0, 0, "offline"),
        (120_000, None, None, "parked"),
        (0, 60_000, None, "driving"),
        (0, 60_001, None, "parked"),
        (0, 60_001, 30_000, "idling"),
        (0, None, 120_001, "parked"),
    ],
)
def test_state_by_age(seen: int | None, driven: int | None, engine: int | None, state: str) -> None:
    at = [None if age is None else NOW - age for age in (seen, driven, engine)]
    assert vehicle_state(NOW, seen_ms=at[0], driven_ms=at[1], engine_ms=at[2]) == state


@pytest.mark.parametrize(
    "name",
    [
        "EngineData.EngineSpeed",
        "EEC1.EngineSpeed@00",
        "pt:EEC1.EngSpeed",
        "OBD2.S1_PID_0C_EngineRPM",
        "Engine.Speed",
        "ECU.RPM",
    ],
)
def test_engine_speed_is_known_by_name(name: str) -> None:
    assert is_engine_speed(name)


@pytest.mark.parametrize(
    "name",
    [
        "VehicleMotion.VehicleSpeed",
        "EngineData.EngineSpeed:max",
        "Motor.MotorRpmLimit",
        "Transmission.OutputShaftSpeed",
    ],
)
def test_other_speeds_are_not(name: str) -> None:
    assert not is_engine_speed(name)
