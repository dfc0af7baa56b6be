"""Engine, gearbox and fuel: from speed and acceleration to engine speed, load and consumption.

A 2.1 t diesel van. Consumption is a fixed share for turning the engine and 200 g/kWh for the work it does, which gives
6 to 9 l/100 km; overrun takes none.
"""

from dataclasses import dataclass
from random import Random
from typing import Final

MASS_KG: Final = 2100.0
DRAG: Final = 0.5 * 1.225 * 0.9  # air density, drag coefficient times area
ROLLING_N: Final = MASS_KG * 9.81 * 0.011
RPM_PER_MS: Final = (480.0, 272.0, 182.0, 132.0, 99.0, 76.0)  # engine speed per m/s, first to sixth gear
WARM_IDLE_RPM: Final = 780.0
CRANKING_RPM: Final = 220.0
PEAK_TORQUE_NM: Final = 340.0
ACCESSORIES_W: Final = 1800.0
LITRES_PER_KWH: Final = 0.24
TANK_L: Final = 70.0


@dataclass(slots=True)
class Powertrain:
    """The state of the engine and of what it used up."""

    fuel_l: float
    fuel_used_l: float
    engine_s: float
    gear: int = 0  # 0 neutral
    rpm: float = 0.0
    torque_nm: float = 0.0
    load: float = 0.0  # %
    pedal: float = 0.0  # %
    rate_lh: float = 0.0
    shifting: bool = False

    def off(self) -> None:
        """The engine stands."""
        self.gear, self.rpm, self.torque_nm, self.load, self.pedal, self.rate_lh = 0, 0.0, 0.0, 0.0, 0.0, 0.0
        self.shifting = False

    def crank(self) -> None:
        """The starter turns the engine."""
        self.off()
        self.rpm = CRANKING_RPM

    def run(self, dt_s: float, *, speed_ms: float, acceleration: float, cold_rpm: float, rng: Random) -> None:
        """The engine ran for `dt_s` at this speed; `cold_rpm` is what it idles faster while cold."""
        idle_rpm = WARM_IDLE_RPM + cold_rpm + rng.gauss(0, 4)
        gear = self._choose_gear(speed_ms)
        self.shifting, self.gear = gear != self.gear and speed_ms > 1, gear
        wheel_rpm = speed_ms * RPM_PER_MS[gear - 1] if gear else 0.0
        self.rpm = max(idle_rpm, wheel_rpm + rng.gauss(0, 6))
        force_n = MASS_KG * acceleration + DRAG * speed_ms**2 + (ROLLING_N if speed_ms > 0 else 0.0)
        power_w = max(0.0, force_n * speed_ms / 0.9) + ACCESSORIES_W
        overrun = force_n < 0 and self.rpm > 1100 and gear > 0
        self.torque_nm = -25 - self.rpm / 150 if overrun else min(PEAK_TORQUE_NM, power_w / (self.rpm * 0.10472))
        self.load = 0.0 if overrun else min(100.0, 100 * self.torque_nm / PEAK_TORQUE_NM)
        pulling = speed_ms > 0.2 and force_n > 0
        self.pedal = min(100.0, max(0.0, 0.8 * self.load + 4 + rng.gauss(0, 0.7))) if pulling else 0.0
        self.rate_lh = 0.0 if overrun else 0.55 * self.rpm / WARM_IDLE_RPM + LITRES_PER_KWH * power_w / 1000
        used_l = min(self.fuel_l, self.rate_lh * dt_s / 3600)
        self.fuel_l -= used_l
        self.fuel_used_l += used_l
        self.engine_s += dt_s

    def _choose_gear(self, speed_ms: float) -> int:
        if speed_ms < 0.3:
            return 0
        gear = max(1, self.gear)
        upshift_rpm = 1900 + 14 * self.load
        while gear < len(RPM_PER_MS) and speed_ms * RPM_PER_MS[gear - 1] > upshift_rpm:
            gear += 1
        while gear > 1 and speed_ms * RPM_PER_MS[gear - 1] < 1150:
            gear -= 1
        return gear
