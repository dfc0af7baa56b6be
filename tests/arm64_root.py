"""A Debian root for arm64 with the agent in it, installed from its wheel, and an emulator to run it."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cloud.services.root import cache_folder

CHECKOUT = Path(__file__).parent.parent
SUITE, PYTHON = "trixie", "3.13"
PACKAGES = "base-files,dash,coreutils,ca-certificates,python3"
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_28_aarch64", "manylinux_2_34_aarch64")
EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")
TOOLS = ("mmdebstrap", "bwrap")


class MissingTool(Exception):
    """Says what to install."""


@dataclass(frozen=True)
class Arm64:
    """Where things are, outside."""

    emulator: Path
    root: Path
    dependencies: Path
    package: Path

    def command(self, folder: Path, *arguments: str) -> list[str]:
        """What runs `python3 arguments…` in there; `folder` has the same name inside."""
        binds = ["--bind", self.root, "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
        binds += ["--bind", folder, folder, "--ro-bind", self.emulator, "/emulator"]
        binds += ["--bind", self.dependencies, "/opt/dependencies", "--bind", self.package, "/opt/fleetwire"]
        environment = ["--clearenv", "--setenv", "PYTHONPATH", "/opt/fleetwire:/opt/dependencies"]
        command = ["bwrap", *binds, *environment, "/emulator", f"/usr/bin/python{PYTHON}", *arguments]
        return [str(part) for part in command]


def emulator() -> Path:
    """Raises MissingTool."""
    found = next((path for name in EMULATORS if (path := shutil.which(name))), None)
    if found is None:
        raise MissingTool("no emulator of arm64: apt-get install qemu-user-static")
    for tool in TOOLS:
        if shutil.which(tool) is None:
            raise MissingTool(f"{tool} is not installed: apt-get install mmdebstrap bubblewrap")
    return Path(found)


def install(folder: Path) -> Arm64:
    """The root and what the agent depends on are cached; the agent itself is built and installed anew."""
    program = emulator()
    cache = cache_folder(os.environ)
    cache.mkdir(parents=True, exist_ok=True)
    root = cache / f"debian-{SUITE}-aarch64-{_hash(PACKAGES)}"
    if not root.exists():
        _make(root, lambda fresh: _run(*_debian(fresh)))
    _run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, CHECKOUT)
    (wheel,) = folder.glob("fleetwire-*.whl")
    dependencies = cache / f"edge-aarch64-{_hash((CHECKOUT / 'pyproject.toml').read_text())}"
    if not dependencies.exists():
        _make(dependencies, lambda fresh: _run(*_pip(fresh), f"{wheel}[edge]"))
    package = folder / "package"
    _run(*_pip(package), "--no-deps", wheel)
    return Arm64(program, root, dependencies, package)


def _debian(into: Path) -> list[str]:
    command = ["mmdebstrap", "--quiet", "--mode=chrootless", "--variant=extract", "--format=directory", "--arch=arm64"]
    command += ["--aptopt=APT::Install-Recommends false", f"--include={PACKAGES}", SUITE, str(into)]
    return command + ([mirror] if (mirror := os.environ.get("FLEETWIRE_DEBIAN_MIRROR")) else [])


def _pip(target: Path) -> list[str]:
    command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(target), "--only-binary=:all:"]
    command += ["--implementation", "cp", "--python-version", PYTHON]
    return command + [f"--platform={platform}" for platform in PLATFORMS]


def _make(place: Path, work: Callable[[Path], None]) -> None:
    """There as a whole, or not at all."""
    fresh = place.with_name(f"{place.name}.new-{os.getpid()}")
    try:
        work(fresh)
        fresh.rename(place)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stderr[-2000:]}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
