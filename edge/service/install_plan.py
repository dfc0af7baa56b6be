"""What installing the agent on a Debian system changes, as a list of steps. Pure: nothing is done here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

TEMPLATES: Final = Path(__file__).parents[2] / "deploy" / "edge"
OPT: Final = PurePosixPath("/opt/fleetwire")
ETC: Final = PurePosixPath("/etc/fleetwire")
STATE: Final = PurePosixPath("/var/lib/fleetwire")
CONFIG: Final = ETC / "edge.toml"
COMMAND: Final = PurePosixPath("/usr/local/bin/fleetwire")
UNITS: Final = PurePosixPath("/etc/systemd/system")
SERVICE: Final = "fleetwire-edge.service"

_OURS: Final[Mapping[PurePosixPath, str]] = {
    PurePosixPath("/etc/sysusers.d/fleetwire.conf"): "sysusers.conf",
    PurePosixPath("/etc/tmpfiles.d/fleetwire.conf"): "tmpfiles.conf",
    PurePosixPath("/etc/udev/rules.d/60-fleetwire-gps.rules"): "60-fleetwire-gps.rules",
    UNITS / SERVICE: SERVICE,
    UNITS / "fleetwire-can@.service": "fleetwire-can@.service",
}
"""Files that are replaced at each installation and removed with it."""


@dataclass(frozen=True, slots=True)
class Write:
    """A file; one that is there stays where it `keeps`."""

    path: PurePosixPath
    text: str
    keeps: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    path: PurePosixPath
    target: PurePosixPath


@dataclass(frozen=True, slots=True)
class Remove:
    """A file, a link or a whole folder, if it is there."""

    path: PurePosixPath


@dataclass(frozen=True, slots=True)
class Run:
    """A command. `offline` is how it is told to work on another root; without, it is only for a running system.

    One that `may_fail` says what is so already.
    """

    argv: Sequence[str]
    offline: Sequence[str] | None = None
    may_fail: bool = False


Step = Write | Link | Remove | Run


def plan_install(*, buses: Mapping[str, int], keeps_rates: bool, wheel: str | None) -> list[Step]:
    """`buses` gives bits per second of each CAN interface; where one is set already, that holds if `keeps_rates`.

    Without a `wheel` the environment in /opt is there already.
    """
    steps: list[Step] = []
    if wheel is not None:
        steps += [
            Run(["/usr/bin/python3", "-m", "venv", str(OPT)]),
            Run([f"{OPT}/bin/pip", "install", "--quiet", "--upgrade", f"{wheel}[edge]"]),
        ]
    steps.append(Link(COMMAND, OPT / "bin" / "fleetwire"))
    steps += [Write(path, _fill(name)) for path, name in _OURS.items()]
    steps.append(Write(CONFIG, _fill("edge.toml"), keeps=True))
    for bus, rate in buses.items():
        steps.append(Write(ETC / f"{bus}.conf", _fill("can.conf", BITRATE=str(rate)), keeps=keeps_rates))
    units = [SERVICE, *(f"fleetwire-can@{bus}.service" for bus in buses)]
    return [
        *steps,
        Run(["systemd-sysusers"], ["systemd-sysusers", "--root={root}"]),
        Run(
            ["systemd-tmpfiles", "--create", "fleetwire.conf"],
            ["systemd-tmpfiles", "--create", "--root={root}", "fleetwire.conf"],
        ),
        Run(["udevadm", "control", "--reload"], may_fail=True),
        Run(["systemctl", "daemon-reload"]),
        Run(["systemctl", "enable", *units], ["systemctl", "--root={root}", "enable", *units]),
        *(Run(["systemctl", "start", f"fleetwire-can@{bus}.service"], may_fail=True) for bus in buses),
        Run(["systemctl", "try-restart", SERVICE]),
    ]


def plan_uninstall(*, buses: Sequence[str]) -> list[Step]:
    """The spool, the settings and the user stay."""
    units = [SERVICE, *(f"fleetwire-can@{bus}.service" for bus in buses)]
    return [
        Run(
            ["systemctl", "disable", "--now", *units], ["systemctl", "--root={root}", "disable", *units], may_fail=True
        ),
        *(Remove(path) for path in (*_OURS, COMMAND, OPT)),
        Run(["systemctl", "daemon-reload"]),
        Run(["udevadm", "control", "--reload"], may_fail=True),
    ]


def _fill(name: str, **more: str) -> str:
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    places = {"BIN": f"{OPT}/bin/fleetwire", "CONFIG": str(CONFIG), "ETC": str(ETC), "STATE": str(STATE)} | more
    for place, value in places.items():
        text = text.replace(f"@{place}@", value)
    return text
