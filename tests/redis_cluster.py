"""A real Redis Cluster on loopback, three primaries without replicas, to kill nodes of and to move slots in."""

import asyncio
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis
from redis.crc import key_slot

from cloud.services.ports import LOOPBACK, PortClaims, port_is_free
from cloud.services.processes import Process, end, is_alive, wait_gone
from cloud.services.root import cache_folder, ensure_sandbox
from cloud.services.sandbox import Sandbox

NODES: Final = 3
BUS_OFFSET: Final = 10_000
"""Nodes talk to one another on a port that lies this far above their own."""
PATIENCE_S: Final = 60.0
PROCESS_FILE: Final = "process.json"

_SETTINGS: Final = """\
bind 127.0.0.1
port {port}
requirepass {password}
masterauth {password}
dir /data
appendonly {appendonly}
appendfsync everysec
save ""
maxmemory 256mb
maxmemory-policy noeviction
daemonize no
cluster-enabled yes
cluster-config-file nodes.conf
cluster-node-timeout 2000
cluster-require-full-coverage no
cluster-announce-ip 127.0.0.1
"""


@dataclass
class Node:
    """One server; `process` is the server's own."""

    folder: Path
    port: int
    process: Process | None = None
    id: str = ""


class RedisCluster:
    """`create` and `stop` it; `keeps`: an append-only file, so that a killed node comes back with what it had."""

    def __init__(self, folder: Path, *, keeps: bool = False) -> None:
        self._folder = folder
        self._keeps = keeps
        self._claims = PortClaims()
        self._password = secrets.token_hex(12)
        self._sandbox: Sandbox | None = None
        self.nodes: Sequence[Node] = ()

    @property
    def url(self) -> str:
        """Names every node, so that one of them may be dead at the start."""
        places = ",".join(f"{LOOPBACK}:{node.port}" for node in self.nodes)
        return f"redis://:{self._password}@{places}"

    def client(self, node: Node) -> Redis:
        return Redis(host=LOOPBACK, port=node.port, password=self._password)

    async def command(self, node: Node, *arguments: Any) -> Any:
        async with self.client(node) as redis:
            return await redis.execute_command(*arguments)

    async def owner(self, shard: int) -> Node:
        """The node that has a shard now, as the first node that lives sees it."""
        slot = slot_of(shard)
        for node in self.nodes:
            if node.process is not None and is_alive(node.process):
                slots = await self.command(node, "CLUSTER", "SLOTS")
                port = next(primary[1] for first, last, primary, *_ in slots if first <= slot <= last)
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError("no node lives")

    async def flush(self) -> None:
        """Every node forgets all keys."""
        for node in self.nodes:
            await self.command(node, "FLUSHALL")

    async def kill(self, node: Node) -> None:
        """kill -9. What it had is gone for good unless the cluster keeps it."""
        assert node.process is not None
        os.kill(node.process.pid, signal.SIGKILL)
        await wait_gone(node.process)

    async def start(self, node: Node) -> None:
        """With the slots that it had; returns when it serves."""
        keeps = "yes" if self._keeps else "no"
        settings = _SETTINGS.format(port=node.port, password=self._password, appendonly=keeps)
        (node.folder / "redis.conf").write_text(settings)
        argv = ["/usr/bin/redis-server", "/data/redis.conf"]
        assert self._sandbox is not None
        node.process = self._sandbox.spawn(argv, data=node.folder, log=node.folder / "redis.log")
        (node.folder / PROCESS_FILE).write_text(json.dumps(asdict(node.process)))
        await self._until(lambda: self._answers(node))

    async def until_ok(self) -> None:
        """Until every node sees every slot served."""
        for node in self.nodes:
            await self._until(partial(self._is_ok, node))

    async def open_move(self, shard: int, target: Node) -> Node:
        """The shard's slot begins to move: keys may be on either side. Returns where it comes from."""
        slot, source = slot_of(shard), await self.owner(shard)
        await self.command(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        await self.command(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        return source

    async def move_keys(self, shard: int, source: Node, target: Node, *, count: int = 1000) -> int:
        """How many moved."""
        keys = await self.command(source, "CLUSTER", "GETKEYSINSLOT", slot_of(shard), count)
        if keys:
            arguments = (LOOPBACK, target.port, "", 0, 10_000, "AUTH", self._password, "KEYS", *keys)
            await self.command(source, "MIGRATE", *arguments)
        return len(keys)

    async def close_move(self, shard: int, target: Node) -> None:
        slot = slot_of(shard)
        for node in (target, *(other for other in self.nodes if other is not target)):
            await self.command(node, "CLUSTER", "SETSLOT", slot, "NODE", target.id)

    async def move(self, shard: int, target: Node) -> None:
        """All of it, at once."""
        source = await self.open_move(shard, target)
        while await self.move_keys(shard, source, target):
            pass
        await self.close_move(shard, target)

    async def create(self) -> None:
        self._sandbox = sandbox = await ensure_sandbox(cache_folder(os.environ), lambda _: None)
        self.nodes = [Node(self._folder / f"node-{port}", port) for port in _ports(self._claims)]
        for node in self.nodes:
            node.folder.mkdir(parents=True)
        await asyncio.gather(*(self.start(node) for node in self.nodes))
        places = [f"{LOOPBACK}:{node.port}" for node in self.nodes]
        argv = ["/usr/bin/redis-cli", "-a", self._password, "--no-auth-warning", "--cluster", "create", *places]
        await asyncio.to_thread(sandbox.run, [*argv, "--cluster-yes"], data=self.nodes[0].folder)
        for node in self.nodes:
            node.id = (await self.command(node, "CLUSTER", "MYID")).decode()
        await self.until_ok()

    async def stop(self) -> None:
        await end_cluster(self._folder)
        self._claims.let_go()

    async def _answers(self, node: Node) -> bool:
        try:
            return bool(await self.command(node, "PING"))
        except (OSError, ConnectionError):
            return False

    async def _is_ok(self, node: Node) -> bool:
        info = str(await self.command(node, "CLUSTER", "INFO"))
        return "cluster_state:ok" in info and "cluster_slots_ok:16384" in info

    async def _until(self, check: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if await check():
                    return
                await asyncio.sleep(0.05)


@asynccontextmanager
async def running_cluster(folder: Path, *, keeps: bool = False) -> AsyncIterator[RedisCluster]:
    cluster = RedisCluster(folder, keeps=keeps)
    try:
        await cluster.create()
        yield cluster
    finally:
        await cluster.stop()


async def end_cluster(folder: Path) -> None:
    """Also one whose owner was killed."""
    for file in folder.glob(f"node-*/{PROCESS_FILE}"):
        await end(Process(**json.loads(file.read_text())), with_signal=signal.SIGKILL, patience_s=10)


def slot_of(shard: int) -> int:
    return int(key_slot(b"tm:{%02d}" % shard))


def _ports(claims: PortClaims) -> list[int]:
    """Free, with a free one beside each for the nodes among themselves, below the range of outgoing connections."""
    found: list[int] = []
    start = 10_000 + secrets.randbelow(9_000)
    for port in range(start, 22_000):
        if port_is_free(port) and port_is_free(port + BUS_OFFSET) and claims.claim(port):
            found.append(port)
            if len(found) == NODES:
                return found
    raise AssertionError("no free ports for a cluster")
