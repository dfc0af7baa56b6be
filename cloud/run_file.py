"""run.json: where the system that runs here is, for people's scripts and for tests."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cloud.private_file import write_private

NAME = "run.json"


@dataclass(frozen=True)
class RunFile:
    """Addresses are without a final slash; pids by process name, embedded services included."""

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
    """Whole or not at all, for the owner only."""
    path = home / NAME
    write_private(path, {**asdict(content), "pids": dict(content.pids)})
    return path


def remove_run_file(home: Path) -> None:
    (home / NAME).unlink(missing_ok=True)
