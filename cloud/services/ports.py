"""Which TCP port on loopback to use: a remembered or preferred one where it is free, else the next."""

import errno
import fcntl
import os
import socket
import tempfile
import zlib
from pathlib import Path

from cloud.services.errors import ServiceError

LOOPBACK = "127.0.0.1"
# Below the range from which Linux takes ports for outgoing connections: a remembered port is still free tomorrow.
FIRST, LAST = 20000, 31999


def port_is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now. PermissionError: the port is only for root."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            # Linux lets two sockets with SO_REUSEADDR bind one port as long as neither listens.
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
                return False
            raise
    return True


class PortClaims:
    """Ports that this process chose for others to listen on, locked until it ends or lets go.

    Between the choice and the listening another system that starts at the same time would find the port free, too.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.gettempdir()) / f"fleetwire-ports-{os.getuid()}"
        self._held: dict[int, int] = {}

    def claim(self, port: int) -> bool:
        """Whether the port is ours to give; False if another system has claimed it."""
        if port in self._held:
            return True
        self._folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(self._folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._held[port] = lock
        return True

    def let_go(self) -> None:
        """Give all of them up."""
        while self._held:
            os.close(self._held.popitem()[1])


def next_free_port(start: int, *, taken: frozenset[int] = frozenset(), host: str = LOOPBACK, last: int = 65535) -> int:
    """The first free port from `start` on that is not in `taken`."""
    for port in range(start, last + 1):
        if port not in taken and port_is_free(port, host):
            return port
    raise ServiceError(f"no free port on {host} from {start} to {last}")


def home_port(home: Path) -> int:
    """Where a home begins to look: spread by its path, so that two checkouts seldom want the same port."""
    return FIRST + zlib.crc32(str(home.resolve()).encode()) % (LAST - 500 - FIRST)
