"""What the agent refuses to start with."""

from pathlib import Path

import pytest

from edge.agent_plan import faults, plan_agent, read_token
from edge.config import EdgeConfig, load_edge_config
from edge.errors import EdgeError, UplinkError
from edge.frame import Frame

DBC = """
VERSION ""
NS_ :
BS_:
BU_: ECU
BO_ 256 Position: 8 ECU
 SG_ Latitude : 0|32@1- (1e-07,0) [-90|90] "deg" Vector__XXX
 SG_ Longitude : 32|32@1- (1e-07,0) [-180|180] "deg" Vector__XXX
"""
CONFIG = """
vehicle = "v1"
[[can]]
interface = "virtual"
channel = "0"
dbc = ["vehicle.dbc"]
[gps]
can = { lat = "Position.Latitude", lon = "Position.Longitude" }
[uplink]
url = "http://localhost:8081"
token_file = "token"
"""
GPSD = 'device = "gpsd://localhost"'


@pytest.fixture
def load(tmp_path: Path):
    def load(config: str = CONFIG, dbc: str = DBC) -> EdgeConfig:
        (tmp_path / "vehicle.dbc").write_text(dbc)
        (tmp_path / "edge.toml").write_text(config)
        return load_edge_config(tmp_path / "edge.toml")

    return load


def test_good_settings_give_a_plan(load) -> None:
    plan = plan_agent(load())
    assert [bus.source.name for bus in plan.buses] == ["0"]
    assert plan.pipeline.sampler.signal_count == 2
    assert plan.gps is None


def test_bus_that_names_protocols_needs_no_database(load) -> None:
    config = CONFIG.replace('can = { lat = "Position.Latitude", lon = "Position.Longitude" }', GPSD)
    [bus] = plan_agent(load(config.replace('dbc = ["vehicle.dbc"]', 'protocols = ["isotp"]'))).buses
    assert bus.listener.obd is not None
    assert bus.listener.j1939 is None


def test_what_was_wrong_is_told_by_cause(load) -> None:
    plan = plan_agent(load())
    assert faults(plan) == {}
    frames = [
        Frame(0, "0", 999, False, b""),
        Frame(0, "0", 256, False, bytes(3)),
        Frame(0, "0", 256, False, b"\xff\xff\xff\x7f" * 2),
    ]
    plan.pipeline.take_frames(plan.buses[0].decoder, frames, 0)
    plan.buses[0].source.counts.dropped = 7
    assert faults(plan) == {"unknown_id": 1, "too_short": 1, "dropped": 7, "implausible_fix": 1}

    receiver = plan_agent(load(CONFIG.replace('can = { lat = "Position.Latitude", lon = "Position.Longitude" }', GPSD)))
    assert receiver.gps is not None
    receiver.gps.nmea.bad_checksum = 3
    assert faults(receiver) == {"bad_checksum": 3}


@pytest.mark.parametrize(
    ("config", "dbc", "says"),
    [
        (CONFIG.replace("Position.Lat", "Position.lat"), DBC, "no database has a signal 'Position.latitude'; did you"),
        (CONFIG.replace('channel = "0"', 'channel = "0"\nname = "pt"'), DBC, "did you mean 'pt:Position.Latitude'?"),
        (CONFIG.replace('dbc = ["vehicle.dbc"]', ""), DBC, "name its database"),
        (CONFIG.replace('dbc = ["vehicle.dbc"]', "protocols = []"), DBC, "name its database"),
        (CONFIG.replace('"vehicle.dbc"', '"vehicle.dbc", "absent.dbc"'), DBC, "absent.dbc: cannot be read"),
        (CONFIG, DBC.replace(" SG_ Lon", " SG Lon"), "vehicle.dbc, line 8"),
        (CONFIG, DBC.replace("32|32@1-", "31|32@1-"), "vehicle.dbc"),
    ],
)
def test_agent_does_not_start_on_half_of_its_settings(load, config: str, dbc: str, says: str) -> None:
    with pytest.raises(EdgeError) as caught:
        plan_agent(load(config, dbc))
    assert says in str(caught.value)


def test_token_is_the_last_word_of_its_file(load, tmp_path: Path) -> None:
    config = load()
    (tmp_path / "token").write_text("v1 fwd_abc\n")
    assert read_token(config) == "fwd_abc"


@pytest.mark.parametrize("content", [None, "", "\n", "tökén", "\0\0\0\0"])
def test_file_without_a_token_is_named(load, tmp_path: Path, content: str | None) -> None:
    config = load()
    if content is not None:
        (tmp_path / "token").write_text(content)
    with pytest.raises(UplinkError, match="fleetwire admin vehicle add"):
        read_token(config)
