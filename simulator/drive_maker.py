"""Drives out of the vehicle model, as JSON documents (docs/simulator.md)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from cantools.database.can import Database

from edge.dbc import load_database
from edge.recordings.drive import FORMAT, VERSION
from edge.recordings.drive_fix import DriveFix
from edge.recordings.drive_frames import DEFAULT_DATABASE, OWN_DATABASES
from simulator.errors import SimulatorError
from simulator.routes import road
from simulator.vehicle import Vehicle

STEP_MS: Final = 200
FIX_EVERY_MS: Final = 1000


@dataclass(slots=True)
class Quantizer:
    """Rounds a signal to what its frame can carry: what does not change on the bus does not change in the drive."""

    scale: float
    offset: float
    places: int

    def __call__(self, value: float) -> float | int:
        number = round(round((value - self.offset) / self.scale) * self.scale + self.offset, self.places)
        return int(number) if number == int(number) else number


@dataclass(slots=True)
class _Changes:
    t: list[float | int] = field(default_factory=list)
    v: list[float | int] = field(default_factory=list)


def make_drive(
    *, route: str, seed: int, minutes: float, start: datetime, vehicle: str, round_trip: bool = False
) -> dict[str, Any]:
    """The first `minutes` of a vehicle on `route`, from its parking place. Equal arguments give equal documents.

    A `round_trip` ends earlier, when the vehicle is parked where it began, so that it can be played in a loop.
    """
    if not 0 < minutes <= 24 * 60:
        raise SimulatorError(f"a drive takes between 0 and {24 * 60} minutes, not {minutes:g}")
    model = Vehicle(road(route), seed=seed)
    quantizers = own_quantizers()
    changes: dict[str, _Changes] = {name: _Changes() for name in quantizers}
    fixes: list[DriveFix] = []
    duration_ms = 0
    for t_ms in range(0, round(minutes * 60_000) + 1, STEP_MS):
        duration_ms = t_ms
        if t_ms:
            model.step(STEP_MS / 1000)
        for name, reading in model.readings().items():
            value, kept = quantizers[name](reading), changes[name]
            if not kept.v or kept.v[-1] != value:
                kept.t.append(_seconds(t_ms))
                kept.v.append(value)
        fix = model.fix(t_ms) if t_ms % FIX_EVERY_MS == 0 else None
        if fix is not None:
            fixes.append(fix)
        if round_trip and model.driver.is_home_again:
            break
    return {
        "format": FORMAT,
        "version": VERSION,
        "vehicle": vehicle,
        "route": route,
        "seed": seed,
        "start": start.isoformat().replace("+00:00", "Z"),
        "end": (start + timedelta(milliseconds=duration_ms)).isoformat().replace("+00:00", "Z"),
        "duration": _seconds(duration_ms),
        "dbc": DEFAULT_DATABASE,
        "signals": {name: {"t": one.t, "v": one.v} for name, one in changes.items() if one.t},
        "fixes": _columns(fixes),
    }


def drive_text(document: dict[str, Any]) -> str:
    """The document as it is written to a file: one line a signal."""
    head = {key: value for key, value in document.items() if key not in ("signals", "fixes")}
    lines = [f"{json.dumps(key)}:{_json(value)}" for key, value in head.items()]
    signals = ",\n".join(f"{json.dumps(name)}:{_json(columns)}" for name, columns in document["signals"].items())
    return "{" + ",\n".join([*lines, f'"signals":{{\n{signals}\n}}', f'"fixes":{_json(document["fixes"])}']) + "}\n"


def own_database() -> Database:
    """The project's own description of the vehicle's bus."""
    return load_database(OWN_DATABASES / DEFAULT_DATABASE)


def own_quantizers() -> dict[str, Quantizer]:
    """A quantizer for every signal of the project's own database, by "Message.Signal"."""
    return {
        f"{message.name}.{signal.name}": Quantizer(signal.scale, signal.offset, _places(signal.scale))
        for message in own_database().messages
        for signal in message.signals
    }


def _places(scale: float) -> int:
    places = 0
    while places < 9 and abs(scale * 10**places - round(scale * 10**places)) > 1e-9:
        places += 1
    return places


def _seconds(t_ms: int) -> float | int:
    return t_ms // 1000 if t_ms % 1000 == 0 else t_ms / 1000


def _columns(fixes: Iterable[DriveFix]) -> dict[str, list[Any]]:
    rows = list(fixes)
    columns: dict[str, list[Any]] = {"t": [_seconds(fix.t_ms) for fix in rows]}
    for index, name in enumerate(DriveFix._fields[1:], start=1):
        columns[name] = [fix[index] for fix in rows]
    return columns


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
