"""A small model of one vehicle: driver, powertrain, temperatures, battery, body and faults, step by step.

Seeded: equal seeds, roads and steps give equal values. What it says is named as in dbc/fleetwire.dbc.
"""

import math
from dataclasses import dataclass
from random import Random
from typing import Final

from edge.recordings.drive_fix import DriveFix
from simulator.climate import Climate
from simulator.driver import Driver, Phase, Place
from simulator.faults import VOLTAGE_LOW, Faults
from simulator.powertrain import MASS_KG, TANK_L, Powertrain
from simulator.receiver import Receiver
from simulator.routes import Road

BATTERY_AH: Final = 80.0
WHEELBASE_M: Final = 3.0
HALF_TRACK_M: Final = 0.8
STEERING_RATIO: Final = 16.0
REFUEL_BELOW_L: Final = 0.2 * TANK_L
WHEELS: Final = ("FrontLeft", "FrontRight", "RearLeft", "RearRight")
_GAUGE_KPA: Final = {"FrontLeft": 250.0, "FrontRight": 250.0, "RearLeft": 290.0, "RearRight": 290.0}
_LEAK_KPA_PER_HOUR: Final = 18.0


@dataclass(slots=True)
class Memory:
    """What a vehicle remembers from one run of the program to the next."""

    at_m: float
    backwards: bool
    odometer_m: float
    fuel_l: float
    fuel_used_l: float
    engine_s: float


class Vehicle:
    """One vehicle on its road: under way with a `memory`, otherwise parked at the road's beginning."""

    def __init__(self, road: Road, *, seed: int | str, memory: Memory | None = None) -> None:
        rng = self._rng = Random(f"{seed}:{road.name}")
        ambient = rng.uniform(-4, 19)
        odometer_m = rng.uniform(20e6, 220e6)
        start = memory or Memory(
            at_m=0.0,
            backwards=False,
            odometer_m=odometer_m,
            fuel_l=rng.uniform(0.4, 0.95) * TANK_L,
            fuel_used_l=odometer_m / 1000 * 0.078,
            engine_s=odometer_m / 13.5,
        )
        self.driver = Driver(road, rng, place=Place(start.at_m, start.backwards), parked=memory is None)
        self.powertrain = Powertrain(start.fuel_l, start.fuel_used_l, start.engine_s)
        self.climate = Climate.at_rest(ambient) if memory is None else Climate.warm(ambient)
        self.faults = Faults()
        self.receiver = Receiver(rng, cold=memory is None)
        self.odometer_m = start.odometer_m
        self._trip_m = 0.0
        self._charge = rng.uniform(0.72, 0.95)
        self._voltage = 12.5
        self._current_a = -0.2
        self._rain = 0.0
        self._leaking = rng.random() < 0.08
        self._lost_kpa = 0.0
        self._phase_s = 0.0
        self._arrivals = 0
        self._passenger = rng.random() < 0.3

    def memory(self) -> Memory:
        """What to give to the next run."""
        place, engine = self.driver.place, self.powertrain
        return Memory(place.at_m, place.backwards, self.odometer_m, engine.fuel_l, engine.fuel_used_l, engine.engine_s)

    def step(self, dt_s: float) -> None:
        """Go on for `dt_s` seconds, 0.1 to 1."""
        driver, rng = self.driver, self._rng
        before, speed_before_ms = driver.phase, driver.speed_ms
        driver.step(dt_s)
        self._phase_s = self._phase_s + dt_s if driver.phase is before else 0.0
        moved_m = (speed_before_ms + driver.speed_ms) / 2 * dt_s
        self.odometer_m += moved_m
        self._trip_m += moved_m
        self._run_engine(dt_s, moved_m)
        self.climate.step(
            dt_s,
            running=driver.engine_running,
            load=self.powertrain.load,
            speed_ms=driver.speed_ms,
            braking_w=self._brake_n() * driver.speed_ms,
        )
        self._charge_battery(dt_s)
        self.receiver.step(dt_s, speed_ms=driver.speed_ms)
        self._rain = min(max(self._rain + rng.gauss(0, 0.02) * math.sqrt(dt_s), -1.0), 1.0)
        if self._leaking:
            self._lost_kpa = min(90.0, self._lost_kpa + _LEAK_KPA_PER_HOUR * dt_s / 3600)
        if driver.arrivals != self._arrivals:
            self._arrivals = driver.arrivals
            self._after_arrival()

    def fix(self, t_ms: int) -> DriveFix | None:
        """What the GPS receiver says now."""
        return self.receiver.fix(t_ms, self.driver.spot, speed_ms=self.driver.speed_ms)

    def readings(self) -> dict[str, float]:
        """Every signal of the vehicle, by "Message.Signal"."""
        return {
            **self._powertrain_readings(),
            **self._chassis_readings(),
            **self._body_readings(),
            **self._slow_readings(),
        }

    def _run_engine(self, dt_s: float, moved_m: float) -> None:
        driver, engine = self.driver, self.powertrain
        if driver.engine_running:
            cold_rpm = max(0.0, 60 - self.climate.coolant) * 5
            engine.run(
                dt_s, speed_ms=driver.speed_ms, acceleration=driver.acceleration, cold_rpm=cold_rpm, rng=self._rng
            )
            self.faults.step(dt_s, moved_m=moved_m, rng=self._rng)
        elif driver.phase is Phase.CRANKING:
            engine.crank()
        else:
            engine.off()

    def _charge_battery(self, dt_s: float) -> None:
        rng, phase = self._rng, self.driver.phase
        if self.driver.engine_running:
            missing = 1 - self._charge
            self._current_a = 60 * missing + rng.gauss(0, 0.4)
            sag = 1.9 if VOLTAGE_LOW in self.faults.active else 0.0
            self._voltage = 14.35 - 0.6 * missing - sag + rng.gauss(0, 0.02)
        elif phase is Phase.CRANKING:
            self._current_a, self._voltage = -180 + rng.gauss(0, 5), 10.3 + rng.gauss(0, 0.1)
        else:
            self._current_a = -6.0 if phase is Phase.BOARDING else -0.2
            self._voltage = 11.9 + 0.9 * self._charge + 0.05 * self._current_a + rng.gauss(0, 0.005)
        self._charge = min(1.0, max(0.2, self._charge + self._current_a * dt_s / 3600 / BATTERY_AH))

    def _after_arrival(self) -> None:
        self._trip_m = 0.0
        self._passenger = self._rng.random() < 0.3
        if self.powertrain.fuel_l < REFUEL_BELOW_L:
            self.powertrain.fuel_l = 0.97 * TANK_L

    def _brake_n(self) -> float:
        """The brakes' share of the deceleration: the engine takes the first 0.4 m/s² of it."""
        return max(0.0, -self.driver.acceleration - 0.4) * MASS_KG

    def _powertrain_readings(self) -> dict[str, float]:
        engine, driver, climate = self.powertrain, self.driver, self.climate
        state = 2 if driver.engine_running else int(driver.phase is Phase.CRANKING)
        economy = min(100.0, engine.rate_lh / (driver.speed_ms * 0.036)) if driver.speed_ms > 2 else 0.0
        return {
            "EngineData.EngineSpeed": engine.rpm,
            "EngineData.EngineLoad": engine.load,
            "EngineData.ThrottlePosition": 8 + 0.85 * engine.pedal if state == 2 else 0.0,
            "EngineData.AcceleratorPedal": engine.pedal,
            "EngineData.EngineTorque": engine.torque_nm,
            "EngineData.EngineState": state,
            "EngineTemperatures.CoolantTemperature": climate.coolant,
            "EngineTemperatures.OilTemperature": climate.oil,
            "EngineTemperatures.IntakeAirTemperature": climate.intake,
            "EngineTemperatures.ExhaustTemperature": climate.exhaust,
            "EngineTemperatures.OilPressure": 100 + engine.rpm / 8 if state == 2 else 0.0,
            "EngineTemperatures.BoostPressure": 100 + 1.2 * engine.load,
            "Transmission.GearSelector": 3 if driver.phase in (Phase.DRIVING, Phase.STANDING) else 0,
            "Transmission.CurrentGear": engine.gear,
            "Transmission.GearShiftActive": engine.shifting,
            "Transmission.GearboxTemperature": climate.gearbox,
            "Transmission.OutputShaftSpeed": driver.speed_ms * 110,
            "Fuel.FuelLevel": 100 * engine.fuel_l / TANK_L,
            "Fuel.FuelRate": engine.rate_lh,
            "Fuel.FuelEconomy": economy,
            "Fuel.FuelUsedTotal": engine.fuel_used_l,
        }

    def _chassis_readings(self) -> dict[str, float]:
        driver, rng = self.driver, self._rng
        speed_kmh, curvature = driver.speed_ms * 3.6, driver.spot.curvature
        moving = driver.speed_ms > 0
        braking = self._brake_n() > 0 or (driver.phase is not Phase.PARKED and not moving)
        wobble = rng.gauss(0, 0.8) if moving else 0.0
        readings: dict[str, float] = {
            "VehicleMotion.VehicleSpeed": speed_kmh,
            "VehicleMotion.LongitudinalAcceleration": driver.acceleration + (rng.gauss(0, 0.03) if moving else 0.0),
            "VehicleMotion.LateralAcceleration": driver.speed_ms**2 * curvature,
            "VehicleMotion.YawRate": math.degrees(driver.speed_ms * curvature),
            "VehicleMotion.Standstill": not moving,
            "Brakes.BrakePedal": braking,
            "Brakes.AbsActive": driver.acceleration < -2.9,
            "Brakes.StabilityControlActive": abs(driver.speed_ms**2 * curvature) > 3.5,
            "Brakes.ParkingBrake": driver.phase is Phase.PARKED,
            "Brakes.BrakePressure": 12 + self._brake_n() / 120 if braking else 0.0,
            "Brakes.BrakeTemperatureFront": self.climate.brakes_front,
            "Brakes.BrakeTemperatureRear": self.climate.brakes_rear,
            "Brakes.BrakePadWear": (self.odometer_m / 1000 / 600) % 100,
            "Steering.SteeringWheelAngle": math.degrees(math.atan(WHEELBASE_M * curvature)) * STEERING_RATIO + wobble,
        }
        for wheel in WHEELS:
            side = 1 if wheel.endswith("Left") else -1  # in a bend to the right the left wheels go further
            readings[f"WheelSpeeds.WheelSpeed{wheel}"] = speed_kmh * (1 + side * HALF_TRACK_M * curvature)
        return readings

    def _body_readings(self) -> dict[str, float]:
        driver, phase = self.driver, self.driver.phase
        parked, seated = phase is Phase.PARKED, phase not in (Phase.PARKED, Phase.BOARDING)
        leaving = parked and 2 < self._phase_s < 6
        entering = phase is Phase.BOARDING and self._phase_s < 2.5
        bend = driver.spot.curvature if driver.speed_ms < 17 else 0.0
        wiper = 0 if self._rain < 0.35 else 1 if self._rain < 0.55 else 2 if self._rain < 0.8 else 3
        return {
            "BodyStatus.Ignition": 0 if parked else 3 if phase is Phase.CRANKING else 2,
            "BodyStatus.DoorFrontLeft": leaving or entering,
            "BodyStatus.DoorFrontRight": self._passenger and (leaving or entering),
            "BodyStatus.DoorRearLeft": 0,
            "BodyStatus.DoorRearRight": 0,
            "BodyStatus.Tailgate": parked and 10 < self._phase_s < 40,
            "BodyStatus.BeltDriver": seated,
            "BodyStatus.BeltPassenger": seated and self._passenger,
            "BodyStatus.LowBeam": not parked,
            "BodyStatus.HighBeam": 0,
            "BodyStatus.TurnIndicator": 0 if abs(bend) < 0.006 else 2 if bend > 0 else 1,
            "BodyStatus.Wiper": wiper if not parked else 0,
            "BodyStatus.CentralLocking": driver.speed_ms > 4 or (parked and self._phase_s > 45),
        }

    def _slow_readings(self) -> dict[str, float]:
        climate, faults, running = self.climate, self.faults, self.driver.engine_running
        readings: dict[str, float] = {
            "Battery.BatteryVoltage": self._voltage,
            "Battery.BatteryCurrent": self._current_a,
            "Battery.BatteryStateOfCharge": 100 * self._charge,
            "Battery.AlternatorLoad": 22 + min(60.0, max(0.0, self._current_a)) if running else 0.0,
            "Battery.BatteryTemperature": climate.battery,
            "Odometer.TotalDistance": self.odometer_m / 1000,
            "Odometer.TripDistance": self._trip_m / 1000,
            "Odometer.EngineHours": self.powertrain.engine_s / 3600,
            "Climate.AmbientTemperature": climate.ambient,
            "Climate.CabinTemperature": climate.cabin,
            "Climate.CabinSetpoint": 21.0,
            "Climate.FanSpeed": min(7, round(abs(climate.cabin - 21) / 3) + 1) if running else 0,
            "Climate.AirConditioning": running and climate.ambient > 16,
            "Climate.AmbientPressure": 1011.0,
            "Faults.DtcCount": len(faults.active),
            "Faults.MalfunctionLamp": faults.lamp,
            "Faults.OilPressureWarning": self.driver.phase is Phase.BOARDING,
            "Faults.CoolantWarning": climate.coolant > 115,
            "Faults.BatteryWarning": running and self._voltage < 12.8,
            "Faults.LatestDtc": faults.latest,
            "Faults.DistanceWithFault": faults.distance_m / 1000,
        }
        lowest = math.inf
        for wheel in WHEELS:
            lost = self._lost_kpa if wheel == "RearLeft" else 0.0
            pressure = _GAUGE_KPA[wheel] * (1 + (climate.tyres - 15) / 290) - lost
            lowest = min(lowest, pressure / _GAUGE_KPA[wheel])
            readings[f"TyreStatus.TyrePressure{wheel}"] = pressure
            readings[f"TyreStatus.TyreTemperature{wheel}"] = climate.tyres
        return readings | {"TyreStatus.TyreWarning": lowest < 0.8}
