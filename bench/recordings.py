"""What the figures are taken on: real recordings beside the checkout, and a simulated drive for everybody."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from cantools.database.can import Database

from bench.figure import Unavailable
from edge.dbc import load_database
from edge.frame import Frame
from edge.recordings.drive import parse_drive
from edge.recordings.drive_frames import drive_frames
from edge.recordings.recording import open_recording
from simulator.drive_maker import make_drive, own_database

DATA: Final = Path(__file__).parents[2] / "shared" / "data"
KONA_DATABASE: Final = DATA / "car-kona-ev" / "pcan-without-ns-block.dbc"
ROUTE: Final = "helsinki-turku"
SIMULATED_MINUTES: Final = 5.0


@dataclass(frozen=True)
class Recorded:
    """Frames in the order of the recording, and the databases that decode them."""

    frames: Sequence[Frame]
    databases: Sequence[Database]


def obd2_trip() -> Recorded:
    """A real drive of 40 minutes: OBD-II answers, a GPS receiver and a motion sensor, 122 frames/s."""
    folder = _folder("obd2-trip")
    databases = [folder / "OBD-v4.4.dbc", folder / "canmod-gnss.dbc"]
    return _read(tuple(sorted(folder.glob("*.MF4"))), tuple(databases))


def truck() -> Recorded:
    """A real truck, idling for two minutes: J1939 and a GPS receiver, 455 frames/s."""
    folder = _folder("truck-j1939")
    databases = [folder / "CSS-Electronics-SAE-J1939-DEMO.dbc", folder / "canmod-gnss.dbc"]
    return _read((folder / "truck-idle.MF4",), tuple(databases))


def kona() -> Recorded:
    """A real electric car, standing, 11 s of its powertrain bus: 101 identifiers, 2,240 frames/s."""
    folder = _folder("car-kona-ev")
    log = folder / "converted-power-off-on-ready-off.candump.log"
    recorded = _read((log,), (KONA_DATABASE,))
    return Recorded([frame for frame in recorded.frames if frame.channel == "can0"], recorded.databases)


@cache
def simulated() -> Recorded:
    """Five minutes of the simulator's vehicle on the project's own bus."""
    start = datetime(2025, 1, 1, 8, tzinfo=UTC)
    drive = parse_drive(
        make_drive(route=ROUTE, seed=1, minutes=SIMULATED_MINUTES, start=start, vehicle="bench"), name="bench"
    )
    database = own_database()
    return Recorded(list(drive_frames(drive, database)), [database])


@cache
def _read(logs: tuple[Path, ...], databases: tuple[Path, ...]) -> Recorded:
    return Recorded(list(open_recording(logs)), [load_database(path) for path in databases])


def _folder(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        raise Unavailable(f"there is no {name} recording in ../shared/data")
    return folder
