"""Mosquitto 2 with one user for ingest's bridge; `cloud.access.broker_passwords` adds the vehicles."""

import asyncio
import signal
from dataclasses import dataclass
from pathlib import Path

from cloud.access.mosquitto_password import with_user
from cloud.services.ports import LOOPBACK
from cloud.services.sandbox import Sandbox

USER = "fleetwire"
_SETTINGS = """\
# Written by 'fleetwire services start'; changes here are overwritten.
listener {port} 127.0.0.1
allow_anonymous false
connection_messages false
password_file /data/passwd
acl_file /data/acl
max_inflight_messages 100
max_queued_messages 10000
max_queued_bytes 200000000
persistence true
persistence_location /data/
log_dest stderr
log_type error
log_type warning
log_type notice
"""
ACL = """\
user {user}
topic readwrite fleetwire/#

pattern write fleetwire/%u/batch
pattern write fleetwire/%u/catalog
pattern write fleetwire/%u/campaign
pattern read fleetwire/%u/reply
"""


@dataclass(frozen=True)
class Mosquitto:
    name: str = "mosquitto"
    stop_signal: signal.Signals = signal.SIGTERM

    def prepare(self, sandbox: Sandbox, folder: Path, *, port: int, password: str) -> None:
        (folder / "mosquitto.conf").write_text(_SETTINGS.format(port=port))
        _write_private(folder / "acl", ACL.format(user=USER))
        kept = password_file(folder)
        _write_private(folder / "passwd", with_user(kept.read_text() if kept.exists() else "", USER, password))

    def argv(self) -> list[str]:
        return ["/usr/sbin/mosquitto", "-c", "/data/mosquitto.conf"]

    def url(self, *, port: int, password: str) -> str:
        return f"mqtt://{USER}:{password}@{LOOPBACK}:{port}"

    async def answers(self, *, port: int, password: str) -> bool:
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection(LOOPBACK, port)
                try:
                    writer.write(_connect_packet(USER, password))
                    return await reader.readexactly(4) == b"\x20\x02\x00\x00"
                finally:
                    writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False


def password_file(folder: Path) -> Path:
    """The vehicles' passwords, beside the data: a broker that lost its folder still knows them."""
    return folder.with_suffix(".passwd")


def install_passwords(folder: Path) -> None:
    """What the server reads at its next SIGHUP."""
    _write_private(folder / "passwd", password_file(folder).read_text())


def _write_private(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.replace(path)


def _connect_packet(user: str, password: str) -> bytes:
    """MQTT 3.1.1 CONNECT with a clean session, user name and password; shorter than 128 bytes."""
    fields = b"".join(len(text).to_bytes(2) + text for text in (b"", user.encode(), password.encode()))
    body = b"\x00\x04MQTT\x04" + bytes([0b1100_0010]) + (10).to_bytes(2) + fields
    return b"\x10" + bytes([len(body)]) + body
