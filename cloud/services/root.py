"""The servers' programs: Debian 13's packages unpacked into a cache folder, verified before use."""

import asyncio
import hashlib
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cloud.services.errors import WITH_DOCKER, ServiceError
from cloud.services.lock import file_lock
from cloud.services.processes import dying_with_parent
from cloud.services.sandbox import Sandbox

SUITE = "trixie"
PACKAGES = ("base-files", "dash", "coreutils", "postgresql-17-timescaledb", "redis-server", "mosquitto")
TOOLS = {"mmdebstrap": "mmdebstrap", "bwrap": "bubblewrap"}
PROGRAMS = (
    ("/usr/lib/postgresql/17/bin/postgres", "--version"),
    ("/usr/bin/redis-server", "--version"),
    ("/usr/sbin/mosquitto", "-h"),
)
# Everything in the sandbox runs as this one user, whoever that is outside.
PASSWD = "root:x:0:0::/:/usr/bin/sh\nfleetwire:x:65534:65534::/data:/usr/bin/sh\n"
GROUP = "root:x:0:\nfleetwire:x:65534:\n"
_RECIPE = 1  # raise it when the way of unpacking changes

Say = Callable[[str], None]


def cache_folder(environ: Mapping[str, str]) -> Path:
    """$FLEETWIRE_CACHE, or fleetwire in the user's cache folder."""
    if chosen := environ.get("FLEETWIRE_CACHE"):
        return Path(chosen).absolute()
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "fleetwire"


async def ensure_sandbox(cache: Path, say: Say) -> Sandbox:
    """A sandbox around a verified root, which is unpacked first where it is missing or damaged."""
    root = cache / f"debian-{SUITE}-{platform.machine()}-{_recipe_hash()}"
    if not shutil.which("bwrap"):
        await asyncio.to_thread(_install_tools, say)
    if sandbox := await asyncio.to_thread(_working_sandbox, root):
        return sandbox
    cache.mkdir(parents=True, exist_ok=True)
    waiting = "another process is unpacking the services; waiting for it"
    async with file_lock(cache / f"{root.name}.lock", waiting=waiting, say=say):
        if sandbox := await asyncio.to_thread(_working_sandbox, root):
            return sandbox
        if not shutil.which("mmdebstrap"):
            await asyncio.to_thread(_install_tools, say)
        if root.exists():
            say(f"{root} is damaged: unpacking it again")
        await _unpack(root, say)
        sandbox = Sandbox.tried(root)
        _try_programs(sandbox)
        return sandbox


def _recipe_hash() -> str:
    return hashlib.sha256(repr((_RECIPE, SUITE, PACKAGES, PASSWD, GROUP)).encode()).hexdigest()[:12]


def _install_tools(say: Say) -> None:
    missing = [package for program, package in TOOLS.items() if not shutil.which(program)]
    packages = [*missing, "debian-archive-keyring"]
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    if not shutil.which("apt-get"):
        raise ServiceError(f"{' and '.join(missing)} not found, and this is no Debian-like system: {WITH_DOCKER}")
    become = _become_root()
    if become is None:
        raise ServiceError(f"{' and '.join(missing)} missing; install once with: sudo {shlex.join(command)}")
    say(f"installing {', '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run([*become, *command], env=environment, capture_output=True, check=False).returncode:
        subprocess.run([*become, "apt-get", "update"], env=environment, capture_output=True, check=False)
        again = subprocess.run([*become, *command], env=environment, capture_output=True, text=True, check=False)
        if again.returncode:
            raise ServiceError(f"'{shlex.join(command)}' failed:\n{again.stderr.strip()}")
    if still_missing := [program for program in TOOLS if not shutil.which(program)]:
        raise ServiceError(f"{' and '.join(still_missing)} installed, but not found in PATH ({os.environ.get('PATH')})")


def _become_root() -> list[str] | None:
    """What to put before a command; None where a password would be asked for."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and not subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode:
        return ["sudo", "-n"]
    return None


async def _unpack(root: Path, say: Say) -> None:
    """Unpack beside the final place and rename, so that a root is there whole or not at all."""
    for abandoned in root.parent.glob(f"{root.name}.new-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    fresh = root.with_name(f"{root.name}.new-{os.getpid()}")
    say("downloading PostgreSQL 17 with TimescaleDB, Redis 8 and Mosquitto 2 from Debian 13 (about 110 MB, once)")
    started = time.monotonic()
    try:
        await _fetch_packages(fresh, say)
        (fresh / "data").mkdir()
        (fresh / "etc/passwd").write_text(PASSWD)
        (fresh / "etc/group").write_text(GROUP)
        _stamp(fresh).write_text(json.dumps({"packages": PACKAGES, "files": _fingerprint(fresh)}))
        if root.exists():
            shutil.rmtree(root)
        fresh.rename(root)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    say(f"unpacked into {root} in {time.monotonic() - started:.0f} s")


async def _fetch_packages(into: Path, say: Say) -> None:
    # chrootless needs neither root nor user namespaces: nothing of the packages is run, only unpacked.
    command = ["mmdebstrap", "--mode=chrootless", "--variant=extract", "--format=directory"]
    command += ["--aptopt=APT::Install-Recommends false", "--aptopt=Acquire::Retries 3"]
    command += [f"--include={','.join(PACKAGES)}", SUITE, str(into)]
    if mirror := os.environ.get("FLEETWIRE_DEBIAN_MIRROR"):
        command.append(mirror)
    unpacking = await asyncio.create_subprocess_exec(
        *dying_with_parent(command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert unpacking.stderr is not None
    lines: list[str] = []
    try:
        async for line in unpacking.stderr:
            lines.append(line.decode(errors="replace").rstrip())
            if lines[-1].startswith(("I: downloading", "I: extracting")):
                say(f"  {lines[-1][3:].strip()}")
        await unpacking.wait()
    finally:
        if unpacking.returncode is None:
            os.killpg(unpacking.pid, signal.SIGKILL)
            await unpacking.wait()
    if unpacking.returncode:
        said = "\n".join(f"  {line}" for line in lines if not line.startswith("I:")) or "\n".join(lines)
        raise ServiceError(f"mmdebstrap could not fetch Debian's packages; is a Debian mirror reachable?\n{said}")


def _stamp(root: Path) -> Path:
    return root / "fleetwire-root.json"


def is_intact(root: Path) -> bool:
    """Whether every file is there with the size and time it was unpacked with."""
    try:
        stamp = json.loads(_stamp(root).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return bool(stamp["files"] == _fingerprint(root))


def _fingerprint(root: Path) -> str:
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if name != "fleetwire-root.json":
                status = os.lstat(path)
                found.append((os.path.relpath(path, root), status.st_size, status.st_mtime_ns))
    return hashlib.sha256(repr(sorted(found)).encode()).hexdigest()


def _working_sandbox(root: Path) -> Sandbox | None:
    """None when the root is missing or damaged. Raises SandboxError when no sandbox works here at all."""
    if not is_intact(root):
        return None
    sandbox = Sandbox.tried(root)
    try:
        _try_programs(sandbox)
    except ServiceError:
        return None
    return sandbox


def _try_programs(sandbox: Sandbox) -> None:
    for program, flag in PROGRAMS:
        answer = subprocess.run(sandbox.argv([program, flag]), capture_output=True, text=True, check=False, timeout=30)
        if not answer.stdout:
            raise ServiceError(f"{program} in {sandbox.root} does not run: {answer.stderr.strip()}")
