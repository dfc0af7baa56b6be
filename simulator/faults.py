"""Trouble codes: they come seldom, stay a while, and go."""

from dataclasses import dataclass, field
from random import Random
from typing import Final

MEAN_S_BETWEEN: Final = 5400.0
STAYS_S: Final = (300.0, 1500.0)
COOLANT_BELOW_THERMOSTAT: Final = 0x0128
MISFIRE: Final = 0x0300
CATALYST: Final = 0x0420
VOLTAGE_LOW: Final = 0x0562
CODES: Final = (COOLANT_BELOW_THERMOSTAT, MISFIRE, CATALYST, VOLTAGE_LOW)


@dataclass(slots=True)
class Faults:
    """The codes that are set, oldest first, each with the engine seconds that it still stays."""

    active: dict[int, float] = field(default_factory=dict)
    distance_m: float = 0.0

    def step(self, dt_s: float, *, moved_m: float, rng: Random) -> None:
        """The engine ran for `dt_s`."""
        self.active = {code: left_s - dt_s for code, left_s in self.active.items() if left_s > dt_s}
        if rng.random() < dt_s / MEAN_S_BETWEEN:
            self.active.setdefault(rng.choice(CODES), rng.uniform(*STAYS_S))
        self.distance_m = self.distance_m + moved_m if self.active else 0.0

    @property
    def lamp(self) -> int:
        """0 off, 1 on, 2 flashing (a misfire harms the catalyst)."""
        return 2 if MISFIRE in self.active else int(bool(self.active))

    @property
    def latest(self) -> int:
        """The code that was set last, 0 without any."""
        return next(reversed(self.active), 0)
