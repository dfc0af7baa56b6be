"""Which Redis has a shard: the one server there is, or the node of a Redis Cluster that has the shard's slot by now.

The server is asked what it is. Each node has redis-py's plain client, which tries nothing by itself a second time; why
not its cluster client is told in docs/decisions/0011.
"""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self
from urllib.parse import urlsplit, urlunsplit

import structlog
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, NoScriptError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as NoConnection

from cloud.errors import BusDown
from cloud.streams.errors import translated

ANSWER_S: Final = 5.0
"""How long an answer may take; a read that waits for entries is told to wait for less."""
DISCOVERY_S: Final = 2.0
REST_S: Final = 0.25
CONNECTIONS: Final = 4_096
PAUSES_S: Final = (0.0, 0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 0.8)
"""Before each further try while a slot is on its way. Its keys are, too, which takes as long as they are large."""

_SCRIPTS: Final = Path(__file__).parent / "scripts"
_RUN_ID: Final = re.compile(rb"run_id:(\w+)")
Command = Callable[[Redis], Awaitable[Any]]

log = structlog.get_logger()


@dataclass(frozen=True)
class Script:
    """One of `scripts`, known to a server by its hash."""

    source: str
    sha: str

    @classmethod
    def load(cls, name: str) -> Self:
        source = (_SCRIPTS / f"{name}.lua").read_text(encoding="utf-8")
        return cls(source, sha1(source.encode(), usedforsecurity=False).hexdigest())


class Node:
    """A server. `run_id` is of its newest connection: another one when the server was started anew."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.run_id = ""
        self.redis = self.client(ANSWER_S)
        self.untimed = self.client(None)
        """For what has its own timeout: redis-py sets its own by asyncio.wait_for, which may lose a cancellation."""

    def client(self, timeout_s: float | None) -> Redis:
        """Without retries: a command whose answer was cut may have been done."""
        return Redis.from_url(
            self.url,
            socket_timeout=timeout_s,
            socket_connect_timeout=ANSWER_S,
            retry=Retry(NoBackoff(), 0),
            client_name="fleetwire",
            max_connections=CONNECTIONS,
            redis_connect_func=self._connected,
        )

    async def ask(self, command: Command, *, again: bool = True) -> Any:
        """Raises as Redis does. Where a connection turned out to lead nowhere the command is sent `again`."""
        try:
            return await command(self.redis)
        except NoConnection:
            # Connections left from a Redis that is gone are known by their use only.
            await self.forget_connections()
            if not again:
                raise
        return await command(self.redis)

    async def ask_ahead(self, command: Command) -> Any:
        """While the shard's slot moves to here: for this once the node answers for it."""
        async with self.redis.client() as one:  # ASKING holds for what its own connection asks next
            await one.execute_command("ASKING")  # type: ignore[no-untyped-call]
            return await command(one)

    async def forget_connections(self) -> None:
        for redis in (self.redis, self.untimed):
            await redis.connection_pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        await self.redis.aclose()
        await self.untimed.aclose()

    async def _connected(self, connection: AbstractConnection) -> None:
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        found = _RUN_ID.search(await connection.read_response())
        self.run_id = found[1].decode()[:16] if found else ""


@dataclass(frozen=True)
class _Slots:
    first: int
    last: int
    url: str


class Nodes:
    """Connects when first used, so that a process starts while Redis is down."""

    def __init__(self, url: str) -> None:
        """Of a cluster `url` may name several nodes, `redis://:password@a:6379,b:6379`; one that lives is enough."""
        self._seeds = _each_place(url)
        self._nodes: dict[str, Node] = {}
        self._only: Node | None = None
        self._slots: Sequence[_Slots] = ()
        self._moved: dict[int, str] = {}
        self._discovering = asyncio.Lock()
        self._doubted = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._stack.callback(tasks.create_task(self._keep_up(), name="bus-nodes").cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        for node in self._nodes.values():
            await node.close()

    async def of(self, shard: int) -> Node:
        """The node that has a shard, as far as is known. Raises BusDown."""
        await self._until_known()
        node = self.known(shard)
        if node is None:
            self._doubted.set()
            raise BusDown(f"no node of the Redis Cluster has slot {_slot_of(shard)}, where shard {shard} lies")
        return node

    def known(self, shard: int) -> Node | None:
        """The same without asking anybody; None where nothing is known of it."""
        if self._only is not None:
            return self._only
        slot = _slot_of(shard)
        url = self._moved.get(slot) or next((of.url for of in self._slots if of.first <= slot <= of.last), None)
        return None if url is None else self._node(url)

    async def placed(self, shards: Iterable[int]) -> dict[Node, list[int]]:
        """Nodes, and which of the shards each has; a shard that none has is left out. Raises BusDown if all are."""
        found: dict[Node, list[int]] = {}
        problem: BusDown | None = None
        for shard in sorted(shards):
            try:
                found.setdefault(await self.of(shard), []).append(shard)
            except BusDown as error:
                problem = error
        if problem is not None and not found:
            raise problem
        return found

    async def all(self) -> list[Node]:
        """Raises BusDown."""
        await self._until_known()
        return [self._only] if self._only else [self._node(url) for url in dict.fromkeys(of.url for of in self._slots)]

    async def together(self, shards: Sequence[int]) -> list[list[int]]:
        """The shards, by what one command may name at once: all on a single server, one at a time in a cluster."""
        await self._until_known()
        return [list(shards)] if self._only else [[shard] for shard in shards]

    async def ask(self, shard: int, command: Command, *, again: bool = True) -> Any:
        """What the node says that has the shard; it is followed where it goes. Raises BusDown and BusFull.

        Whoever sends us on has done nothing. A command that may be sent `again` may be done twice: where an answer was
        lost with its connection.
        """
        ahead: Node | None = None
        for pause_s in PAUSES_S:
            node = ahead or await self.of(shard)
            try:
                return await (node.ask_ahead(command) if ahead else node.ask(command, again=again))
            except MovedError as error:
                ahead = None
                self.learn(error)
            except AskError as error:
                ahead = self._node(_placed_at(node.url, error.host, error.port))
            except TryAgainError:
                ahead = None
                await asyncio.sleep(pause_s)
            except (RedisError, OSError) as error:
                self.learn_and_raise(error)
        raise BusDown(f"shard {shard} is on its way from one node to another")

    async def run(self, shard: int, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """The same for a script."""
        try:
            return await self.ask(shard, lambda redis: redis.evalsha(script.sha, len(keys), *keys, *arguments))
        except NoScriptError:
            return await self.ask(shard, lambda redis: redis.eval(script.source, len(keys), *keys, *arguments))

    async def ask_node(self, node: Node, command: Command) -> Any:
        """What this very node says. Raises BusDown."""
        try:
            return await node.ask(command)
        except (RedisError, OSError) as error:
            self.learn_and_raise(error)

    def learn(self, error: Exception) -> Exception:
        """The error in our terms; what it tells about the nodes is kept."""
        if isinstance(error, MovedError) and self._only is None:
            self._moved[error.slot_id] = _placed_at(self._seeds[0], error.host, error.port)
        found = translated(error)
        if isinstance(found, BusDown):
            self._doubted.set()
        return found

    def learn_and_raise(self, error: Exception) -> NoReturn:
        found = self.learn(error)
        if found is error:
            raise error
        raise found from error

    async def _until_known(self) -> None:
        if self._only is None and not self._slots:
            async with self._discovering:
                if self._only is None and not self._slots:
                    await self._discover()

    async def _keep_up(self) -> None:
        """Looks again which node has what, when something went wrong."""
        while True:
            await self._doubted.wait()
            if self._slots:
                try:
                    await self._discover()
                except BusDown as error:
                    log.warning("cannot see which node has what", problem=str(error))
            self._doubted.clear()
            await asyncio.sleep(random.uniform(REST_S, 2 * REST_S))

    async def _discover(self) -> None:
        """Asks one after the other. Raises BusDown where none answers."""
        problem: Exception = BusDown("no node has any slot")
        known = random.sample(list(self._nodes), len(self._nodes))
        for url in dict.fromkeys((*known, *self._seeds)):
            node = self._node(url)
            try:
                await node.forget_connections()
                async with asyncio.timeout(DISCOVERY_S):
                    slots = await _slots_by(node)
            except (RedisError, OSError) as error:
                problem = error
                continue
            if slots is None:
                self._only = node
                return
            if slots:
                self._slots, self._moved = slots, {}
                return
        found = translated(problem)
        if found is problem:
            raise problem
        raise found from problem

    def _node(self, url: str) -> Node:
        if url not in self._nodes:
            self._nodes[url] = Node(url)
        return self._nodes[url]


def _slot_of(shard: int) -> int:
    return key_slot(b"{%02d}" % shard)


async def _slots_by(node: Node) -> Sequence[_Slots] | None:
    """Which node has which slots, as this one sees it; None if it is no node of a cluster."""
    if not (await node.untimed.info("cluster")).get("cluster_enabled"):
        return None
    rows = await node.untimed.execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
    return [
        _Slots(first, last, _placed_at(node.url, (primary[0] or b"").decode(), primary[1]))
        for first, last, primary, *_ in rows
    ]


def _each_place(url: str) -> list[str]:
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    return [urlunsplit(parts._replace(netloc=f"{user}{at}{host}")) for host in hosts.split(",")]


def _placed_at(url: str, host: str, port: int) -> str:
    """The same address elsewhere; a node that knows no name of its own is where it was asked."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    host = host or parts.hostname or ""
    return urlunsplit(parts._replace(netloc=f"{user}{at}{f'[{host}]' if ':' in host else host}:{port}"))
