"""Exchange a one-time code for this vehicle's own token, and write down what the agent needs of it."""

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext, create_default_context
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from edge.errors import ConfigError, UplinkError
from edge.service.private_file import replacing
from edge.ways.http_problem import reason
from wire.names import is_vehicle

TOKEN_FILE: Final = "token"

_TOKEN: Final = re.compile(r"[!-~]{8,512}")
_PLACE_OF_VEHICLE: Final = re.compile(r"(?:[ \t]*(?:#.*)?\n)*?(#[ \t]*vehicle[ \t]*=.*)")
"""A commented line above everything else, where a template leaves it open."""

_PATHS: Final = ("url", "token_file", "ca_file")
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What was written where."""

    vehicle: str
    token_file: Path
    config_changed: bool


async def enrol(code: str, *, url: str | None, config: Path) -> Enrolled:
    """Everything that can be wrong here is looked at before the code is used up. Raises ConfigError, UplinkError."""
    config = config.resolve()
    text = config.read_text(encoding="utf-8") if config.exists() else ""
    mode = config.stat().st_mode & 0o777 if config.exists() else 0o644
    known = _parse(config, text)
    uplink = known.get("uplink", {})
    if not isinstance(uplink, dict) or not all(isinstance(uplink.get(key, ""), str) for key in _PATHS):
        raise ConfigError(f"{config}: [uplink] is a section whose {', '.join(_PATHS)} are texts")
    address = _address(url or uplink.get("url"))
    token_file = config.parent / uplink.get("token_file", TOKEN_FILE)
    _parse(config, complete(text, vehicle="any", url=address))
    tls = _trust(config.parent / uplink["ca_file"]) if "ca_file" in uplink else None
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        with replacing(config, mode=mode) as new_config, replacing(token_file, mode=0o600) as new_token:
            vehicle, token = await _exchange(address, code, known.get("vehicle"), tls)
            new_token.write(f"{token}\n")
            changed = complete(text, vehicle=vehicle, url=address)
            new_config.write(changed)
    except OSError as error:
        raise ConfigError(
            f"{error.filename or config.parent}: {error.strerror}: run it as who may write there"
        ) from error
    return Enrolled(vehicle, token_file, changed != text)


def complete(text: str, *, vehicle: str, url: str) -> str:
    """The agent's file with what it lacks; nothing that it says is changed. Pure."""
    data = tomllib.loads(text)
    if "vehicle" not in data:
        line = f"vehicle = {json.dumps(vehicle)}"
        given = _PLACE_OF_VEHICLE.match(text)
        text = f"{text[: given.start(1)]}{line}{text[given.end(1) :]}" if given else f"{line}\n{text}"
    uplink = data.get("uplink", {})
    wanted = {"url": url, "token_file": TOKEN_FILE}
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in wanted.items() if key not in uplink]
    if not lines:
        return text
    header = re.search(r"^[ \t]*\[uplink\][ \t]*(?:#.*)?$\n?", text, flags=re.MULTILINE)
    if header is None:
        return f"{text.rstrip()}\n\n[uplink]\n{''.join(lines)}"
    before = text[: header.end()]
    return before + ("" if before.endswith("\n") else "\n") + "".join(lines) + text[header.end() :]


def _parse(config: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{config}: not TOML: {error}") from error


def _address(url: str | None) -> str:
    if url is None:
        raise UplinkError("where to? Give the ingest address: --url https://host:8081")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UplinkError(f"'{url}' is not an address to enrol at: give --url https://host:8081")
    return url.rstrip("/")


def _trust(authorities: Path) -> SSLContext:
    try:
        return create_default_context(cafile=authorities)
    except OSError as error:
        raise UplinkError(f"{authorities}: {error.strerror or error}: ca_file is to hold PEM certificates") from error


async def _exchange(url: str, code: str, vehicle: str | None, tls: SSLContext | None) -> tuple[str, str]:
    body = {"code": code} | ({"vehicle": vehicle} if vehicle else {})
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.post(f"{url}/v1/enroll", json=body, allow_redirects=False, ssl=tls or True) as response,
        ):
            status, answer = response.status, _object(await response.read())
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UplinkError(f"{url} does not answer: {reason(error)}; try the same code again") from error
    given = str(answer.get("vehicle")), str(answer.get("token"))
    if status == 200 and is_vehicle(given[0]) and _TOKEN.fullmatch(given[1]):
        return given
    raise UplinkError(f"{url} refuses ({status}): {answer.get('detail', 'this is not the answer of an ingest server')}")


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
