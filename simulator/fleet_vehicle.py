"""One vehicle of a simulated fleet: the model's readings as the agent's samples and fixes. Time comes in."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

from edge.batcher import Batcher, Draft
from edge.fix import Fix
from simulator.drive_maker import Quantizer, own_database, own_quantizers
from simulator.routes import road
from simulator.vehicle import Memory, Vehicle
from wire.catalog import Catalog, CatalogSignal, make_catalog

TICK_S: Final = 1.0
BATCH_AGE_MS: Final = 2_000
BATCH_SAMPLES: Final = 5_000
TWICE_A_TICK: Final = (
    "EngineData.EngineSpeed",
    "EngineData.EngineLoad",
    "EngineData.AcceleratorPedal",
    "VehicleMotion.VehicleSpeed",
    "VehicleMotion.LongitudinalAcceleration",
)
ONCE_A_TICK: Final = (
    "EngineData.EngineState",
    "EngineTemperatures.CoolantTemperature",
    "EngineTemperatures.OilTemperature",
    "Transmission.CurrentGear",
    "Brakes.BrakePedal",
    "Brakes.BrakeTemperatureFront",
    "BodyStatus.Ignition",
    "BodyStatus.DoorFrontLeft",
    "Fuel.FuelLevel",
    "Fuel.FuelRate",
    "Battery.BatteryVoltage",
    "Odometer.TotalDistance",
    "Climate.AmbientTemperature",
    "TyreStatus.TyrePressureRearLeft",
    "Faults.DtcCount",
    "Faults.MalfunctionLamp",
)
SIGNALS: Final = TWICE_A_TICK + ONCE_A_TICK
PARKED_SHARE: Final = 0.15
"""So many begin parked at the end of their road, the others somewhere on it."""


class FleetVehicle:
    """A vehicle that fills a batcher, second by second."""

    def __init__(self, vehicle: Vehicle, *, catalog: str) -> None:
        self._vehicle = vehicle
        self._quantizers = {name: own_quantizers_once()[name] for name in SIGNALS}
        self._batcher = Batcher(SIGNALS, max_age_ms=BATCH_AGE_MS, max_samples=BATCH_SAMPLES)
        self._batcher.catalog = catalog
        self._codes: frozenset[int] = frozenset()

    def tick(self, t_ms: int, monotonic_ms: int, *, speed: float) -> list[Draft]:
        """Live for a second, which ends at `t_ms` and took 1/`speed` of one; gives the batches that are complete."""
        middle_ms = t_ms - round(500 / speed)
        self._vehicle.step(TICK_S / 2)
        self._sample(middle_ms, TWICE_A_TICK, 0, now_ms=t_ms)
        self._vehicle.step(TICK_S / 2)
        self._sample(t_ms, SIGNALS, 0, now_ms=t_ms)
        fix = self._vehicle.fix(0)
        if fix is not None:
            self._batcher.add_fix(Fix(t_ms, *fix[1:]))
        self._note_faults(t_ms)
        self._batcher.tick(monotonic_ms)
        return self._batcher.take()

    def finish(self) -> list[Draft]:
        """What is left."""
        self._batcher.close()
        return self._batcher.take()

    def remember(self) -> str:
        """What to keep for the next run, as JSON."""
        return json.dumps({"route": self._vehicle.driver.road.name, **asdict(self._vehicle.memory())})

    def _sample(self, t_ms: int, names: tuple[str, ...], first: int, *, now_ms: int) -> None:
        readings = self._vehicle.readings()
        samples = [
            (index, t_ms, self._quantizers[name](readings[name])) for index, name in enumerate(names, start=first)
        ]
        self._batcher.add_samples(samples, now_ms=now_ms)

    def _note_faults(self, t_ms: int) -> None:
        codes = frozenset(self._vehicle.faults.active)
        for kind, changed in (("dtc_set", codes - self._codes), ("dtc_cleared", self._codes - codes)):
            for code in sorted(changed):
                self._batcher.add_event(t_ms, kind, {"code": f"P{code:04X}"})
        self._codes = codes


def settle_in(route: str, *, seed: int, ident: str, remembered: str | None) -> Vehicle:
    """The vehicle as the last run left it; without one, somewhere on its road or parked at its end."""
    own_seed = f"{seed}:{ident}"
    memory = _memory(remembered, route)
    if memory is not None:
        return Vehicle(road(route), seed=own_seed, memory=memory)
    fresh = Vehicle(road(route), seed=own_seed)
    rng = Random(f"start:{own_seed}")
    if rng.random() < PARKED_SHARE:
        return fresh
    at_m, backwards = rng.uniform(0.02, 0.98) * fresh.driver.road.length_m, rng.random() < 0.5
    if fresh.driver.road.is_loop:
        backwards = False
    return Vehicle(road(route), seed=own_seed, memory=replace(fresh.memory(), at_m=at_m, backwards=backwards))


def memory_path(home: Path, ident: str) -> Path:
    """Where a vehicle's memory is kept between runs."""
    return home / f"{ident}.json"


def fleet_catalog() -> Catalog:
    """What the fleet's signals mean, from the project's own database."""
    signals = {
        f"{message.name}.{signal.name}": signal for message in own_database().messages for signal in message.signals
    }
    return make_catalog(
        CatalogSignal(
            name=name,
            unit=signals[name].unit,
            min=signals[name].minimum,
            max=signals[name].maximum,
            choices=_choices(signals[name].choices),
        )
        for name in SIGNALS
    )


@cache
def own_quantizers_once() -> Mapping[str, Quantizer]:
    """The quantizers, read from the database once a process."""
    return own_quantizers()


def _choices(choices: Mapping[int, object] | None) -> dict[str, str] | None:
    return None if choices is None else {str(value): str(text) for value, text in choices.items()}


def _memory(text: str | None, route: str) -> Memory | None:
    """None when there is none that fits: a torn file only costs a jump on the map."""
    try:
        fields = json.loads(text or "")
        return Memory(**fields) if fields.pop("route") == route else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
