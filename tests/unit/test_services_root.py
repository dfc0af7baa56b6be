"""What is said when the tools for the embedded services are not there."""

import os
from pathlib import Path

import pytest

from cloud.services.errors import ServiceError
from cloud.services.root import cache_folder, ensure_sandbox


def program(folder: Path, name: str, script: str = "exit 0") -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing in it yet."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


async def refusal(tmp_path: Path) -> str:
    with pytest.raises(ServiceError) as refused:
        await ensure_sandbox(tmp_path / "cache", lambda line: None)
    return str(refused.value)


async def test_ordinary_user_is_told_the_one_command(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(path, "apt-get")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    said = await refusal(tmp_path)
    assert "sudo apt-get install --yes --no-install-recommends mmdebstrap bubblewrap" in said


async def test_user_whose_sudo_asks_for_a_password_is_told_too(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(path, "apt-get")
    program(path, "sudo", "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "install once with: sudo" in await refusal(tmp_path)


async def test_system_without_apt_is_pointed_to_docker(path: Path, tmp_path: Path) -> None:
    assert "docker compose up -d" in await refusal(tmp_path)


async def test_failing_installation_is_said_in_its_own_words(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(path, "apt-get", "echo 'E: no network' >&2; exit 100")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "E: no network" in await refusal(tmp_path)


def test_cache_is_where_the_environment_says(tmp_path: Path) -> None:
    assert cache_folder({"FLEETWIRE_CACHE": str(tmp_path)}) == tmp_path
    assert cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "fleetwire"
    assert cache_folder({}) == Path.home() / ".cache" / "fleetwire"
