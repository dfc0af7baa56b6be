"""fleetwire up: the whole system on this machine, supervised."""

import asyncio
import contextlib
import fcntl
import os
import shlex
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from cloud.bus import Bus
from cloud.config import CloudConfig, default_home, load_cloud_config
from cloud.errors import CloudError
from cloud.migrations import migrate
from cloud.running.local import (
    Admin,
    address,
    choose_ports,
    cloud_orders,
    ensure_admin,
    ensure_device_tokens,
    fleetwire_argv,
)
from cloud.running.run_file import RunFile, remove_run_file, write_run_file
from cloud.running.supervisor import Child, Embedded, Order, Supervisor
from cloud.services.embedded import wanted_services
from cloud.services.ports import PortClaims, home_port
from cloud.static import DASHBOARD
from edge.errors import EdgeError
from simulator.demo import (
    DEMO_VEHICLE,
    OWN_VEHICLE,
    Show,
    agent_config,
    find_virtual_bus,
    plan_show,
    replay_arguments,
)
from simulator.errors import SimulatorError

DRIVE_MINUTES = 60


@dataclass(frozen=True)
class Wish:
    """What the command line asks for."""

    home: Path
    demo: bool
    drive: tuple[Path, ...]
    dbc: tuple[Path, ...]
    vehicles: int


@click.command()
@click.option("--demo", is_flag=True, help="Add a drive replayed on a virtual CAN, and a simulated fleet.")
@click.option("--drive", multiple=True, metavar="FILE", help="Replay your own recording or drive instead; repeatable.")
@click.option("--dbc", multiple=True, metavar="FILE", help="The CAN database of that recording; repeatable.")
@click.option("--vehicles", default=25, show_default=True, type=click.IntRange(0, 10_000), help="Size of the fleet.")
def up(demo: bool, drive: Sequence[str], dbc: Sequence[str], vehicles: int) -> None:
    """Run everything on this machine until Ctrl-C: services, ingest, writer, web, and a demo if asked.

    A process that ends is started again. FLEETWIRE_HOME (default .fleetwire) keeps the data, the logs and the
    administrator's password; run.json in it says where everything is.

    \b
    fleetwire up --demo
    fleetwire up --drive trip.mf4 --dbc obd2.dbc --dbc gnss.dbc
    FLEETWIRE_WEB_PORT=9000 fleetwire up
    """
    if dbc and not drive:
        raise click.UsageError("--dbc belongs to --drive: name the recording, too.")
    home = Path(os.environ.get("FLEETWIRE_HOME") or default_home()).absolute()
    wish = Wish(home, demo, _files(drive, "--drive"), _files(dbc, "--dbc"), vehicles)
    try:
        with _only_one(home):
            asyncio.run(_until_stopped(wish))
    except (CloudError, EdgeError, SimulatorError) as error:
        raise click.ClickException(str(error)) from error


async def _until_stopped(wish: Wish) -> None:
    """SIGINT, SIGTERM and SIGHUP end it in order; a second one does not hurry it."""
    loop = asyncio.get_running_loop()
    running = asyncio.create_task(_run(wish), name="up")
    told = False

    def stop() -> None:
        nonlocal told
        if not told:
            click.echo("==> Stopping")
            running.cancel()
        told = True

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup keeps it running
            loop.add_signal_handler(number, stop)
    with contextlib.suppress(asyncio.CancelledError):
        await running
    if told:
        click.echo("==> Stopped; data is kept in " + str(wish.home))


async def _run(wish: Wish) -> None:
    started = time.monotonic()
    show = await _plan_show(wish)
    async with _supervisor(wish.home) as supervisor:
        _step("Services: TimescaleDB, Redis, Mosquitto")
        for name in wanted_services(os.environ):
            await supervisor.start(Embedded(name, wish.home, _say))
        claims = PortClaims()  # held until the end
        config = choose_ports(load_cloud_config(None, os.environ), _say, claims)
        _step("Database schema and administrator")
        for migration in await migrate(config.database_url):
            _say(f"applied migration {migration.number:04d} {migration.name}")
        admin = await ensure_admin(config.database_url, wish.home, _say)
        async with Bus(config.redis_url) as bus:
            await bus.ping()  # a wrong FLEETWIRE_REDIS_URL is better said now than by three processes that wait
        _step("Ingest, writer, web")
        await supervisor.start(*map(Child, cloud_orders(config, os.environ)))
        if show:
            for order in await _agent_orders(show, config):
                await supervisor.start(Child(order))
        if wish.demo and wish.vehicles:
            await supervisor.start(Child(await _fleet_order(wish.vehicles, config)))

        def write() -> None:
            write_run_file(wish.home, _run_file(config, admin, supervisor.pids))

        write()
        _welcome(config, admin, time.monotonic() - started)
        await supervisor.run(write)


async def _plan_show(wish: Wish) -> Show | None:
    """What the agent shall read; files that cannot be played are an error before anything is started."""
    if not (wish.drive or wish.demo):
        return None
    files = wish.drive or (await _demo_drive(wish.home),)
    bus = find_virtual_bus(wish.home, port=home_port(wish.home))
    return plan_show(OWN_VEHICLE if wish.drive else DEMO_VEHICLE, files, wish.dbc, bus)


async def _agent_orders(show: Show, config: CloudConfig) -> list[Order]:
    folder = config.home / "demo" / show.vehicle
    folder.mkdir(parents=True, exist_ok=True)
    where = f"{show.bus.interface} {show.bus.channel}" if show.bus else "the agent itself: no virtual CAN here"
    _step(f"Replaying {', '.join(path.name for path in show.files)} on {where}, as vehicle {show.vehicle}")
    gps_link, token_file = folder / "gps", folder / "token"
    tokens = await ensure_device_tokens(config.database_url, config.home / "secrets" / "vehicles.json", [show.vehicle])
    _write_secret(token_file, tokens[show.vehicle])
    (folder / "edge.toml").write_text(
        agent_config(
            show,
            ingest=address(config, config.ingest_port),
            token_file=token_file,
            spool=folder / "spool.db",
            gps_link=gps_link,
        )
    )
    logs = config.home / "logs"
    agent = Order("agent", fleetwire_argv("edge", "run", "--config", str(folder / "edge.toml")), log=logs / "agent.log")
    return [*_replay_orders(show, gps_link, logs), agent]


def _replay_orders(show: Show, gps_link: Path, logs: Path) -> Iterator[Order]:
    if show.bus:
        gps_link.unlink(missing_ok=True)

        async def ready() -> bool:
            return gps_link.exists() or not show.has_positions

        arguments = replay_arguments(show, gps_link=gps_link)
        yield Order("replay", fleetwire_argv(*arguments), log=logs / "replay.log", ready=ready)


async def _demo_drive(home: Path) -> Path:
    """Made once."""
    path = home / "demo" / f"drive-{DRIVE_MINUTES}.json"
    if not path.exists():
        _say(f"making a drive of {DRIVE_MINUTES} minutes")
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        command = fleetwire_argv("simulate", "drive", "--minutes", str(DRIVE_MINUTES), "--output", str(fresh))
        making = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
        _, said = await making.communicate()
        if making.returncode:
            raise SimulatorError(f"the demo's drive could not be made: {said.decode(errors='replace').strip()}")
        fresh.replace(path)
    return path


async def _fleet_order(count: int, config: CloudConfig) -> Order:
    vehicles = [f"sim-{number:04d}" for number in range(1, count + 1)]
    _step(f"A fleet of {len(vehicles)} simulated vehicles")
    tokens = await ensure_device_tokens(config.database_url, config.home / "secrets" / "vehicles.json", vehicles)
    lines = "".join(f'{{"vehicle": "{vehicle}", "token": "{token}"}}\n' for vehicle, token in tokens.items())
    token_file = config.home / "demo" / "fleet-tokens.jsonl"
    token_file.parent.mkdir(parents=True, exist_ok=True)
    _write_secret(token_file, lines)
    arguments = ["simulate", "fleet", "--vehicles", str(len(vehicles)), "--ingest", address(config, config.ingest_port)]
    arguments += ["--tokens", str(token_file), "--home", str(token_file.parent / "fleet")]
    return Order("fleet", fleetwire_argv(*arguments), log=config.home / "logs" / "fleet.log")


def _run_file(config: CloudConfig, admin: Admin, pids: dict[str, int]) -> RunFile:
    return RunFile(
        web=address(config, config.web_port),
        ingest=address(config, config.ingest_port),
        database_url=config.database_url,
        redis_url=config.redis_url,
        mqtt_url=config.mqtt_url,
        admin_user=admin.user,
        admin_password=admin.password,
        admin_token=admin.token,
        pids=pids,
    )


@contextlib.asynccontextmanager
async def _supervisor(home: Path) -> AsyncIterator[Supervisor]:
    """Whatever happens inside, afterwards nothing runs and run.json is gone."""
    async with Supervisor(say=_say) as supervisor:
        try:
            yield supervisor
        finally:
            remove_run_file(home)


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise click.ClickException(f"it runs already in {home}; see run.json there") from None
        yield


def _files(names: Sequence[str], option: str) -> tuple[Path, ...]:
    """The files named; one text with several names in it, as make passes it, is taken apart."""
    paths = [Path(part) for name in names for part in ([name] if Path(name).exists() else shlex.split(name))]
    for path in paths:
        if not path.is_file():
            raise click.UsageError(f"{option}: there is no file {path}")
    return tuple(path.absolute() for path in paths)


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _welcome(config: CloudConfig, admin: Admin, took_s: float) -> None:
    click.echo(f"\nFleetwire is ready after {took_s:.0f} s\n")
    click.echo(f"  Dashboard   {address(config, config.web_port)}")
    click.echo(f"  User        {admin.user}")
    click.echo(f"  Password    {admin.password}")
    click.echo(f"  Ingest      {address(config, config.ingest_port)}")
    click.echo(f"  Logs        {config.home / 'logs'}")
    click.echo(f"  For scripts {config.home / 'run.json'}")
    if not (DASHBOARD / "index.html").is_file():
        click.echo("\nThe dashboard is not built yet: 'make dashboard' builds it, the rest works without.")
    click.echo("\nCtrl-C stops all of it.\n")


def _step(text: str) -> None:
    click.echo(f"==> {text}")


def _say(line: str) -> None:
    click.echo(f"    {line}")
