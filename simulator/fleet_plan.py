"""Which vehicles a fleet has: read from a file of tokens, spread over the roads, dealt out to processes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from random import Random

from simulator.errors import SimulatorError
from simulator.routes import road_names
from wire.names import is_vehicle


@dataclass(frozen=True, slots=True)
class Credential:
    """A vehicle and its device token."""

    vehicle: str
    token: str


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """What one process runs. It is sent to that process, so it holds plain values only."""

    ingest: str
    home: Path
    seed: int
    speed: float
    credentials: tuple[Credential, ...]
    routes: tuple[str, ...]  # one for each credential


def read_tokens(path: Path, *, vehicles: int | None) -> list[Credential]:
    """The first `vehicles` of a file with one {"vehicle","token"} a line, or all. Raises SimulatorError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SimulatorError(f"{path}: cannot be read: {error}") from error
    credentials = [_credential(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    named = {credential.vehicle for credential in credentials}
    if len(named) < len(credentials):
        raise SimulatorError(f"{path}: names a vehicle twice")
    wanted = len(credentials) if vehicles is None else vehicles
    if not 0 < wanted <= len(credentials):
        raise SimulatorError(
            f"{path} holds the tokens of {len(credentials)} vehicles, not of {wanted}: "
            "'fleetwire admin vehicle add ID --json' prints one for each more"
        )
    return credentials[:wanted]


def plan_fleet(
    credentials: Sequence[Credential], *, ingest: str, home: Path, seed: int, speed: float, processes: int
) -> list[FleetPlan]:
    """One plan for each process; a vehicle's road depends on its place in the file and the seed alone."""
    names = road_names()
    Random(seed).shuffle(names)
    routes = list(islice(cycle(names), len(credentials)))
    return [
        FleetPlan(ingest, home, seed, speed, tuple(credentials[part::processes]), tuple(routes[part::processes]))
        for part in range(min(processes, len(credentials)))
    ]


def _credential(path: Path, number: int, line: str) -> Credential:
    try:
        document = json.loads(line)
    except json.JSONDecodeError as error:
        raise SimulatorError(f"{path}, line {number}: is not JSON: {error.msg}") from error
    vehicle, token = (document.get(key) if isinstance(document, dict) else None for key in ("vehicle", "token"))
    if not isinstance(vehicle, str) or not isinstance(token, str) or not is_vehicle(vehicle) or not token:
        raise SimulatorError(f'{path}, line {number}: is not of the form {{"vehicle":"van-1","token":"fwd_…"}}')
    return Credential(vehicle, token)
