"""The cloud's processes on one machine: their ports, the administrator, and how each is run."""

import secrets
import sys
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from cloud.access import accounts
from cloud.access.private_file import read_private, write_private
from cloud.config import CloudConfig
from cloud.database import Executor, connect
from cloud.errors import AccountError, PortTaken
from cloud.running.supervisor import Order, Probe, Say
from cloud.services.errors import ServiceError
from cloud.services.ports import PortClaims, port_is_free

TOKEN_NAME = "fleetwire up"
ANY_PORT = 20_000  # where the search for a port 0 begins
_PORT_KEYS = ("web_port", "ingest_port", "osmand_port", "writer_port")


@dataclass(frozen=True)
class Admin:
    user: str
    password: str
    token: str


def choose_ports(config: CloudConfig, say: Say, claims: PortClaims) -> CloudConfig:
    """The settings with ports that are free: a default one that is taken moves on, one that was set is PortTaken."""

    def is_ours(port: int) -> bool:
        return port_is_free(port, config.host) and claims.claim(port)

    ports: dict[str, int] = {}
    defaults = {getattr(config, key) for key in _PORT_KEYS}
    for key in _PORT_KEYS:
        port: int = getattr(config, key)
        if port and not is_ours(port):
            if config.was_set(key):
                raise PortTaken(config.host, port)
            moved = _first(is_ours, port + 1, defaults | set(ports.values()))
            say(f"port {port} is in use by another program; {key.removesuffix('_port')} takes {moved}")
            port = moved
        ports[key] = port or _first(is_ours, ANY_PORT, set(ports.values()))
    return config.model_copy(update=ports)


def _first(is_ours: Callable[[int], bool], start: int, taken: Set[int]) -> int:
    for port in range(start, 65536):
        if port not in taken and is_ours(port):
            return port
    raise ServiceError(f"no free port from {start} on")


def address(config: CloudConfig, port: int) -> str:
    """Without a final slash."""
    return f"http://{f'[{config.host}]' if ':' in config.host else config.host}:{port}"


def cloud_orders(config: CloudConfig, environ: Mapping[str, str]) -> list[Order]:
    """Writer, ingest and web; stopped in reverse, so that the writer still stores what ingest took."""
    settings = {
        "FLEETWIRE_HOME": str(config.home),
        "FLEETWIRE_DATABASE_URL": config.database_url,
        "FLEETWIRE_REDIS_URL": config.redis_url,
        **({"FLEETWIRE_MQTT_URL": config.mqtt_url} if config.mqtt_url else {}),
        **{f"FLEETWIRE_{key.upper()}": str(getattr(config, key)) for key in _PORT_KEYS},
    }
    return [
        Order(
            name,
            fleetwire_argv(name),
            log=config.home / "logs" / f"{name}.log",
            env={**environ, **settings},
            ready=answers_ready(address(config, port)),
        )
        for name, port in (("writer", config.writer_port), ("ingest", config.ingest_port), ("web", config.web_port))
    ]


def fleetwire_argv(*arguments: str) -> list[str]:
    """The command line of this very installation."""
    return [sys.executable, "-m", "fleetwire", *arguments]


def answers_ready(base: str) -> Probe:
    """Whether GET /readyz says yes."""

    async def probe() -> bool:
        timeout = aiohttp.ClientTimeout(total=3)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{base}/readyz") as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    return probe


async def ensure_admin(database_url: str, home: Path, say: Say) -> Admin:
    """The administrator and an API token, as remembered in the home's secrets; made where they do not hold."""
    path = home / "secrets" / "admin.json"
    known = read_private(path)
    user, password = known.get("user", "admin"), known.get("password") or secrets.token_urlsafe(12)
    token = known.get("token", "")
    write_private(path, {"user": user, "password": password, "token": token})
    connection = await connect(database_url)
    try:
        await _ensure_user(connection, user, password, say)
        if not token or await accounts.api_token(connection, token) is None:
            token = await _new_token(connection)
            write_private(path, {"user": user, "password": password, "token": token})
    finally:
        await connection.close()
    return Admin(user, password, token)


async def ensure_device_tokens(database_url: str, path: Path, vehicles: list[str]) -> dict[str, str]:
    """A device token that holds for each vehicle; those remembered at `path` are used again."""
    known: dict[str, str] = read_private(path)
    connection = await connect(database_url)
    try:
        missing = []
        for vehicle in vehicles:
            device = await accounts.device(connection, known.get(vehicle, ""))
            if device is None or device.vehicle != vehicle:
                missing.append(vehicle)
        if missing:
            known |= dict(await accounts.add_vehicles(connection, missing))
            write_private(path, known)
    finally:
        await connection.close()
    return {vehicle: known[vehicle] for vehicle in vehicles}


async def _ensure_user(db: Executor, user: str, password: str, say: Say) -> None:
    if await accounts.authenticate(db, user, password) is not None:
        return
    try:
        await accounts.add_user(db, user, password, role="admin")
    except AccountError:
        await accounts.set_password(db, user, password)
        say(f"the password of {user} was another; it is set back to the one in secrets/admin.json")


async def _new_token(db: Executor) -> str:
    try:
        return await accounts.add_token(db, TOKEN_NAME, role="admin")
    except AccountError:  # one of that name is in force, but nobody knows it any more
        await accounts.revoke_token(db, TOKEN_NAME)
        return await accounts.add_token(db, TOKEN_NAME, role="admin")
