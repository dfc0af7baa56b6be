"""Temperatures: each goes to where it belongs, with a time constant of its own."""

import math
from dataclasses import dataclass
from typing import Final

THERMOSTAT_C: Final = 90.0


@dataclass(slots=True)
class Climate:
    """Degrees Celsius. A vehicle that stood overnight has everything at `ambient`."""

    ambient: float
    coolant: float
    oil: float
    intake: float
    exhaust: float
    gearbox: float
    cabin: float
    brakes_front: float
    brakes_rear: float
    tyres: float
    battery: float

    @classmethod
    def at_rest(cls, ambient: float) -> "Climate":
        """All of it as warm as the air."""
        return cls(*[ambient] * 11)

    @classmethod
    def warm(cls, ambient: float) -> "Climate":
        """In the middle of a drive."""
        return cls(
            ambient,
            coolant=THERMOSTAT_C,
            oil=96.0,
            intake=ambient + 9,
            exhaust=320.0,
            gearbox=70.0,
            cabin=21.0,
            brakes_front=ambient + 60,
            brakes_rear=ambient + 40,
            tyres=ambient + 14,
            battery=ambient + 8,
        )

    def step(self, dt_s: float, *, running: bool, load: float, speed_ms: float, braking_w: float) -> None:
        """Go on for `dt_s` with the engine at `load` percent and the brakes turning `braking_w` into heat."""
        air = self.ambient
        wind = 1 + speed_ms / 15
        if running:
            self.coolant = _toward(self.coolant, THERMOSTAT_C + load / 40, 420 / (0.5 + load / 60), dt_s)
            self.oil = _toward(self.oil, self.coolant + 2 + load / 6, 500, dt_s)
            self.exhaust = _toward(self.exhaust, 130 + 5.2 * load, 25, dt_s)
            self.gearbox = _toward(self.gearbox, air + 55, 1500, dt_s)
            self.cabin = _toward(self.cabin, 21.0, 300, dt_s)
            self.intake = _toward(self.intake, air + 14 / wind, 60, dt_s)
            self.battery = _toward(self.battery, air + 12, 3000, dt_s)
        else:
            self.coolant = _toward(self.coolant, air, 7000, dt_s)
            self.oil = _toward(self.oil, air, 8000, dt_s)
            self.exhaust = _toward(self.exhaust, air, 400, dt_s)
            self.gearbox = _toward(self.gearbox, air, 8000, dt_s)
            self.cabin = _toward(self.cabin, air, 2500, dt_s)
            self.intake = _toward(self.intake, air + 6, 600, dt_s)
            self.battery = _toward(self.battery, air, 9000, dt_s)
        # 65 % of the heat goes into the front discs; 11 and 9 kJ/K a pair
        self.brakes_front = _toward(self.brakes_front, air, 320 / wind, dt_s) + 0.65 * braking_w * dt_s / 11_000
        self.brakes_rear = _toward(self.brakes_rear, air, 320 / wind, dt_s) + 0.35 * braking_w * dt_s / 9_000
        self.tyres = _toward(self.tyres, air + min(26.0, 0.8 * speed_ms), 900, dt_s)


def _toward(value: float, target: float, time_constant_s: float, dt_s: float) -> float:
    return target + (value - target) * math.exp(-dt_s / time_constant_s)
