"""What 'fleetwire up' shows: an agent that reads a virtual CAN onto which a drive is replayed, and a fleet."""

import json
import socket
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge.dbc import load_database
from edge.recordings.drive import is_drive, load_drive
from edge.recordings.drive_frames import DEFAULT_DATABASE, OWN_DATABASES
from edge.recordings.recording import open_recording
from simulator.errors import SimulatorError

DEMO_VEHICLE = "demo-0001"
OWN_VEHICLE = "my-vehicle"
_VCAN = "vcan0"
_ARPHRD_CAN = 280


@dataclass(frozen=True)
class VirtualBus:
    """A CAN bus within this machine, in python-can's words."""

    interface: str
    channel: str
    options: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Show:
    """One vehicle whose agent reads what is replayed. Without a bus the agent plays the files itself."""

    vehicle: str
    files: tuple[Path, ...]
    dbc: tuple[Path, ...]
    bus: VirtualBus | None
    encode_with: Path | None  # the database for the drives' signals, where it is not the one that they name
    has_positions: bool  # the files carry positions of their own, for a GPS port
    gps_signals: dict[str, str] | None


def plan_show(vehicle: str, files: Sequence[Path], dbc: Sequence[Path], bus: VirtualBus | None) -> Show:
    """Raises EdgeError or SimulatorError for files that cannot be played or used, before anything is started."""
    drives = [load_drive(path) for path in files if is_drive(path)]
    if drives and len(drives) < len(files):
        raise SimulatorError("play either recordings or drives (.json), not both at once")
    if not drives and not dbc:
        raise SimulatorError(f"{files[0]} is a recording: name the DBC of its frames with --dbc")
    if not drives and next(iter(open_recording(list(files))), None) is None:
        raise SimulatorError(f"there is no frame in {files[0]}")
    databases = tuple(dbc) or tuple(dict.fromkeys(map(_named_database, files, (drive.dbc for drive in drives))))
    has_positions = any(drive.fixes for drive in drives)
    on_a_port = has_positions and bus is not None
    return Show(
        vehicle,
        tuple(files),
        databases,
        bus,
        encode_with=dbc[0] if drives and dbc else None,
        has_positions=has_positions,
        gps_signals=None if on_a_port else find_gps_signals(databases),
    )


def find_virtual_bus(home: Path, *, port: int) -> VirtualBus | None:
    """vcan0 where the kernel has it, else multicast that stays on this machine, else None."""
    if _has_vcan():
        return VirtualBus("socketcan", _VCAN)
    number = zlib.crc32(str(home.resolve()).encode())
    group = f"239.255.{number >> 8 & 0xFF}.{number & 0xFF}"
    if _can_multicast(group):
        return VirtualBus("udp_multicast", group, {"port": port, "hop_limit": 0})
    return None


def find_gps_signals(databases: Sequence[Path]) -> dict[str, str] | None:
    """The one message with a latitude and a longitude, as the agent's `[gps] can` wants it."""
    for database in [load_database(path) for path in databases]:
        for message in database.messages:
            found = {key: name for name in message.signal_tree if (key := _gps_key(str(name)))}
            if {"lat", "lon"} <= found.keys():
                return {key: f"{message.name}.{name}" for key, name in found.items()}
    return None


def agent_config(show: Show, *, ingest: str, token_file: Path, spool: Path, gps_link: Path) -> str:
    """The agent's TOML file."""
    lines = [f"vehicle = {_toml(show.vehicle)}", ""]
    lines += ["[[can]]"]
    if show.bus is None:
        files = ", ".join(_toml(str(path)) for path in show.files)
        lines += ['interface = "replay"', f"channel = [{files}]", "loop = true"]
    else:
        lines += [f"interface = {_toml(show.bus.interface)}", f"channel = {_toml(show.bus.channel)}"]
        lines += [f"{key} = {value}" for key, value in show.bus.options.items()]
    lines += [f"dbc = [{', '.join(_toml(str(path)) for path in show.dbc)}]", ""]
    if show.bus is not None and show.has_positions:
        lines += ["[gps]", f"device = {_toml(str(gps_link))}", ""]
    elif show.gps_signals:
        pairs = ", ".join(f"{key} = {_toml(name)}" for key, name in show.gps_signals.items())
        lines += ["[gps]", f"can = {{ {pairs} }}", ""]
    lines += ["[clock]", 'trust = "system"', ""]  # the GPS port plays what was true once
    lines += ["[spool]", f"path = {_toml(str(spool))}", ""]
    lines += ["[uplink]", f"url = {_toml(ingest)}", f"token_file = {_toml(str(token_file))}"]
    return "\n".join(lines) + "\n"


def replay_arguments(show: Show, *, gps_link: Path) -> list[str]:
    """The arguments of 'fleetwire' that play the files onto the bus for ever."""
    assert show.bus is not None
    arguments = ["simulate", "replay", *map(str, show.files), "--interface", show.bus.interface]
    arguments += ["--channel", show.bus.channel, "--loop"]
    for key, value in show.bus.options.items():
        arguments += ["--option", f"{key}={value}"]
    if show.has_positions:
        arguments += ["--gps-link", str(gps_link)]
    if show.encode_with:
        arguments += ["--dbc", str(show.encode_with)]
    return arguments


def _named_database(path: Path, name: str | None) -> Path:
    for folder in (path.parent, OWN_DATABASES):
        if (folder / (name or DEFAULT_DATABASE)).is_file():
            return folder / (name or DEFAULT_DATABASE)
    raise SimulatorError(f"{path}: its database {name!r} is neither beside it nor one of ours; name one with --dbc")


def _gps_key(signal: str) -> str | None:
    name = signal.lower()
    if name in ("latitude", "gpslatitude", "gps_latitude", "lat"):
        return "lat"
    if name in ("longitude", "gpslongitude", "gps_longitude", "lon", "long"):
        return "lon"
    return "valid" if name in ("positionvalid", "position_valid", "gpsvalid", "fixvalid") else None


def _has_vcan() -> bool:
    try:
        is_can = int(Path(f"/sys/class/net/{_VCAN}/type").read_text()) == _ARPHRD_CAN
        is_up = int(Path(f"/sys/class/net/{_VCAN}/flags").read_text(), 16) & 1 == 1
    except FileNotFoundError:
        return False
    return is_can and is_up


def _can_multicast(group: str) -> bool:
    """Whether a datagram to the group comes back to this machine."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        try:
            receiver.bind(("", 0))
            membership = struct.pack("4sl", socket.inet_aton(group), socket.INADDR_ANY)
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            receiver.settimeout(0.5)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
            sender.sendto(b"?", (group, receiver.getsockname()[1]))
            return receiver.recv(1) == b"?"
        except OSError:
            return False


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
