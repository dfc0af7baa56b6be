"""The cloud's settings: where they come from, and what is said about wrong ones."""

import json
from pathlib import Path

import pytest

from cloud.config import CloudConfig, load_cloud_config
from cloud.errors import ConfigError

URLS = {"FLEETWIRE_DATABASE_URL": "postgresql://a", "FLEETWIRE_REDIS_URL": "redis://b"}


def load(tmp_path: Path, toml: str = "", **environ: str) -> CloudConfig:
    file = tmp_path / "cloud.toml"
    file.write_text(toml)
    return load_cloud_config(file, {"FLEETWIRE_HOME": str(tmp_path), **environ})


def test_environment_goes_before_the_file_and_the_file_before_running_services(tmp_path: Path) -> None:
    services = {"database_url": "postgresql://services", "redis_url": "redis://services", "mqtt_url": "mqtt://services"}
    (tmp_path / "services.json").write_text(json.dumps(services))
    toml = 'database_url = "postgresql://file"\nredis_url = "redis://file"\nweb_port = 9000\n'
    config = load(tmp_path, toml, FLEETWIRE_DATABASE_URL="postgresql://environment", FLEETWIRE_INGEST_PORT="9001")
    assert (config.database_url, config.redis_url, config.mqtt_url) == (
        "postgresql://environment",
        "redis://file",
        "mqtt://services",
    )
    assert (config.web_port, config.ingest_port, config.writer_port) == (9000, 9001, 8082)
    assert config.home == tmp_path


def test_port_that_was_set_is_told_from_a_default_one(tmp_path: Path) -> None:
    config = load(tmp_path, **URLS, FLEETWIRE_WEB_PORT="8080")
    assert config.was_set("web_port")
    assert not config.was_set("ingest_port")


@pytest.mark.parametrize(
    ("toml", "environ", "message"),
    [
        ("", {}, "fleetwire services start"),
        ("", {"FLEETWIRE_DATABASE_URL": "postgresql://a"}, "FLEETWIRE_REDIS_URL"),
        ("web_prot = 1", URLS, "unknown key 'web_prot'; did you mean 'web_port'"),
        ("web_port = 70000", URLS, "web_port"),
        ("web_port = [", URLS, "cloud.toml"),
        ("", URLS | {"FLEETWIRE_WEB_PORT": "no"}, "web_port"),
        ("", URLS | {"FLEETWIRE_WEBPORT": "1"}, "did you mean 'web_port'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, toml: str, environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=r"^[^\n]*$") as raised:
        load(tmp_path, toml, **environ)
    assert message in str(raised.value)


def test_variables_of_other_roles_are_left_alone(tmp_path: Path) -> None:
    load(tmp_path, **URLS, FLEETWIRE_CACHE="x", FLEETWIRE_TEST_DATABASE_URL="y", FLEETWIRE_WEB_HOST="")


def test_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_cloud_config(tmp_path / "none.toml", URLS)


def test_broken_services_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "services.json").write_text("{")
    with pytest.raises(ConfigError, match="services start"):
        load(tmp_path)
