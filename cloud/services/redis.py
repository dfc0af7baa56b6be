"""Redis 8 as Fleetwire needs it: append-only file every second, never evicting."""

import asyncio
import signal
from dataclasses import dataclass
from pathlib import Path

from cloud.services.ports import LOOPBACK
from cloud.services.sandbox import Sandbox

_SETTINGS = """\
# Written by 'fleetwire services start'; changes here are overwritten.
bind 127.0.0.1
port {port}
requirepass {password}
dir /data
appendonly yes
appendfsync everysec
save ""
maxmemory 1gb
maxmemory-policy noeviction
daemonize no
"""


@dataclass(frozen=True)
class Redis:
    name: str = "redis"
    stop_signal: signal.Signals = signal.SIGTERM

    def prepare(self, sandbox: Sandbox, folder: Path, *, port: int, password: str) -> None:
        settings = folder / "redis.conf"
        settings.touch(mode=0o600)
        settings.write_text(_SETTINGS.format(port=port, password=password))

    def argv(self) -> list[str]:
        return ["/usr/bin/redis-server", "/data/redis.conf"]

    def url(self, *, port: int, password: str) -> str:
        return f"redis://:{password}@{LOOPBACK}:{port}/0"

    async def answers(self, *, port: int, password: str) -> bool:
        """Whether it serves: not before the append-only file is read."""
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection(LOOPBACK, port)
                try:
                    writer.write(f"AUTH {password}\r\nPING\r\n".encode())
                    return await reader.readline() == b"+OK\r\n" and await reader.readline() == b"+PONG\r\n"
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False
