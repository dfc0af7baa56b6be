"""Do the steps of an installation, or only say them."""

import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from edge.errors import EdgeError
from edge.service.install_plan import ETC, Link, Run, Step, Write

SYSTEM: Final = Path("/")
BOOTED: Final = Path("/run/systemd/system")
"""sd_booted(3): not there in a container or a chroot, where an image is being made."""

_OF_A_RUNNING_SYSTEM: Final = frozenset({"systemctl", "udevadm"})


class InstallError(EdgeError):
    """A step did not work."""


def apply(steps: Sequence[Step], *, prefix: Path, dry_run: bool, say: Callable[[str], None]) -> None:
    """All steps in their order, below `prefix`. Doing them again changes nothing. Raises InstallError."""
    for step in steps:
        try:
            _do(step, prefix, dry_run, say)
        except OSError as error:
            raise InstallError(f"{error.filename or step}: {error.strerror}") from error


def known_buses(prefix: Path) -> list[str]:
    """The CAN interfaces that an earlier installation has set up."""
    return sorted(path.stem for path in _below(prefix, ETC).glob("*.conf"))


def _do(step: Step, prefix: Path, dry_run: bool, say: Callable[[str], None]) -> None:
    if isinstance(step, Run):
        _run(step, prefix, dry_run, say)
        return
    path = _below(prefix, step.path)
    if isinstance(step, Write):
        if step.keeps and path.exists():
            say(f"keep    {path}")
            return
        say(f"write   {path}")
        if not dry_run:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, encoding="utf-8")
    elif isinstance(step, Link):
        say(f"link    {path} → {step.target}")
        if not dry_run:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.symlink_to(step.target)
    elif path.exists() or path.is_symlink():
        say(f"remove  {path}")
        if not dry_run:
            _remove(path)


def _run(step: Run, prefix: Path, dry_run: bool, say: Callable[[str], None]) -> None:
    argv = step.argv
    if prefix != SYSTEM or (argv[0] in _OF_A_RUNNING_SYSTEM and not BOOTED.exists()):
        if step.offline is None:
            say(f"not now {shlex.join(argv)}")
            return
        argv = [word.replace("{root}", str(prefix)) for word in step.offline]
    say(f"run     {shlex.join(argv)}")
    if dry_run:
        return
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise InstallError(f"there is no command {argv[0]}: apt-get install {_package_of(argv[0])}") from error
    if done.returncode and not step.may_fail:
        said = done.stderr.strip() or done.stdout.strip()
        raise InstallError(f"'{shlex.join(argv)}' ended with {done.returncode}: {said}")
    if done.returncode:
        say(f"        it says: {done.stderr.strip()}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _below(prefix: Path, path: PurePosixPath) -> Path:
    return prefix / path.relative_to("/")


def _package_of(command: str) -> str:
    return {"/usr/bin/python3": "python3-venv", "udevadm": "udev"}.get(command, "systemd")
