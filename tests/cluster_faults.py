"""python -m tests.cluster_faults: a Redis Cluster loses nodes and moves slots under load; for docs/reliability.md.

    python -m tests.cluster_faults --trials 100 --seed 1 --kept results.jsonl [ROW…]

Two ingest, two writer and two web processes share a cluster of three nodes without replicas and without an append-only
file: a node that is killed comes back empty. Vehicles are the agent's own spool, delivery and uplink. A run is ten
trials of a row with a seed of its own and everything fresh; its result is kept at once, so that a further call goes on
where the last one ended.
"""

import asyncio
import json
import os
import re
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Final

import aiohttp
import click

from bench.synthetic import START_MS, Second
from cloud.access.accounts import add_token, add_vehicles
from cloud.database import connect
from cloud.migrations import migrate
from cloud.services import embedded
from edge.batcher import Draft, DraftColumn
from edge.outbox import Outbox
from edge.spool import Spool
from edge.uplink import Uplink
from edge.ways.uplink_http import HttpTransport
from tests.redis_cluster import RedisCluster, running_cluster
from wire.names import shard_of

VEHICLES: Final = 8
EVERY_S: Final = 0.25
SHARDS: Final = 16
TRIALS_A_RUN: Final = 10
RECOVERED_WITHIN_S: Final = 120.0
START_WITHIN_S: Final = 300.0
SECOND: Final = Second(signals=4, samples=5)
PROCESSES: Final = ("ingest", "ingest", "writer", "writer", "web", "web")
COUNTS: Final = """
    SELECT v.ident, coalesce(upper(range_merge(l.received)), 0) AS next,
           (SELECT coalesce(sum(upper(r) - lower(r)), 0)::int8 FROM unnest(l.received) r) AS received,
           (SELECT count(*) FROM samples s WHERE s.vehicle_id = v.id) AS rows,
           (SELECT count(DISTINCT (s.signal_id, s.ts)) FROM samples s WHERE s.vehicle_id = v.id) AS different
    FROM vehicles v JOIN ledger l ON l.vehicle_id = v.id
"""


@dataclass(frozen=True)
class Result:
    """Of a run. Batches, but for the samples' `rows`, of which `duplicated` are there more than once."""

    trials: int
    drawn: int
    acknowledged: int
    stored: int
    lost: int
    duplicated: int
    gap: int
    recovery_s: list[float]
    peak_mb: float

    @property
    def is_good(self) -> bool:
        return self.drawn == self.acknowledged == self.stored and self.lost == self.duplicated == self.gap == 0


@dataclass
class Vehicle:
    """Draws a batch every quarter of a second, until told to stop; sends them as an agent does."""

    ident: str
    outbox: Outbox
    uplink: Uplink
    drawn: int = 0
    stopped: bool = False

    async def live(self) -> None:
        draft = SECOND.draft(0)
        while not self.stopped:
            await self.outbox.put([_later(draft, 1000 * self.drawn)])
            self.drawn += 1
            await asyncio.sleep(EVERY_S)


@dataclass
class Browser:
    """A live socket on all vehicles that comes back when it is closed; knows how far it heard of each."""

    url: str
    token: str
    heard: dict[str, int] = field(default_factory=dict)

    async def watch(self) -> None:
        wish = {"op": "subscribe", "id": 1, "vehicles": ["*"], "signals": ["*"], "max_hz": 20}
        headers = {"Authorization": f"Bearer {self.token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            while True:
                with suppress(aiohttp.ClientError):
                    async with session.ws_connect(f"{self.url}/v1/live", max_msg_size=0) as socket:
                        await socket.send_json(wish)
                        async for message in socket:
                            self._hear(json.loads(message.data))
                await asyncio.sleep(0.2)

    def has_heard(self, goals: Mapping[str, int]) -> bool:
        """The last batch of each, or a later one."""
        return all(self.heard.get(ident, -1) >= goal - 1 for ident, goal in goals.items())

    def _hear(self, message: Mapping[str, object]) -> None:
        for vehicle in message.get("vehicles", ()):  # type: ignore[attr-defined]
            times = [t_ms for t_ms, _ in vehicle.get("signals", {}).values()]
            number = (max(times, default=START_MS) - START_MS) // 1000
            self.heard[vehicle["id"]] = max(self.heard.get(vehicle["id"], -1), number)


@dataclass
class System:
    cluster: RedisCluster
    database_url: str
    vehicles: Sequence[Vehicle]
    browsers: Sequence[Browser]
    pids: Mapping[str, int]
    dice: Random

    async def recovered(self) -> None:
        """Whatever was drawn until now is settled, and both browsers have heard of it or of what came later."""
        goals = {vehicle.ident: vehicle.drawn for vehicle in self.vehicles}

        def is_so() -> bool:
            settled = all(vehicle.outbox.counts.settled >= goals[vehicle.ident] for vehicle in self.vehicles)
            return settled and all(browser.has_heard(goals) for browser in self.browsers)

        async with asyncio.timeout(RECOVERED_WITHIN_S):
            while True:
                if is_so():
                    return
                await asyncio.sleep(0.02)

    async def pause(self, longest_s: float) -> None:
        await asyncio.sleep(self.dice.uniform(0, longest_s))


async def kill_node(system: System) -> None:
    """It comes back empty, before or after the others have given it up."""
    node = system.dice.choice(system.cluster.nodes)
    await system.cluster.kill(node)
    await system.pause(4.0)
    await system.cluster.start(node)


async def freeze_node(system: System) -> None:
    node = system.dice.choice(system.cluster.nodes)
    assert node.process is not None
    os.kill(node.process.pid, signal.SIGSTOP)
    await system.pause(4.0)
    os.kill(node.process.pid, signal.SIGCONT)


async def move_slot(system: System) -> None:
    """One that is in use, a key at a time."""
    cluster, dice = system.cluster, system.dice
    shard = shard_of(dice.choice(system.vehicles).ident, SHARDS)
    owner = await cluster.owner(shard)
    target = dice.choice([node for node in cluster.nodes if node is not owner])
    source = await cluster.open_move(shard, target)
    await system.pause(0.2)
    while await cluster.move_keys(shard, source, target, count=1):
        await system.pause(0.2)
    await cluster.close_move(shard, target)


@dataclass(frozen=True)
class Row:
    fault: str
    hurt: Callable[[System], Awaitable[None]]


ROWS: Final[Mapping[str, Row]] = {
    "node-killed": Row("a node killed, back empty within 4 s", kill_node),
    "node-frozen": Row("a node stopped (SIGSTOP) for up to 4 s", freeze_node),
    "slot-moved": Row("a slot moved to another node, a key at a time", move_slot),
}


async def run(rows: Sequence[Row], seed: int, folder: Path) -> Result:
    """A fresh system, and a trial of each row after the other; each begins where the one before is over."""
    dice = Random(seed)
    recovery_s: list[float] = []
    async with running_system(folder, dice) as system:
        await system.recovered()
        for row in rows:
            await system.pause(1.0)
            await row.hurt(system)
            await system.cluster.until_ok()
            began_s = time.monotonic()
            await system.recovered()
            recovery_s.append(round(time.monotonic() - began_s, 2))
        for vehicle in system.vehicles:
            vehicle.stopped = True
        await asyncio.sleep(2 * EVERY_S)  # each ends what it draws
        await system.recovered()
        return await _result(system, len(rows), recovery_s)


async def _result(system: System, trials: int, recovery_s: list[float]) -> Result:
    drawn = {vehicle.ident: vehicle.drawn for vehicle in system.vehicles}
    connection = await connect(system.database_url)
    try:
        rows = await connection.fetch(COUNTS)
    finally:
        await connection.close()
    stored = sum(row["received"] for row in rows)
    return Result(
        trials=trials,
        drawn=sum(drawn.values()),
        acknowledged=sum(vehicle.outbox.counts.settled for vehicle in system.vehicles),
        stored=stored,
        lost=sum(drawn.values()) * SECOND.count - sum(row["different"] for row in rows),
        duplicated=sum(row["rows"] - row["different"] for row in rows),
        gap=sum(drawn[row["ident"]] - row["received"] for row in rows),
        recovery_s=recovery_s,
        peak_mb=max(map(_peak_mb, system.pids.values())),
    )


@asynccontextmanager
async def running_system(folder: Path, dice: Random) -> AsyncIterator[System]:
    home = folder / "home"
    async with AsyncExitStack() as stack:
        stack.push_async_callback(embedded.stop, home, say=_quiet)
        services = await embedded.start(home, wanted=["postgres"], durable=False, say=_quiet)
        database_url = services.running["postgres"].url
        await migrate(database_url)
        cluster = await stack.enter_async_context(running_cluster(folder / "cluster"))
        idents = [f"truck-{dice.getrandbits(32):08x}" for _ in range(VEHICLES)]
        connection = await connect(database_url)
        try:
            credentials = await add_vehicles(connection, idents)
            token = await add_token(connection, "browser", role="viewer")
        finally:
            await connection.close()
        processes = [await stack.enter_async_context(_process(name, database_url, cluster.url)) for name in PROCESSES]
        ingests = [one.address for one in processes if one.name == "ingest"]
        browsers = [Browser(one.address, token) for one in processes if one.name == "web"]
        session = await stack.enter_async_context(aiohttp.ClientSession())
        vehicles = [
            _vehicle(ident, token, folder, session, ingests[number % len(ingests)])
            for number, (ident, token) in enumerate(credentials)
        ]
        async with asyncio.TaskGroup() as tasks:
            works = [work for vehicle in vehicles for work in (vehicle.live(), vehicle.uplink.run())]
            running = [tasks.create_task(work) for work in (*works, *(browser.watch() for browser in browsers))]
            pids = {f"{number}-{one.name}": one.pid for number, one in enumerate(processes)}
            try:
                yield System(cluster, database_url, vehicles, browsers, pids, dice)
            finally:
                for task in running:
                    task.cancel()


@dataclass(frozen=True)
class _Process:
    name: str
    pid: int
    address: str


@asynccontextmanager
async def _process(name: str, database_url: str, redis_url: str) -> AsyncIterator[_Process]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("FLEETWIRE_")}
    env |= {"FLEETWIRE_DATABASE_URL": database_url, "FLEETWIRE_REDIS_URL": redis_url}
    port = _free_port()
    env[f"FLEETWIRE_{name.upper()}_PORT"] = str(port)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "fleetwire",
        name,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_WITHIN_S):
            while not re.search(rb"http://", line := await process.stdout.readline()):
                assert line, f"{name} ended"
        yield _Process(name, process.pid, f"http://127.0.0.1:{port}")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _vehicle(ident: str, token: str, folder: Path, session: aiohttp.ClientSession, url: str) -> Vehicle:
    now_ms = time.time_ns() // 1_000_000
    outbox = Outbox(Spool.open(folder / f"{ident}.db", vehicle=ident, max_bytes=64_000_000, now_ms=now_ms))
    transport = HttpTransport(session, url=url, token=lambda: token)
    return Vehicle(ident, outbox, Uplink(outbox, transport, token=lambda: token))


def _later(draft: Draft, shift_ms: int) -> Draft:
    columns = {
        name: DraftColumn([t_ms + shift_ms for t_ms in column.t_ms], column.v) for name, column in draft.columns.items()
    }
    return Draft(columns=columns)


def _peak_mb(pid: int) -> float:
    kib = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert kib is not None
    return int(kib[1]) * 1024 / 1e6


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def table(rows: Sequence[tuple[str, Sequence[Result]]]) -> str:
    lines = [
        "| fault | trials | acknowledged | stored | lost | duplicated | gap | recovery p99 | peak RSS |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for fault, results in rows:
        recovery = [seconds for one in results for seconds in one.recovery_s]
        p99 = quantiles(recovery, n=100)[-1] if len(recovery) > 1 else recovery[0]
        sums = (sum(getattr(one, name) for one in results) for name in _COLUMNS)
        cells = [fault, *(f"{value:,}" for value in sums), f"{p99:.1f} s", f"{max(r.peak_mb for r in results):.0f} MB"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


_COLUMNS: Final = ("trials", "acknowledged", "stored", "lost", "duplicated", "gap")


@click.command()
@click.argument("names", nargs=-1, metavar="[ROW]...", type=click.Choice(list(ROWS)))
@click.option("--trials", default=TRIALS_A_RUN, show_default=True, help="Of each row, in runs of ten.")
@click.option("--seed", default=1, show_default=True)
@click.option("--kept", type=click.Path(path_type=Path), help="Where results are kept, to go on later.")
def main(names: Sequence[str], trials: int, seed: int, kept: Path | None) -> None:
    """Run each row's trials and print the table. Ends with 1 if anything was lost, doubled or missing."""
    known = [json.loads(line) for line in kept.read_text().splitlines()] if kept and kept.exists() else []
    done = {(one.pop("row"), one.pop("seed")): Result(**one) for one in known}
    rows = []
    for name in names or ROWS:
        results = []
        for number in range(-(-trials // TRIALS_A_RUN)):
            key = name, seed * 1_000_000 + number
            if key not in done:
                with tempfile.TemporaryDirectory() as folder:
                    done[key] = asyncio.run(run([ROWS[name]] * TRIALS_A_RUN, key[1], Path(folder)))
                if kept is not None:
                    with kept.open("a") as file:
                        file.write(json.dumps({"row": name, "seed": key[1], **asdict(done[key])}) + "\n")
            results.append(done[key])
            click.echo(f"{name} {key[1]}: {'good' if results[-1].is_good else results[-1]}", err=True)
        rows.append((ROWS[name].fault, results))
    click.echo(table(rows))
    sys.exit(any(not result.is_good for _, results in rows for result in results))


def _quiet(line: str) -> None:
    """Progress is of no interest."""


if __name__ == "__main__":
    main(prog_name="python -m tests.cluster_faults")
