"""How a program of the Debian root is run: bubblewrap's command line."""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cloud.services.errors import WITH_DOCKER, ServiceError
from cloud.services.processes import Process, identify


class SandboxError(ServiceError):
    """bubblewrap itself does not work on this machine."""


@dataclass(frozen=True)
class Sandbox:
    """A read-only root with one writable folder at /data; network shared, user and process ids of its own."""

    root: Path
    own_proc: bool = True

    @classmethod
    def tried(cls, root: Path) -> Self:
        """The sandbox as it works here. Inside some containers a fresh /proc is refused; the outer one serves then."""
        for own_proc in (True, False):
            sandbox = cls(root, own_proc)
            answer = subprocess.run(sandbox.argv(["/usr/bin/true"]), capture_output=True, text=True, check=False)
            if answer.returncode == 0 or "execvp" in answer.stderr:
                return sandbox
        raise SandboxError(
            f"bubblewrap does not work here: {answer.stderr.strip()}. It needs user namespaces "
            f"(sysctl kernel.unprivileged_userns_clone=1, or a container that allows them); or {WITH_DOCKER}"
        )

    def argv(self, command: Sequence[str], *, data: Path | None = None) -> list[str]:
        """The program is process 1 of its own pid namespace: when it dies, kill -9 included, so do its children."""
        identity = ["--unshare-user", "--uid", "65534", "--gid", "65534", "--unshare-pid", "--as-pid-1"]
        proc = ["--proc", "/proc"] if self.own_proc else ["--ro-bind", "/proc", "/proc"]
        mounts = ["--ro-bind", str(self.root), "/", "--dev", "/dev", *proc, "--tmpfs", "/tmp"]
        if data:
            mounts += ["--bind", str(data), "/data", "--chdir", "/data"]
        environment = ["--clearenv", "--setenv", "PATH", "/usr/bin:/usr/lib/postgresql/17/bin"]
        environment += ["--setenv", "LANG", "C.UTF-8", "--setenv", "HOME", "/data"]
        return ["bwrap", *identity, *mounts, *environment, *command]

    def spawn(self, command: Sequence[str], *, data: Path, log: Path) -> Process:
        """Start a daemon that outlives us and logs to `log`. Returns the program's own process, not bwrap's."""
        argv = self.argv(command, data=data)
        told, tell = os.pipe()
        with log.open("ab") as output, open(told, "rb") as information:
            # setsid --fork leaves the daemon to init: no zombie of it is ever ours to reap.
            command_line = ["setsid", "--fork", argv[0], "--info-fd", str(tell), *argv[1:]]
            try:
                subprocess.run(
                    command_line,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=(tell,),
                    check=True,
                    cwd="/",
                )
            finally:
                os.close(tell)
            information_text = information.read()
        pid = json.loads(information_text)["child-pid"] if information_text else None
        process = identify(pid) if pid else None
        if process is None:
            raise ServiceError(f"{command[0]} ended at once; see {log}")
        return process

    def run(self, command: Sequence[str], *, data: Path) -> str:
        """Run a program to its end and return what it printed. Raises ServiceError with its words when it fails."""
        answer = subprocess.run(self.argv(command, data=data), capture_output=True, text=True, check=False)
        if answer.returncode:
            raise ServiceError(f"{command[0]} failed: {(answer.stderr or answer.stdout).strip()}")
        return answer.stdout
