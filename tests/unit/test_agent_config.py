"""The agent's file: what it means, and what is said when it is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.campaigns.sampling_rules import sampling_rules
from edge.config import EdgeConfig, load_edge_config, parse_size
from edge.errors import ConfigError
from edge.sampler import SamplingPolicy, policy_for

WHOLE = """
vehicle = "truck-0001"

[[can]]
interface = "socketcan"
channel = "can0"
name = "pt"
dbc = ["vehicle.dbc", "dbc/other.dbc"]
strict = false
bitrate = 500000

[[can]]
interface = "replay"
channel = "drive.log"
speed = 0
loop = true

[gps]
device = "/dev/ttyAMA0"
baud = 38400

[sampling]
min_interval_ms = 200
deadband = 0.5
[[sampling.rule]]
match = "EEC1.*"
min_interval_ms = 0
every = true

[batch]
max_age_ms = 30000

[spool]
path = "data/spool.db"
max_bytes = "1.5GB"

[uplink]
url = "https://ingest.example:8081"
token_file = "token"
"""
MINIMAL = """
vehicle = "v1"
[gps]
device = "gpsd://localhost:2947"
[uplink]
url = "http://localhost:8081"
token_file = "token"
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "edge.toml"
        path.write_text(text)
        return path

    return write


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_edge_config(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def test_whole_file_is_read_with_paths_relative_to_it(write, tmp_path: Path) -> None:
    config = load_edge_config(write(WHOLE))
    bus, replay = config.can
    assert bus.dbc == (tmp_path / "vehicle.dbc", tmp_path / "dbc/other.dbc")
    assert (bus.channel, bus.name, bus.strict, bus.listen_only) == ("can0", "pt", False, True)
    assert bus.options == {"bitrate": 500000}
    assert (replay.channel, replay.speed, replay.loop) == ((str(tmp_path / "drive.log"),), 0.0, True)
    assert config.spool.path == tmp_path / "data/spool.db"
    assert config.spool.max_bytes == 1_500_000_000
    assert config.uplink.token_file == tmp_path / "token"
    assert (config.batch.max_age_ms, config.batch.max_samples) == (30_000, 5_000)


def test_replay_is_live_and_a_bus_waits_for_the_time(write) -> None:
    assert load_edge_config(write(WHOLE)).clock_trust == "system"
    assert load_edge_config(write(MINIMAL)).clock_trust == "auto"
    strict = load_edge_config(write(WHOLE + '[clock]\ntrust = "strict"\ndeadline_s = 60\n'))
    assert (strict.clock_trust, strict.clock.deadline_s) == ("strict", 60)
    assert "clock.trust" in refusal(write(MINIMAL + '[clock]\ntrust = "ntp"\n'))
    assert "did you mean 'deadline_s'" in refusal(write(MINIMAL + "[clock]\ndeadline = 60\n"))


def test_rule_takes_what_it_does_not_say_from_the_default(write) -> None:
    rules = sampling_rules(load_edge_config(write(WHOLE)).sampling)
    assert policy_for("EEC1.EngineSpeed", rules) == SamplingPolicy(0, 10_000, 0.5, every=True)
    assert policy_for("Other.Signal", rules) == SamplingPolicy(200, 10_000, 0.5)


def test_what_is_absent_has_a_default(write) -> None:
    config = load_edge_config(write(MINIMAL))
    assert sampling_rules(config.sampling)[-1].policy == SamplingPolicy(100, 10_000, 0.0)
    assert config.spool.max_bytes == 512_000_000


def test_fixes_from_signals(write) -> None:
    text = WHOLE.replace(
        'device = "/dev/ttyAMA0"\nbaud = 38400', 'can = { lat = "P.Lat", lon = "P.Lon", valid = "P.V" }'
    )
    config = load_edge_config(write(text))
    assert config.gps is not None
    assert config.gps.can is not None
    assert (config.gps.can.lat, config.gps.can.valid, config.gps.can.speed) == ("P.Lat", "P.V", None)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (MINIMAL + 'tokenfile = "x"', "unknown key 'uplink.tokenfile'; did you mean 'token_file'?"),
        ('vehicel = "x"\n' + MINIMAL, "unknown key 'vehicel'; did you mean 'vehicle'?"),
        (WHOLE.replace("deadband", "dead_band"), "unknown key 'sampling.dead_band'; did you mean 'deadband'?"),
        (WHOLE.replace("every", "evry"), "unknown key 'sampling.rule.0.evry'; did you mean 'every'?"),
        (WHOLE.replace('channel = "can0"', 'chanel = "can0"'), "can.0: unknown key 'chanel'; did you mean 'channel'?"),
        (MINIMAL.replace("http:", "ftp:"), "is not an address to send to"),
        (MINIMAL + 'key_file = "key.pem"', "uplink: key_file belongs to cert_file"),
        (MINIMAL + 'ca_file = "ca.pem"', "uplink: certificates are of no use without TLS"),
        (MINIMAL.replace('"v1"', '"no spaces"'), "vehicle: "),
        (MINIMAL.replace('token_file = "token"', ""), "'uplink.token_file' is missing"),
        (MINIMAL.replace('device = "gpsd://localhost:2947"', "baud = 9600"), "gps: give either device"),
        (MINIMAL.replace("localhost:2947", "localhost:port"), "device 'gpsd://localhost:port' is not of the form"),
        (MINIMAL.replace('[gps]\ndevice = "gpsd://localhost:2947"', ""), "nothing to read"),
        (WHOLE.replace('"1.5GB"', '"much"'), "spool.max_bytes: not a size: 'much'"),
        (WHOLE.replace("speed = 0", 'speed = 0\nname = "pt"'), "two [[can]] buses have the same name"),
        ("vehicle = ", "not TOML"),
    ],
)
def test_mistake_is_named_with_its_place(write, wrong: str, says: str) -> None:
    assert says in refusal(write(wrong))


def test_missing_file_is_named(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "absent.toml")


@pytest.mark.parametrize(("text", "size"), [("512MB", 512 * 10**6), ("1 kb", 1000), ("2.5GB", 2_500_000_000), ("7", 7)])
def test_sizes_are_decimal(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_config_is_frozen(write) -> None:
    config: EdgeConfig = load_edge_config(write(MINIMAL))
    with pytest.raises(ValueError, match="frozen"):
        config.vehicle = "other"


@pytest.mark.parametrize("url", ["mqtt://localhost", "mqtts://broker:8883"])
def test_one_line_switches_to_mqtt(write: Callable[[str], Path], url: str) -> None:
    assert load_edge_config(write(MINIMAL.replace("http://localhost:8081", url))).uplink.is_mqtt


def test_certificates_are_relative_to_the_file(write: Callable[[str], Path], tmp_path: Path) -> None:
    names = 'ca_file = "ca.pem"\ncert_file = "me.pem"\nkey_file = "key.pem"'
    uplink = load_edge_config(write(MINIMAL.replace("http:", "mqtts:") + names)).uplink
    assert (uplink.ca_file, uplink.cert_file, uplink.key_file) == tuple(
        tmp_path / name for name in ("ca.pem", "me.pem", "key.pem")
    )


FALLBACKS = """
interface = "wlan0"
ca_file = "ca.pem"
month_begins = 15
[[uplink.fallback]]
name = "lte"
url = "mqtts://broker:8883"
interface = "wwan0"
monthly_bytes = "500MB"
[[uplink.fallback]]
url = "http://10.0.0.1:8081"
token_file = "other"
"""


def test_ways_take_what_they_do_not_say_from_the_first(write, tmp_path: Path) -> None:
    uplink = load_edge_config(write(MINIMAL.replace("http:", "https:") + FALLBACKS)).uplink
    first, lte, last = uplink.ways()
    assert (first.name, first.interface, first.monthly_bytes) == ("first", "wlan0", None)
    assert (lte.name, lte.is_mqtt, lte.interface, lte.monthly_bytes) == ("lte", True, "wwan0", 500_000_000)
    assert (lte.token_file, lte.ca_file) == (tmp_path / "token", tmp_path / "ca.pem")
    assert (last.name, last.token_file, last.ca_file) == ("fallback-3", tmp_path / "other", None)
    assert uplink.month_begins == 15


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("mqtts://broker", "smtp://broker"), "fallback: url 'smtp"),
        (('name = "lte"', 'name = "first"'), "same name"),
        (('interface = "wwan0"', 'interfase = "wwan0"'), "did you mean 'interface'"),
        (("500MB", "lots"), "not a size"),
        (("= 15", "= 31"), "month_begins"),
    ],
)
def test_ways_that_cannot_be_are_refused(write, change: tuple[str, str], problem: str) -> None:
    assert problem in refusal(write((MINIMAL.replace("http:", "https:") + FALLBACKS).replace(*change)))
