"""What must be true of this machine and of the servers for Fleetwire to run, and what to do where it is not."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from cloud.bus import Bus
from cloud.config import CloudConfig, load_cloud_config
from cloud.database import connect, inspect
from cloud.errors import CloudError
from cloud.migrations import available, plan
from cloud.running.local import address
from cloud.running.run_file import NAME as RUN_FILE
from cloud.services import embedded
from cloud.services.root import TOOLS

_REDIS_WANTED = {"maxmemory-policy": "noeviction", "appendonly": "yes"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `advice` is None where it is as it should be."""

    what: str
    found: str
    advice: str | None = None


async def check_all(home: Path, environ: Mapping[str, str]) -> AsyncIterator[Finding]:
    """Everything, cheapest first. What depends on something that is missing is left out."""
    yield check_python()
    yield check_node()
    yield check_home(home)
    for finding in check_services(home, environ):
        yield finding
    try:
        config = load_cloud_config(None, {**environ, "FLEETWIRE_HOME": str(home)})
    except CloudError as error:
        yield Finding("settings", str(error), "see above")
        return
    yield await check_database(config)
    yield await check_redis(config)
    for name, base in process_addresses(home, config).items():
        yield await check_process(name, base)


def check_python() -> Finding:
    advice = None if sys.version_info >= (3, 11) else "install Python 3.11 or newer"
    return Finding("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", advice)


def check_node() -> Finding:
    """Node builds the dashboard; running needs none."""
    node = shutil.which("node")
    if node is None:
        return Finding("node", "not found", "install Node 20 or newer: the dashboard is built with it")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    is_old = int(version.removeprefix("v").partition(".")[0] or 0) < 20
    return Finding("node", version, "install Node 20 or newer: the dashboard is built with it" if is_old else None)


def check_home(home: Path) -> Finding:
    if not home.exists():
        return Finding("home", f"{home} is made at the first start")
    if not os.access(home, os.W_OK | os.X_OK):
        owner = home.stat().st_uid
        return Finding("home", f"{home} belongs to user {owner}", "set FLEETWIRE_HOME to a folder of your own")
    free_gb = shutil.disk_usage(home).free / 1e9
    return Finding("home", f"{home}, {free_gb:.1f} GB free", "make room: keep 2 GB free" if free_gb < 2 else None)


def check_services(home: Path, environ: Mapping[str, str]) -> list[Finding]:
    wanted = embedded.wanted_services(environ)
    running = embedded.status(home).running
    findings = []
    for name in embedded.ALL:
        if name not in wanted:
            findings.append(Finding(name, f"replaced by FLEETWIRE_{embedded.URL_KEYS[name].upper()}"))
        elif one := running.get(name):
            findings.append(Finding(name, f"port {one.port}, pid {one.process.pid}"))
        else:
            findings.append(Finding(name, "not running", "start it with 'fleetwire services start'"))
    if missing := [package for program, package in TOOLS.items() if wanted and not shutil.which(program)]:
        findings.append(Finding("tools", "missing", f"sudo apt-get install {' '.join(missing)}"))
    return findings


async def check_database(config: CloudConfig) -> Finding:
    """Reachable, with TimescaleDB, keeping what it acknowledges, and migrated."""
    try:
        connection = await connect(config.database_url)
    except CloudError as error:
        return Finding("database", str(error), "start it with 'fleetwire services start', or correct the address")
    try:
        server = await inspect(connection)
        edition = "community" if server.community else "Apache"
        found = f"PostgreSQL {server.version}, TimescaleDB {server.timescaledb} ({edition} edition)"
        if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
            return Finding("database", f"{found}, no schema yet", "run 'fleetwire migrate'")
        rows = await connection.fetch("SELECT number, checksum FROM schema_migrations")
        pending = plan(available(), {row["number"]: row["checksum"] for row in rows})
        advice = f"run 'fleetwire migrate': {len(pending)} to apply" if pending else None
        return Finding("database", f"{found}, migration {len(rows)}, synchronous_commit on", advice)
    except CloudError as error:
        return Finding("database", "not as it must be", str(error))
    finally:
        await connection.close()


async def check_redis(config: CloudConfig) -> Finding:
    """Reachable, and forgetting nothing of its own accord."""
    try:
        async with Bus(config.redis_url) as bus:
            await bus.ping()
            settings = await bus.settings(*_REDIS_WANTED)
    except CloudError as error:
        return Finding("redis", str(error), "start it with 'fleetwire services start', or correct the address")
    found = ", ".join(f"{name} {value}" for name, value in settings.items()) or "it does not tell its settings"
    wrong = [f"{name} {wanted}" for name, wanted in _REDIS_WANTED.items() if settings.get(name, wanted) != wanted]
    return Finding("redis", found, f"set it to {', '.join(wrong)}: it may lose what is queued" if wrong else None)


async def check_process(name: str, base: str) -> Finding:
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{base}/readyz") as response:
            if response.status == 200:
                return Finding(name, f"{base} is ready")
            text = (await response.text())[:300]
            return Finding(name, f"{base} says {response.status}", f"it waits for something: {text}")
    except (aiohttp.ClientError, TimeoutError):
        return Finding(
            name, f"nothing answers at {base}", f"start it with 'fleetwire {name}', or all with 'fleetwire up'"
        )


def process_addresses(home: Path, config: CloudConfig) -> dict[str, str]:
    """As run.json has them while 'fleetwire up' runs, else where they listen by their settings."""
    try:
        run = json.loads((home / RUN_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"ingest": address(config, config.ingest_port), "web": address(config, config.web_port)}
    return {"ingest": run["ingest"], "web": run["web"]}
