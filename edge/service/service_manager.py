"""Tell systemd how the service is (sd_notify): ready, stopping, and that it makes progress."""

import socket
from collections.abc import Mapping
from typing import Final, Self


class ServiceManager:
    """Says nothing where nobody listens. `watchdog_s` is how long the manager waits for a sign, None for ever."""

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        self._address = address

    @classmethod
    def of(cls, environ: Mapping[str, str], *, pid: int) -> Self:
        """As systemd tells its services; a watchdog of another process is none of ours."""
        microseconds = environ.get("WATCHDOG_USEC", "")
        is_ours = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        watchdog_s = int(microseconds) / 1e6 if is_ours and microseconds.isdecimal() else None
        return cls(environ.get("NOTIFY_SOCKET") or None, watchdog_s)

    def tell(self, *lines: str) -> None:
        """Raises OSError when the manager named a socket that cannot be written."""
        if self._address is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
            notify.sendto("\n".join(lines).encode(), address)


NO_MANAGER: Final = ServiceManager()
