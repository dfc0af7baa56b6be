"""Mosquitto's password file, kept as the database says: each vehicle with its newest device token in force."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import asyncpg
import structlog

from cloud.access.mosquitto_password import with_user, with_vehicles
from cloud.database import QUICK_S, UNAVAILABLE, Executor, Pool
from cloud.errors import ConfigError
from cloud.queries import load

LOOK_EVERY_S: Final = 1.0
LOCK: Final = 0x666C7470

_SQL = load("broker")
log = structlog.get_logger()


class BrokerPasswords:
    """Whoever changes a credential writes the file, and ingest watches over it; they take turns by a lock."""

    def __init__(self, path: Path, *, user: str, password: str, reload: Callable[[], None]) -> None:
        """The cloud's own `user`, if there is one, is in the file as well. `reload` tells the broker."""
        self._path = path
        self._user = user
        self._password = password
        self._reload = reload

    async def write(self, db: Executor) -> bool:
        """Whether the file was not as it should be. In a transaction, whose end lets others in. Raises ConfigError."""
        await db.execute(_SQL["lock"], LOCK)
        rows = await db.fetch(_SQL["passwords"])
        try:
            before = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
            text = with_user(before, self._user, self._password) if self._user else before
            text = with_vehicles(text, ((row["ident"], row["broker_hash"]) for row in rows), keep=self._user)
            if text == before:
                return False
            _replace(self._path, text)
        except OSError as error:
            raise ConfigError(
                f"the broker's password file cannot be written: {self._path}: {error.strerror}"
            ) from error
        self._reload()
        return True

    async def watch(self, pool: Pool) -> None:
        """For ever. What cannot be done now is tried again, and said once."""
        seen: tuple[object, ...] | None = None
        problem = ""
        while True:
            try:
                async with asyncio.timeout(QUICK_S), pool.acquire(timeout=QUICK_S) as connection:
                    state = await connection.fetchval(_SQL["state"]), _stamp(self._path)
                    if state != seen:
                        async with connection.transaction():
                            if await self.write(connection):
                                log.info("broker passwords written", path=str(self._path))
                        seen = state[0], _stamp(self._path)
                problem = ""
            except ConfigError as error:
                if problem != (problem := str(error)):
                    log.error("broker passwords not written", problem=problem)
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                if problem != (problem := str(error) or type(error).__name__):
                    log.warning("credentials not read", problem=problem)
            await asyncio.sleep(LOOK_EVERY_S)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Another one when anybody changed or removed the file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino


def _replace(path: Path, text: str) -> None:
    """Whole or not at all; mode and owner stay, as far as they may."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = path.stat() if path.exists() else None
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if before is not None:
        with suppress(PermissionError):
            os.chown(fresh, before.st_uid, before.st_gid)
    fresh.chmod(before.st_mode & 0o777 if before is not None else 0o640)  # the folder's group may be the broker's
    fresh.replace(path)
