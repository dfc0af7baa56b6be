"""Mosquitto's password file. Pure."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

_ROUNDS = 101  # mosquitto_passwd's own; what is hashed here are 256 random bits


def password_hash(password: str, salt: bytes | None = None) -> str:
    """As mosquitto_passwd writes it: PBKDF2-SHA512."""
    salt = salt or secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS)
    return f"$7${_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def with_user(text: str, user: str, password: str) -> str:
    """The file's text with this user in it, unchanged where the password holds already."""
    lines = dict(_lines(text))
    if not _holds(password, lines.get(user, "")):
        lines[user] = password_hash(password)
    return _text(lines.items())


def with_vehicles(text: str, vehicles: Iterable[tuple[str, str]], *, keep: str) -> str:
    """The file's text with the user `keep` and these (vehicle, hash) alone.

    The file has no way to name a vehicle with a colon, and none takes the place of `keep`.
    """
    kept = [(user, hashed) for user, hashed in _lines(text) if user == keep]
    return _text([*kept, *((ident, hashed) for ident, hashed in vehicles if ":" not in ident and ident != keep)])


def _lines(text: str) -> list[tuple[str, str]]:
    return [(user, hashed) for user, colon, hashed in (line.partition(":") for line in text.splitlines()) if colon]


def _text(lines: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{user}:{hashed}\n" for user, hashed in lines)


def _holds(password: str, hashed: str) -> bool:
    parts = hashed.split("$")
    if len(parts) != 5 or parts[1:3] != ["7", str(_ROUNDS)]:
        return False
    return hmac.compare_digest(hashed, password_hash(password, base64.b64decode(parts[3])))
