"""PostgreSQL 17 with TimescaleDB, and the database `fleetwire` in it."""

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from cloud.services.ports import LOOPBACK
from cloud.services.sandbox import Sandbox

DATABASE = "fleetwire"
_BIN = "/usr/lib/postgresql/17/bin"
_SETTINGS = """\
# Written by 'fleetwire services start'; changes here are overwritten.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
timescaledb.max_background_workers = {background_workers}
max_connections = 200
max_locks_per_transaction = 256
shared_buffers = '256MB'
work_mem = '16MB'
maintenance_work_mem = '128MB'
max_wal_size = '2GB'
checkpoint_timeout = '10min'
wal_compression = lz4
jit = off
fsync = {fsync}
full_page_writes = {fsync}
synchronous_commit = on
password_encryption = 'scram-sha-256'
scram_iterations = 16  # a random password of 192 bits needs no stretching
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
"""


@dataclass(frozen=True)
class Postgres:
    durable: bool = True  # False: for tests that never lose power
    name: str = "postgres"
    stop_signal: signal.Signals = signal.SIGINT  # "fast": does not wait for clients to leave

    def prepare(self, sandbox: Sandbox, folder: Path, *, port: int, password: str) -> None:
        data = folder / "pg"
        if not data.exists():
            self._initialise(sandbox, folder, password)
            (folder / "pg.new").rename(data)
        settings = _SETTINGS.format(
            port=port, fsync="on" if self.durable else "off", background_workers=8 if self.durable else 0
        )
        (data / "postgresql.conf").write_text(settings)

    def argv(self) -> list[str]:
        return [f"{_BIN}/postgres", "-D", "/data/pg"]

    def url(self, *, port: int, password: str) -> str:
        return f"postgresql://postgres:{password}@{LOOPBACK}:{port}/{DATABASE}"

    async def answers(self, *, port: int, password: str) -> bool:
        """Whether it serves; makes the database and its extension where they are missing."""
        url = self.url(port=port, password=password)
        try:
            try:
                connection = await asyncpg.connect(url, timeout=5)
            except asyncpg.InvalidCatalogNameError:
                await _create_database(url.removesuffix(DATABASE) + "postgres")
                connection = await asyncpg.connect(url, timeout=5)
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            return False
        try:
            await connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        finally:
            await connection.close(timeout=5)
        return True

    def _initialise(self, sandbox: Sandbox, folder: Path, password: str) -> None:
        fresh, secret = folder / "pg.new", folder / "password"
        shutil.rmtree(fresh, ignore_errors=True)
        secret.touch(mode=0o600)
        secret.write_text(password)
        command = [f"{_BIN}/initdb", "--pgdata=/data/pg.new", "--username=postgres", "--pwfile=/data/password"]
        command += ["--auth-local=reject", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
        if not self.durable:
            command.append("--no-sync")
        try:
            sandbox.run(command, data=folder)
        finally:
            os.unlink(secret)


async def _create_database(maintenance_url: str) -> None:
    connection = await asyncpg.connect(maintenance_url, timeout=5)
    try:
        await connection.execute(f"CREATE DATABASE {DATABASE}")
    except asyncpg.DuplicateDatabaseError:
        pass
    finally:
        await connection.close(timeout=5)
