"""What installing the agent writes, that systemd understands it, and what an uninstallation leaves."""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge.config import EdgeConfig
from edge.service.enrol import complete
from edge.service.install import known_buses
from edge.service.install_plan import TEMPLATES, Link, Remove, Run, Write, plan_install, plan_uninstall
from fleetwire.edge_install import install, uninstall

TOOLS = ("systemd-sysusers", "systemd-tmpfiles", "systemctl")
needs_systemd = pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)) or os.geteuid() != 0, reason="needs systemd's tools, and root for users"
)


def invoke(command: str, *arguments: str) -> Result:
    return CliRunner().invoke({"install": install, "uninstall": uninstall}[command], list(arguments))


def files_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() or path.is_symlink()}


def test_every_template_is_used_and_filled() -> None:
    steps = plan_install(buses={"can0": 250_000}, keeps_rates=False, wheel=None)
    texts = [step.text for step in steps if isinstance(step, Write)]
    assert len(texts) == len(list(TEMPLATES.iterdir()))
    assert not [
        text for text in texts if "@BIN@" in text or "@STATE@" in text or "@ETC@" in text or "@BITRATE@" in text
    ]
    assert any("BITRATE=250000\n" in text for text in texts)


def test_template_of_the_settings_becomes_settings_once_enrolled() -> None:
    completed = complete((TEMPLATES / "edge.toml").read_text(), vehicle="truck-1", url="https://ingest.example:8081")
    config = EdgeConfig.model_validate(tomllib.loads(completed))
    assert (config.vehicle, config.health.interval_s) == ("truck-1", 10)
    assert str(config.uplink.token_file) == "token"
    assert completed.index('vehicle = "truck-1"') < completed.index("[[can]]")


def test_uninstallation_removes_what_is_ours_and_nothing_else() -> None:
    steps = plan_install(buses={"can0": 500_000}, keeps_rates=False, wheel="x.whl")
    ours = {
        step.path
        for step in steps
        if isinstance(step, Link) or (isinstance(step, Write) and "etc/f" not in str(step.path))
    }
    removed = {step.path for step in plan_uninstall(buses=["can0"]) if isinstance(step, Remove)}
    assert ours < removed
    assert {str(path) for path in removed - ours} == {"/opt/fleetwire"}


def test_environment_is_made_of_the_wheel() -> None:
    commands = [
        step.argv for step in plan_install(buses={}, keeps_rates=True, wheel="/a/b.whl") if isinstance(step, Run)
    ]
    assert commands[0] == ["/usr/bin/python3", "-m", "venv", "/opt/fleetwire"]
    assert commands[1][-1] == "/a/b.whl[edge]"


def test_dry_run_changes_nothing(tmp_path: Path) -> None:
    result = invoke("install", "--prefix", str(tmp_path), "--dry-run")
    assert result.exit_code == 0
    assert f"write   {tmp_path}/etc/systemd/system/fleetwire-edge.service" in result.output
    assert files_below(tmp_path) == set()


@needs_systemd
def test_image_is_prepared_and_cleaned_again(tmp_path: Path) -> None:
    result = invoke("install", "--prefix", str(tmp_path), "--can", "can0=250000", "--can", "can1=125000")
    assert result.exit_code == 0, result.output
    assert "not now systemctl daemon-reload" in result.output
    assert "fleetwire:" in (tmp_path / "etc/passwd").read_text()
    wants = tmp_path / "etc/systemd/system"
    assert (wants / "multi-user.target.wants/fleetwire-edge.service").is_symlink()
    assert (wants / "sys-subsystem-net-devices-can1.device.wants/fleetwire-can@can1.service").is_symlink()
    owner = (tmp_path / "etc/fleetwire").stat()
    assert (owner.st_mode & 0o777, owner.st_uid == 0) == (0o750, False)
    assert known_buses(tmp_path) == ["can0", "can1"]

    settings = tmp_path / "etc/fleetwire/edge.toml"
    settings.write_text("# mine\n")
    again = invoke("install", "--prefix", str(tmp_path))
    assert again.exit_code == 0, again.output
    assert settings.read_text() == "# mine\n"
    assert "BITRATE=125000\n" in (tmp_path / "etc/fleetwire/can1.conf").read_text()

    spool = tmp_path / "var/lib/fleetwire/spool.db"
    spool.write_text("precious")
    assert invoke("uninstall", "--prefix", str(tmp_path)).exit_code == 0
    left = {name for name in files_below(tmp_path) if "fleetwire" in name}
    assert left == {f"etc/fleetwire/{name}" for name in ("edge.toml", "can0.conf", "can1.conf")} | {
        "var/lib/fleetwire/spool.db"
    }


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    steps = plan_install(buses={"can0": 500_000}, keeps_rates=False, wheel=None)
    texts = {step.path.name: step.text for step in steps if isinstance(step, Write)}
    (tmp_path / "can0.conf").write_text("BITRATE=500000\n")
    units = {
        "fleetwire-edge.service": texts["fleetwire-edge.service"].replace("/opt/fleetwire/bin/fleetwire", "/bin/true"),
        "fleetwire-can@can0.service": texts["fleetwire-can@.service"].replace("/sbin/ip", "/bin/true"),
    }
    for name, text in units.items():
        (tmp_path / name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in units)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    about_ours = [line for line in (done.stdout + done.stderr).splitlines() if "fleetwire" in line]
    assert about_ours == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_service_is_confined_as_the_docs_say(tmp_path: Path) -> None:
    steps = plan_install(buses={}, keeps_rates=False, wheel=None)
    (text,) = (step.text for step in steps if isinstance(step, Write) and step.path.name == "fleetwire-edge.service")
    unit = tmp_path / "fleetwire-edge.service"
    unit.write_text(text.replace("/opt/fleetwire/bin/fleetwire", "/bin/true"))
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=25", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--can", "can0"), "write can0=500000"),
        (("--can", "../x=500000"), "write can0=500000"),
        (("--wheel", "/no/such.whl"), "does not exist"),
    ],
)
def test_mistake_is_said(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = invoke("install", "--prefix", str(tmp_path), *arguments)
    assert result.exit_code == 2
    assert message in result.output
