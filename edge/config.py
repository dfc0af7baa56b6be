"""The agent's settings: one TOML file, read once, checked whole, frozen afterwards."""

from __future__ import annotations

import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from edge.clock.clock_trust import Trust
from edge.errors import ConfigError
from edge.frame_source import REPLAY
from edge.protocol_names import CheckTable, Protocol
from edge.protocols.obd_frames import Width
from edge.protocols.obd_pids import PIDS
from wire.campaign import Sampling, SamplingRule
from wire.names import VEHICLE_PATTERN

HTTP = ("http://", "https://")
MQTT = ("mqtt://", "mqtts://")
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_size(value: Any) -> Any:
    """Bytes of "512MB"; MB is 10^6 bytes."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?b?)\s*", value, re.IGNORECASE)
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError(f"not a size: {value!r}; write a number and B, KB, MB or GB, as in 512MB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


Size = Annotated[int, BeforeValidator(parse_size)]
Channel = Annotated[
    str, Field(min_length=1), BeforeValidator(lambda value: str(value) if type(value) is int else value)
]
WayT = TypeVar("WayT", bound=BaseModel)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ControllerSettings(_Section):
    """A controller that does not answer OBD: where it is asked, and where it answers (11 bit)."""

    request: int = Field(ge=0x700, le=0x7FF)
    answer: int = Field(ge=0x700, le=0x7FF)


class PollSettings(_Section):
    """What the vehicle's controllers are asked for."""

    pids: tuple[str, ...] | dict[str, float] | None = None  # None: all that are known and that the vehicle has
    interval_s: float = Field(default=1.0, ge=0.02, allow_inf_nan=False)
    trouble_codes_s: float = Field(default=60.0, ge=0, allow_inf_nan=False)  # 0 is never
    uds: bool = False
    controllers: tuple[ControllerSettings, ...] = ()
    max_per_s: float = Field(default=10.0, gt=0, le=100)
    addressing: Literal["auto"] | Width = "auto"

    def intervals_s(self) -> dict[int, float]:
        """How often each PID is asked for."""
        numbers = {pid.name: number for number, pid in PIDS.items()}
        if isinstance(self.pids, dict):
            return {numbers[name]: every_s for name, every_s in self.pids.items()}
        return dict.fromkeys(map(numbers.__getitem__, numbers if self.pids is None else self.pids), self.interval_s)

    @model_validator(mode="after")
    def _knows_its_pids(self) -> Self:
        known = [pid.name for pid in PIDS.values()]
        for name in self.pids or ():
            if name not in known:
                near = get_close_matches(name, known, n=1, cutoff=0.0)[0]
                raise ValueError(f"no value {name!r} of OBD-II is known; did you mean {near!r}?")
        if isinstance(self.pids, dict) and any(not 0.02 <= every_s < float("inf") for every_s in self.pids.values()):
            raise ValueError("a value is asked for every 0.02 s at most: pids = { EngineSpeed = 0.2, FuelLevel = 60 }")
        return self


class CanSettings(_Section):
    """One bus. Keys that are not named here go to python-can as they are."""

    model_config = ConfigDict(frozen=True, extra="allow")

    interface: str
    channel: Channel | tuple[Channel, ...]  # several for a replay, whose files are played one after the other
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,32}$")
    dbc: tuple[Path, ...] = ()
    strict: bool = True
    listen_only: bool = True
    speed: float = Field(default=1.0, ge=0)  # replay only; 0 is as fast as possible
    loop: bool = False  # replay only
    protocols: tuple[Protocol, ...] | None = None  # None: isotp, and j1939 where a database has it
    poll: PollSettings | None = None
    checks: CheckTable | None = None  # whose counters and checksums are known

    @property
    def options(self) -> dict[str, Any]:
        """The keys for python-can."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _may_poll(self) -> Self:
        if self.poll is None:
            return self
        if self.interface == REPLAY:
            raise ValueError("a recording cannot be asked: leave out poll")
        if self.listen_only:
            raise ValueError("poll asks the vehicle's controllers, which is to send: say listen_only = false too")
        if self.protocols is not None and "isotp" not in self.protocols:
            raise ValueError('poll needs protocols = ["isotp"], for the answers are of it')
        return self

    @model_validator(mode="before")
    @classmethod
    def _refuse_near_misses(cls, data: Any) -> Any:
        for key in data if isinstance(data, dict) else ():
            near = [] if key in cls.model_fields else get_close_matches(key, cls.model_fields, n=1, cutoff=0.8)
            if near:
                raise ValueError(f"unknown key {key!r}; did you mean {near[0]!r}?")
        return data


class GpsSignals(_Section):
    """Which decoded signals make a fix. Without `valid` every position counts."""

    lat: str
    lon: str
    valid: str | None = None
    alt: str | None = None
    speed: str | None = None
    course: str | None = None
    hdop: str | None = None
    sats: str | None = None


class GpsSettings(_Section):
    """A serial receiver or gpsd (`device`), or decoded signals (`can`)."""

    device: str | None = None
    baud: int = Field(default=9600, gt=0)
    can: GpsSignals | None = None

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.device is None) == (self.can is None):
            raise ValueError("give either device (a serial port or gpsd://host:port) or can (names of signals)")
        if self.device is not None and self.device.startswith("gpsd:") and not _is_address(self.device):
            raise ValueError(f"device {self.device!r} is not of the form gpsd://host:2947")
        return self


class BatchSettings(_Section):
    """When a batch is closed."""

    max_age_ms: int = Field(default=1_000, gt=0)
    max_samples: int = Field(default=5_000, gt=0)


class ClockSettings(_Section):
    """Who is believed about the time, and how long, online, it is waited for them."""

    trust: Trust | None = None  # None: "system" where a recording is replayed, else "auto"
    deadline_s: float = Field(default=600.0, ge=0, allow_inf_nan=False)


class SpoolSettings(_Section):
    """Where everything stays until the cloud has committed it."""

    path: Path = Path("spool.db")
    max_bytes: Size = Field(default=512 * 10**6, ge=8 * 10**6)
    min_free: Size = Field(default=64 * 10**6, ge=0)  # with less the spool does not grow, unless it is tiny
    max_written_per_day: Size | None = Field(default=None, gt=0)  # beyond its pace batches become longer


class BlackboxSettings(_Section):
    """The newest raw frames, in memory. Captures are taken from them, and `fleetwire edge blackbox` writes them out."""

    max_bytes: Size = Field(default=8 * 10**6, ge=0)  # packed, about ten bytes a frame; 0 keeps none
    all_frames: bool = False  # also those that no database knows, which socketcan otherwise does not let through


class HealthSettings(_Section):
    """How often the agent's and the computer's health is sampled; 0 is never."""

    interval_s: float = Field(default=10.0, ge=0, allow_inf_nan=False)


class WaySettings(_Section):
    """Where to, and as whom, and what it costs."""

    url: str
    token_file: Path
    ca_file: Path | None = None  # instead of the system's authorities
    cert_file: Path | None = None  # a client certificate, for a server that asks for one
    key_file: Path | None = None  # where the key is not in cert_file
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,32}$")
    interface: str | None = Field(default=None, pattern=r"^[^/\s]{1,15}$")  # taken only while this one is up
    monthly_bytes: Size | None = Field(default=None, gt=0)  # None: it costs nothing

    @property
    def is_mqtt(self) -> bool:
        return self.url.startswith(MQTT)

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if not self.url.startswith((*HTTP, *MQTT)) or not _is_address(self.url):
            raise ValueError(
                f"url {self.url!r} is not an address to send to; write https://host:8081 or mqtts://broker:8883"
            )
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file belongs to cert_file: name the certificate, too")
        if not self.url.startswith(("https", "mqtts")) and (self.ca_file or self.cert_file):
            raise ValueError("certificates are of no use without TLS; write https:// or mqtts://")
        return self


class FallbackSettings(_Section):
    """Another way, for when those before it do not work; what it does not say of credentials, [uplink] says."""

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,32}$")
    interface: str | None = Field(default=None, pattern=r"^[^/\s]{1,15}$")
    monthly_bytes: Size | None = Field(default=None, gt=0)


class UplinkSettings(WaySettings):
    """The cheapest way, and the others in the order of their cost."""

    fallback: tuple[FallbackSettings, ...] = ()
    month_begins: int = Field(default=1, ge=1, le=28)  # the day on which `monthly_bytes` begin anew

    def ways(self) -> tuple[WaySettings, ...]:
        """All of them, complete and each with a name of its own."""
        own = self.model_dump(include=set(WaySettings.model_fields))
        ways = [WaySettings.model_validate(own | {"name": self.name or "first"})]
        for place, other in enumerate(self.fallback, 2):
            is_secret = other.url.startswith(("https", "mqtts"))
            inherited = {"token_file", "ca_file", "cert_file", "key_file"} if is_secret else {"token_file"}
            said = other.model_dump(exclude_none=True)
            if "cert_file" in said:
                inherited -= {"key_file"}
            ways.append(
                WaySettings.model_validate({key: own[key] for key in inherited} | {"name": f"fallback-{place}"} | said)
            )
        return tuple(ways)

    @model_validator(mode="after")
    def _has_whole_fallbacks(self) -> Self:
        try:
            names = [way.name for way in self.ways()]
        except ValidationError as error:
            raise ValueError(f"fallback: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error
        if len(set(names)) < len(names):
            raise ValueError("two ways of [uplink] have the same name")
        return self


class EdgeConfig(_Section):
    """The whole file."""

    vehicle: str = Field(pattern=VEHICLE_PATTERN)
    can: tuple[CanSettings, ...] = ()
    gps: GpsSettings | None = None
    sampling: Sampling = Sampling()
    batch: BatchSettings = BatchSettings()
    clock: ClockSettings = ClockSettings()
    spool: SpoolSettings = SpoolSettings()
    blackbox: BlackboxSettings = BlackboxSettings()
    health: HealthSettings = HealthSettings(interval_s=0)  # a file without the section gets what its databases name
    uplink: UplinkSettings

    @property
    def clock_trust(self) -> Trust:
        """Who is believed about the time."""
        is_replay = any(bus.interface == REPLAY for bus in self.can)
        return self.clock.trust or ("system" if is_replay else "auto")

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if not self.can and self.gps is None:
            raise ValueError("nothing to read: give a [[can]] bus, a [gps] receiver, or both")
        if self.gps is not None and self.gps.can is not None and not self.can:
            raise ValueError("[gps] can needs a [[can]] bus whose signals it names")
        names = [bus.name for bus in self.can if bus.name is not None]
        if len(set(names)) < len(names):
            raise ValueError("two [[can]] buses have the same name")
        return self


def load_edge_config(path: Path) -> EdgeConfig:
    """Read and check the file; paths in it are relative to its folder. ConfigError says what is wrong and where."""
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    try:
        config = EdgeConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_explain(error)}") from error
    return _resolve(config, path.parent)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        return False


def _resolve(config: EdgeConfig, folder: Path) -> EdgeConfig:
    return config.model_copy(
        update={
            "can": tuple(_resolve_bus(bus, folder) for bus in config.can),
            "spool": config.spool.model_copy(update={"path": folder / config.spool.path}),
            "uplink": _resolve_uplink(config.uplink, folder),
        }
    )


def _resolve_uplink(uplink: UplinkSettings, folder: Path) -> UplinkSettings:
    fallback = tuple(_resolve_files(other, folder) for other in uplink.fallback)
    return _resolve_files(uplink, folder).model_copy(update={"fallback": fallback})


def _resolve_files(way: WayT, folder: Path) -> WayT:
    names = way.model_dump(include={"token_file", "ca_file", "cert_file", "key_file"}, exclude_none=True)
    return way.model_copy(update={key: folder / name for key, name in names.items()})


def _resolve_bus(bus: CanSettings, folder: Path) -> CanSettings:
    channel = bus.channel
    if bus.interface == REPLAY:
        files = (channel,) if isinstance(channel, str) else channel
        channel = tuple(str(folder / file) for file in files)
    return bus.model_copy(update={"dbc": tuple(folder / dbc for dbc in bus.dbc), "channel": channel})


_SECTIONS: dict[tuple[str, ...], type[BaseModel]] = {
    (): EdgeConfig,
    ("can",): CanSettings,
    ("can", "poll"): PollSettings,
    ("can", "poll", "controllers"): ControllerSettings,
    ("gps",): GpsSettings,
    ("gps", "can"): GpsSignals,
    ("sampling",): Sampling,
    ("sampling", "rule"): SamplingRule,
    ("batch",): BatchSettings,
    ("clock",): ClockSettings,
    ("spool",): SpoolSettings,
    ("blackbox",): BlackboxSettings,
    ("health",): HealthSettings,
    ("uplink",): UplinkSettings,
    ("uplink", "fallback"): FallbackSettings,
}


def _explain(error: ValidationError) -> str:
    """The first fault in a line, with its place, and the nearest known key where a key is unknown."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        *section, key = (part for part in first["loc"] if isinstance(part, str))
        known = sorted(_SECTIONS[tuple(section)].model_fields)
        near = get_close_matches(key, known, n=1, cutoff=0.0)
        return f"unknown key {place!r}; did you mean {near[0]!r}? Known here: {', '.join(known)}"
    if first["type"] == "missing":
        return f"{place!r} is missing"
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
