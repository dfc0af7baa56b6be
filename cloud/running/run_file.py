"""run.json: where the system that runs here is, for people's scripts and for tests."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cloud.access.private_file import write_private

NAME = "run.json"
ADDRESSES = ("web", "ingest", "database_url", "redis_url", "mqtt_url")


@dataclass(frozen=True)
class RunFile:
    """Addresses as they were given; pids by process name, embedded services included."""

    web: str
    ingest: str
    database_url: str
    redis_url: str
    mqtt_url: str | None
    admin_user: str
    admin_password: str
    admin_token: str
    pids: Mapping[str, int]


def write_run_file(home: Path, content: RunFile) -> Path:
    """Whole or not at all, for the owner only; addresses without a final slash, so that a path can be put behind."""
    path = home / NAME
    values = asdict(content)
    addresses = {name: values[name].rstrip("/") for name in ADDRESSES if values[name]}
    write_private(path, {**values, **addresses, "pids": dict(content.pids)})
    return path


def remove_run_file(home: Path) -> None:
    (home / NAME).unlink(missing_ok=True)
