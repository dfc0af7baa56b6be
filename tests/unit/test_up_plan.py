"""What 'fleetwire up' decides before it starts anything."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.config import CloudConfig
from cloud.errors import PortTaken
from cloud.running.local import choose_ports
from cloud.services.ports import PortClaims
from edge.config import EdgeConfig, load_edge_config
from edge.errors import EdgeError
from simulator.demo import Show, VirtualBus, agent_config, find_gps_signals, plan_show, replay_arguments
from simulator.errors import SimulatorError

DATA = Path(__file__).parents[3] / "shared" / "data"
OBD2 = DATA / "obd2-trip"
BUS = VirtualBus("udp_multicast", "239.255.1.2", {"port": 43113, "hop_limit": 0})
EVENTS = [
    {"id": "a", "lat": 60.1, "lng": 24.9, "speed": 10, "timestamp": "2025-06-02T06:00:00Z"},
    {"id": "a", "lat": 60.2, "lng": 24.9, "speed": 12, "timestamp": "2025-06-02T06:00:10Z"},
]
needs_data = pytest.mark.skipif(not OBD2.exists(), reason="../shared/data is not there")


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    path = tmp_path / "drive.json"
    path.write_text(json.dumps(EVENTS))
    return path


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def config(tmp_path: Path, **ports: int) -> CloudConfig:
    return CloudConfig(home=tmp_path, database_url="postgresql://x", redis_url="redis://x", **ports)


def test_drive_is_replayed_with_its_positions_on_a_gps_port(drive: Path, tmp_path: Path) -> None:
    show = plan_show("demo-0001", [drive], [], BUS)
    arguments = replay_arguments(show, gps_link=tmp_path / "gps")
    assert arguments[:3] == ["simulate", "replay", str(drive)]
    assert ["--gps-link", str(tmp_path / "gps")] == arguments[-2:]
    written = read_back(show, tmp_path)
    assert written.can[0].interface == "udp_multicast"
    assert written.can[0].options == BUS.options
    assert written.can[0].dbc[0].name == "fleetwire.dbc"
    assert written.gps is not None
    assert written.gps.device == str(tmp_path / "gps")


def test_agent_plays_the_file_itself_where_there_is_no_virtual_can(drive: Path, tmp_path: Path) -> None:
    written = read_back(plan_show("demo-0001", [drive], [], None), tmp_path)
    assert (written.can[0].interface, written.can[0].channel) == ("replay", (str(drive),))
    assert written.can[0].loop


@needs_data
def test_positions_of_a_recording_come_from_its_gnss_message(tmp_path: Path) -> None:
    databases = [OBD2 / "OBD-v4.4.dbc", OBD2 / "canmod-gnss.dbc"]
    show = plan_show("my-vehicle", [OBD2 / "converted-00000001-60FE3F04.candump.log"], databases, BUS)
    assert show.gps_signals == {
        "lat": "GnssPosition.Latitude",
        "lon": "GnssPosition.Longitude",
        "valid": "GnssPosition.PositionValid",
    }
    written = read_back(show, tmp_path)
    assert written.gps is not None
    assert written.gps.can is not None
    assert written.gps.can.valid == "GnssPosition.PositionValid"


@needs_data
def test_database_without_positions_makes_no_gps() -> None:
    assert find_gps_signals([OBD2 / "OBD-v4.4.dbc"]) is None


@needs_data
def test_recording_needs_a_database() -> None:
    with pytest.raises(SimulatorError, match="--dbc"):
        plan_show("my-vehicle", [OBD2 / "converted-00000001-60FE3F04.candump.log"], [], BUS)


@needs_data
def test_database_that_cannot_be_loaded_is_said_before_anything_starts() -> None:
    kona = DATA / "car-kona-ev"
    with pytest.raises(EdgeError, match="NS_"):
        plan_show("my-vehicle", [kona / "converted-power-off-on-ready-off.candump.log"], [kona / "pcan.dbc"], BUS)


def test_file_that_is_no_drive_is_said_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "drive.json"
    path.write_text("{}")
    with pytest.raises(EdgeError, match="neither a drive"):
        plan_show("my-vehicle", [path], [], BUS)


def test_default_port_that_is_taken_moves_on_and_is_said(tmp_path: Path, taken_port: int) -> None:
    class WithTakenDefault(CloudConfig):
        web_port: int = taken_port

    settings = {"home": tmp_path, "database_url": "postgresql://x", "redis_url": "redis://x"}
    defaults = WithTakenDefault(**settings, ingest_port=0, osmand_port=0, writer_port=0)
    said: list[str] = []
    chosen = choose_ports(defaults, said.append, PortClaims())
    assert chosen.web_port > taken_port
    assert said == [f"port {taken_port} is in use by another program; web takes {chosen.web_port}"]


def test_port_that_was_set_and_is_taken_is_an_error(tmp_path: Path, taken_port: int) -> None:
    with pytest.raises(PortTaken, match=str(taken_port)):
        choose_ports(config(tmp_path, web_port=taken_port), lambda line: None, PortClaims())


def test_two_systems_that_start_at_once_choose_different_ports(tmp_path: Path) -> None:
    anywhere = config(tmp_path, web_port=0, ingest_port=0, writer_port=0)
    first, second = PortClaims(), PortClaims()
    one = choose_ports(anywhere, lambda line: None, first)
    other = choose_ports(anywhere, lambda line: None, second)
    assert not {one.web_port, one.ingest_port, one.writer_port} & {other.web_port, other.ingest_port, other.writer_port}
    first.let_go()
    assert choose_ports(anywhere, lambda line: None, PortClaims()).web_port == one.web_port


def test_ports_of_the_processes_differ(tmp_path: Path) -> None:
    chosen = choose_ports(config(tmp_path, web_port=0, ingest_port=0, writer_port=0), lambda line: None, PortClaims())
    assert len({chosen.web_port, chosen.ingest_port, chosen.writer_port}) == 3


def read_back(show: Show, folder: Path) -> EdgeConfig:
    """The agent's configuration as the agent reads it."""
    path = folder / "edge.toml"
    (folder / "token").write_text("fwd_x")
    path.write_text(
        agent_config(
            show,
            ingest="http://127.0.0.1:8081",
            token_file=folder / "token",
            spool=folder / "spool.db",
            gps_link=folder / "gps",
        )
    )
    return load_edge_config(path)
