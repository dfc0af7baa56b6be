"""The manifests fit the program: commands, ports and settings. Their form was checked with kubernetes-validate."""

import re
from pathlib import Path

import pytest

from cloud.config import CloudConfig
from cloud.runtime import make_registry
from cloud.writer.metrics import WriterMetrics
from fleetwire.__main__ import COMMANDS

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
ROLES = ("ingest", "writer", "web")


def text(name: str) -> str:
    return (FOLDER / f"{name}.yaml").read_text()


def one(pattern: str, where: str) -> str:
    (found,) = re.findall(pattern, where, re.MULTILINE)
    return str(found)


def settings() -> dict[str, str]:
    return dict(re.findall(r"^  (FLEETWIRE_\w+): \"?([^\"\n]+)\"?$", text("settings"), re.MULTILINE))


def test_every_manifest_is_applied() -> None:
    listed = set(re.findall(r"^  - (\w+)\.yaml$", text("kustomization"), re.MULTILINE))
    assert listed == {file.stem for file in FOLDER.glob("*.yaml")} - {"kustomization"}


@pytest.mark.parametrize("name", [*ROLES, "migrate"])
def test_container_runs_a_command_that_there_is(name: str) -> None:
    assert one(r"^ +args: \[(\w+)\]$", text(name)) in COMMANDS
    assert one(r"^ +image: (\S+)$", text(name)) == "fleetwire"


@pytest.mark.parametrize("role", ROLES)
def test_ports_are_those_that_are_set(role: str) -> None:
    port = settings()[f"FLEETWIRE_{role.upper()}_PORT"]
    assert one(r"^ +containerPort: (\d+)$", text(role)) == port
    assert one(r"^ +prometheus.io/port: \"(\d+)\"$", text(role)) == port
    assert set(re.findall(r"^ +port: (\d+)$", text(role), re.MULTILINE)) <= {port}


def test_settings_are_known_and_make_a_configuration() -> None:
    given = {name.removeprefix("FLEETWIRE_").lower(): value for name, value in settings().items()}
    assert given.keys() <= CloudConfig.model_fields.keys()
    assert CloudConfig(**given).shards == 64


def test_there_are_never_more_writers_than_shards() -> None:
    assert int(one(r"^  maxReplicaCount: (\d+)$", text("writer"))) <= int(settings()["FLEETWIRE_SHARDS"])


def test_writers_are_scaled_by_a_figure_that_they_show() -> None:
    metric = one(r"sum\((\w+)\{", text("writer"))
    registry = make_registry()
    WriterMetrics(registry)
    assert metric in {sample.name for family in registry.collect() for sample in family.samples}
