"""live_vs_node: what sockets are told of a fleet that all of them watch, beside the live service as often written.

A fleet's batches go straight into Redis, one a second and vehicle. Ours is the web process; the other is Node with `ws`
and a subscriber that sends each message to every socket. `live_vs_node` is what of vehicles was told to the sockets a
second, `live_vs_node.cpu` what a second of the server's processor time told. Both have the same fleet, the same sockets
and the same machine, in turns.
"""

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import aiohttp
from redis.asyncio import Redis

from bench.figure import Figure, Medians, Unavailable, faster_is_better, smaller_is_better
from bench.live_sockets import LiveSocket
from bench.load import Sender
from bench.stack import WEB, Stack, running
from bench.synthetic import Second
from cloud.access.accounts import add_vehicles
from cloud.database import connect
from cloud.streams.entries import LiveMessage, encode_live
from wire.codec import encode_batch
from wire.names import shard_of

VEHICLES: Final = 1_000
CLIENTS: Final = 100
RUNS: Final = 3
WARM_UP_S: Final = 3.0
SECONDS: Final = 8.0
CHANNEL: Final = "bench-live"
SHARDS: Final = 16
TICK_S: Final = 0.01
SECOND: Final = Second(signals=10, samples=1)
NODE: Final = Path(__file__).parent / "live_node"
WISH: Final = {"op": "subscribe", "id": 1, "vehicles": ["*"], "signals": ["*"], "max_hz": 20}

Message = tuple[str, str, bytes]
"""A command, its channel and the body."""


@dataclass(frozen=True)
class Told:
    """To all sockets, in `SECONDS`."""

    updates: int
    cpu_s: float
    p99_ms: float


@cache
def measured() -> tuple[Sequence[Told], Sequence[Told]]:
    """Ours and the other's, in turns."""
    if not shutil.which("node"):
        raise Unavailable("node is not installed")
    if not (NODE / "node_modules").exists():
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=NODE, check=True)
    return asyncio.run(_measure())


def updates() -> Figure:
    ours, node = measured()
    rates = Medians(
        median(one.updates / SECONDS for one in ours), median(one.updates / SECONDS for one in node), runs=RUNS
    )
    return faster_is_better("live_vs_node", rates, unit="updates/s", note=_note())


def cpu() -> Figure:
    ours, node = measured()
    rates = Medians(
        median(one.updates / one.cpu_s for one in ours), median(one.updates / one.cpu_s for one in node), runs=RUNS
    )
    return faster_is_better("live_vs_node.cpu", rates, unit="updates/s of CPU", note=_note())


def latency() -> Figure:
    ours, node = measured()
    times = Medians(median(one.p99_ms for one in ours), median(one.p99_ms for one in node), runs=RUNS)
    return smaller_is_better("live_vs_node.latency", times, unit="ms", note="p99 from Redis to a socket; " + _note())


def _note() -> str:
    return f"{VEHICLES:,} vehicles with a batch a second, {CLIENTS} sockets that watch all; the baseline is Node's"


async def _measure() -> tuple[list[Told], list[Told]]:
    ours, node = [], []
    # Without a timeout: redis-py's is asyncio.wait_for's, in which a cancellation may be lost, and publishing not end.
    async with running(WEB) as stack, Redis.from_url(stack.config.redis_url, socket_timeout=None) as redis:
        connection = await connect(stack.config.database_url)
        try:
            senders = Sender.of(await add_vehicles(connection, [f"live-{number}" for number in range(VEHICLES)]))
        finally:
            await connection.close()
        for _ in range(RUNS):
            ours.append(await _ours(stack, redis, senders))
            node.append(await _node(stack, redis, senders))
    return ours, node


async def _ours(stack: Stack, redis: "Redis", senders: Sequence[Sender]) -> Told:
    draft = SECOND.draft(0)
    batches = [draft.to_batch(vehicle=sender.vehicle, stream=sender.stream, seq=0) for sender in senders]
    newest_ms = draft.columns[next(iter(draft.columns))].t_ms[-1]

    def message(number: int, now_ms: int) -> Message:
        batch = batches[number]
        moved = batch.model_copy(update={"t0": batch.t0 + now_ms - newest_ms})
        body = encode_live(LiveMessage(batch.vehicle, now_ms, encode_batch(moved)))
        return "SPUBLISH", f"live:{{{shard_of(batch.vehicle, SHARDS):02d}}}", body

    url = f"{stack.web_url}/v1/live"
    return await _told(partial(_publish, redis, message), url, stack.pids[WEB], [WISH], bearer=stack.admin_token)


async def _node(stack: Stack, redis: "Redis", senders: Sequence[Sender]) -> Told:
    values = {name: column.v[-1] for name, column in SECOND.draft(0).columns.items()}

    def message(number: int, now_ms: int) -> Message:
        signals = {name: [now_ms, value] for name, value in values.items()}
        told = {"id": senders[number].vehicle, "last_seen": now_ms, "signals": signals}
        return "PUBLISH", CHANNEL, json.dumps(told, separators=(",", ":")).encode()

    async with _node_server(stack.config.redis_url) as (url, pid):
        return await _told(partial(_publish, redis, message), url, pid, [], bearer="")


async def _told(
    publish: Callable[[], Coroutine[Any, Any, None]],
    url: str,
    pid: int,
    wishes: Sequence[Mapping[str, Any]],
    *,
    bearer: str,
) -> Told:
    ages_ms: list[float] = []
    sockets = [await LiveSocket.open(url, wishes, bearer=bearer) for _ in range(CLIENTS - 1)]
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(_watch(url, wishes, bearer, ages_ms), name="browser")
        publishing = tasks.create_task(publish(), name="fleet")
        await asyncio.sleep(WARM_UP_S)
        ages_ms.clear()
        before, cpu_before_s, began_s = sum(one.updates for one in sockets), _cpu_s(pid), time.monotonic()
        await asyncio.sleep(SECONDS)
        updates, cpu_s = sum(one.updates for one in sockets) - before, _cpu_s(pid) - cpu_before_s
        took_s = time.monotonic() - began_s
        for task in (watching, publishing):
            task.cancel()
    for one in sockets:
        one.close()
    told = (updates + len(ages_ms)) * SECONDS / took_s
    return Told(round(told), cpu_s * SECONDS / took_s, quantiles(ages_ms, n=100)[-1])


async def _publish(redis: "Redis", message: Callable[[int, int], Message]) -> None:
    """Each vehicle once a second, evenly; what is late goes out at once, but never more than a second's."""
    began_s, published = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began_s) * VEHICLES)
        async with redis.pipeline(transaction=False) as pipeline:
            for number in range(max(published, due - VEHICLES), due):
                pipeline.execute_command(*message(number % VEHICLES, time.time_ns() // 1_000_000))
            await pipeline.execute()
        published = due
        await asyncio.sleep(TICK_S)


async def _watch(url: str, wishes: Sequence[Mapping[str, Any]], bearer: str, ages_ms: list[float]) -> None:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(url, max_msg_size=0, compress=0) as socket,
    ):
        for wish in wishes:
            await socket.send_json(wish)
        async for message in socket:
            told = json.loads(message.data)
            now_ms = time.time_ns() / 1e6
            for vehicle in told.get("vehicles", [told]):
                if times := [t_ms for t_ms, _ in vehicle.get("signals", {}).values()]:
                    ages_ms.append(now_ms - max(times))


@asynccontextmanager
async def _node_server(redis_url: str) -> AsyncIterator[tuple[str, int]]:
    process = await asyncio.create_subprocess_exec(
        "node", "server.mjs", redis_url, CHANNEL, cwd=NODE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.kill()
        await process.wait()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


FIGURES: Final[Mapping[str, Callable[[], Figure]]] = {
    "live_vs_node": updates,
    "live_vs_node.cpu": cpu,
    "live_vs_node.latency": latency,
}
