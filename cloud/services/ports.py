"""Which TCP port on loopback to use: a remembered or preferred one where it is free, else the next."""

import errno
import socket
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


def next_free_port(start: int, *, taken: frozenset[int] = frozenset(), host: str = LOOPBACK, last: int = 65535) -> int:
    """The first free port from `start` on that is not in `taken`."""
    for port in range(start, last + 1):
        if port not in taken and port_is_free(port, host):
            return port
    raise ServiceError(f"no free port on {host} from {start} to {last}")


def home_port(home: Path) -> int:
    """Where a home begins to look: spread by its path, so that two checkouts seldom want the same port."""
    return FIRST + zlib.crc32(str(home.resolve()).encode()) % (LAST - 500 - FIRST)
