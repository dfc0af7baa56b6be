"""Mosquitto 2 with one user for Fleetwire's own bridge."""

import asyncio
import base64
import hashlib
import secrets
import signal
from dataclasses import dataclass
from pathlib import Path

from cloud.services.ports import LOOPBACK
from cloud.services.sandbox import Sandbox

USER = "fleetwire"
_SETTINGS = """\
# Written by 'fleetwire services start'; changes here are overwritten.
listener {port} 127.0.0.1
allow_anonymous false
connection_messages false
password_file /data/passwd
persistence true
persistence_location /data/
log_dest stderr
log_type error
log_type warning
log_type notice
"""


@dataclass(frozen=True)
class Mosquitto:
    name: str = "mosquitto"
    stop_signal: signal.Signals = signal.SIGTERM

    def prepare(self, sandbox: Sandbox, folder: Path, *, port: int, password: str) -> None:
        (folder / "mosquitto.conf").write_text(_SETTINGS.format(port=port))
        passwords = folder / "passwd"
        passwords.touch(mode=0o600)
        passwords.write_text(f"{USER}:{_password_hash(password, secrets.token_bytes(12))}\n")

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


def _password_hash(password: str, salt: bytes) -> str:
    """As mosquitto_passwd writes it: PBKDF2-SHA512, 101 rounds."""
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _connect_packet(user: str, password: str) -> bytes:
    """MQTT 3.1.1 CONNECT with a clean session, user name and password; shorter than 128 bytes."""
    fields = b"".join(len(text).to_bytes(2) + text for text in (b"", user.encode(), password.encode()))
    body = b"\x00\x04MQTT\x04" + bytes([0b1100_0010]) + (10).to_bytes(2) + fields
    return b"\x10" + bytes([len(body)]) + body
