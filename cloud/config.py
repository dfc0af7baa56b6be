"""The cloud's settings: one frozen object per process, from a TOML file, FLEETWIRE_* variables and running services."""

import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud.errors import ConfigError

PREFIX = "FLEETWIRE_"
URLS = ("database_url", "redis_url", "mqtt_url")


class CloudConfig(BaseModel):
    """Read once at start. `model_fields_set` tells a port that was set from a default one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    database_url: str
    redis_url: str
    mqtt_url: str | None = Field(default=None, pattern=r"^mqtts?://[^/]+/?$")
    mqtt_ca_file: Path | None = Field(default=None, description="instead of the system's authorities, for mqtts")
    mqtt_password_file: Path | None = Field(default=None, description="Mosquitto's, to be kept up to date")
    host: str = "127.0.0.1"
    ingest_port: int = Field(default=8081, ge=0, le=65535)
    web_port: int = Field(default=8080, ge=0, le=65535)
    osmand_port: int = Field(default=5055, ge=0, le=65535, description="ingest's, for OsmAnd-style reports")
    writer_port: int = Field(default=8082, ge=0, le=65535)
    shards: int = Field(default=16, ge=1, le=1024)
    group_samples: int = Field(default=50_000, ge=1, description="the writer commits after this many samples")
    group_age_ms: int = Field(default=200, ge=1, description="… or when the oldest has waited this long")
    body_bytes: int = Field(default=8_000_000, ge=1, description="largest request body as sent")
    plain_bytes: int = Field(default=16_000_000, ge=1, description="largest request body once unpacked")

    def was_set(self, name: str) -> bool:
        return name in self.model_fields_set


def load_cloud_config(path: Path | None, environ: Mapping[str, str]) -> CloudConfig:
    """The file's keys, over them the environment's; addresses named by neither come from running embedded services."""
    settings = (_from_file(path) if path else {}) | _from_environment(environ)
    settings["home"] = home = Path(settings.get("home") or default_home()).absolute()
    running = _running_services(home)
    for url, address in running.items():
        settings.setdefault(url, address)
    if settings.get("mqtt_url") and settings["mqtt_url"] == running.get("mqtt_url"):
        settings.setdefault("mqtt_password_file", home / "services" / "mosquitto.passwd")
    for url, variable in (("database_url", "FLEETWIRE_DATABASE_URL"), ("redis_url", "FLEETWIRE_REDIS_URL")):
        if not settings.get(url):
            raise ConfigError(f"no {url}: start the services with 'fleetwire services start' or set {variable}")
    try:
        return CloudConfig(**settings)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(e["loc"], e["msg"], e["input"]) for e in error.errors())) from error


def default_home() -> Path:
    """`.fleetwire` in the checkout, or where the command was typed when this is an installed package."""
    checkout = Path(__file__).parent.parent
    return (checkout if (checkout / "pyproject.toml").exists() else Path.cwd()) / ".fleetwire"


def _from_file(path: Path) -> dict[str, Any]:
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    for key in settings:
        if key not in CloudConfig.model_fields:
            raise ConfigError(f"{path}: unknown key '{key}'{_nearest(key, tuple(CloudConfig.model_fields))}")
    return settings


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Other roles have FLEETWIRE_ variables too, so that only what looks like a slip of ours is refused."""
    settings: dict[str, Any] = {}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or not value:
            continue
        key = variable.removeprefix(PREFIX).lower()
        if key in CloudConfig.model_fields:
            settings[key] = value
        elif not key.startswith("test_") and (near := _nearest(key, tuple(CloudConfig.model_fields), cutoff=0.85)):
            raise ConfigError(f"unknown variable {variable}{near}")
    return settings


def _running_services(home: Path) -> dict[str, str]:
    try:
        known = json.loads((home / "services.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{home / 'services.json'}: {error}; 'fleetwire services start' writes it anew") from error
    return {url: known[url] for url in URLS if known.get(url)}


def _nearest(key: str, known: tuple[str, ...], *, cutoff: float = 0.4) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=cutoff)
    return f"; did you mean '{near[0]}'?" if near else ""


def _explain(where: tuple[int | str, ...], message: str, value: object) -> str:
    return f"{'.'.join(map(str, where))} = {value!r}: {message}"
