"""The servers' programs: Debian 13's packages unpacked into a cache folder, verified before use."""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cloud.services.errors import WITH_DOCKER, ServiceError
from cloud.services.sandbox import Sandbox, SandboxError

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


def ensure_sandbox(cache: Path, say: Say) -> Sandbox:
    """A sandbox around a verified root, unpacked first where it is missing or damaged. Blocks for seconds then."""
    root = cache / f"debian-{SUITE}-{platform.machine()}-{_recipe_hash()}"
    if not shutil.which("bwrap"):
        _install_tools(say)
    if is_intact(root) and (sandbox := _working_sandbox(root)):
        return sandbox
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{root.name}.lock", say):
        if is_intact(root) and (sandbox := _working_sandbox(root)):
            return sandbox
        if not shutil.which("mmdebstrap"):
            _install_tools(say)
        if root.exists():
            say(f"{root} is damaged: unpacking it again")
        _unpack(root, say)
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


def _unpack(root: Path, say: Say) -> None:
    """Unpack beside the final place and rename, so that a root is there whole or not at all."""
    fresh = root.with_name(f"{root.name}.new")
    _remove(fresh)
    say("downloading PostgreSQL 17 with TimescaleDB, Redis 8 and Mosquitto 2 from Debian 13 (about 110 MB, once)")
    started = time.monotonic()
    # chrootless needs neither root nor user namespaces: nothing of the packages is run, only unpacked.
    command = ["mmdebstrap", "--mode=chrootless", "--variant=extract", "--format=directory"]
    command += [
        "--aptopt=APT::Install-Recommends false",
        "--aptopt=Acquire::Retries 3",
        f"--include={','.join(PACKAGES)}",
    ]
    if mirror := os.environ.get("FLEETWIRE_DEBIAN_MIRROR"):
        command += [SUITE, str(fresh), mirror]
    else:
        command += [SUITE, str(fresh)]
    _run_telling(command, say)
    (fresh / "data").mkdir()
    (fresh / "etc/passwd").write_text(PASSWD)
    (fresh / "etc/group").write_text(GROUP)
    _stamp(fresh).write_text(json.dumps({"packages": PACKAGES, "files": _fingerprint(fresh)}))
    _remove(root)
    fresh.rename(root)
    say(f"unpacked into {root} in {time.monotonic() - started:.0f} s")


def _run_telling(command: list[str], say: Say) -> None:
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as unpacking:
        assert unpacking.stderr is not None
        for line in unpacking.stderr:
            lines.append(line.rstrip())
            if line.startswith(("I: downloading", "I: extracting")):
                say(f"  {line[3:].strip()}")
    if unpacking.returncode:
        said = "\n".join(f"  {line}" for line in lines if not line.startswith("I:")) or "\n".join(lines)
        raise ServiceError(f"mmdebstrap could not fetch Debian's packages; is a Debian mirror reachable?\n{said}")


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


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
    try:
        sandbox = Sandbox.tried(root)
        _try_programs(sandbox)
    except SandboxError:
        raise
    except ServiceError:
        return None
    return sandbox


def _try_programs(sandbox: Sandbox) -> None:
    for program, flag in PROGRAMS:
        answer = subprocess.run(sandbox.argv([program, flag]), capture_output=True, text=True, check=False, timeout=30)
        if not answer.stdout:
            raise ServiceError(f"{program} in {sandbox.root} does not run: {answer.stderr.strip()}")


@contextlib.contextmanager
def _locked(path: Path, say: Say) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is unpacking the services; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
