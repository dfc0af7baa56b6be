"""Redis or a Redis Cluster, as the cloud uses it: durable streams to the writers, leases among them, and live hints.

Keys of a shard NN, in one slot of a Redis Cluster by their braces: `tm:{NN}` the stream, `inflight:{NN}` what is in it
by name, `bus:{NN}` an id that is gone when the rest is, `lease:{NN}` who writes it, `live:{NN}` the channel.
Beside them `writers:{NN}`: who lives among the writers, by the time until which that is believed; NN is the first shard
of each node.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from itertools import count, islice
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from redis.asyncio import Redis
from redis.exceptions import AskError, NoScriptError, RedisError, ResponseError, TryAgainError
from redis.exceptions import ConnectionError as NoConnection

from cloud.errors import BusDown
from cloud.streams.entries import Delivery, Gap, Item, LiveMessage, encode_live
from cloud.streams.live import listen
from cloud.streams.nodes import ANSWER_S, Node, Nodes, Script
from cloud.streams.reader import GROUP, Reader
from cloud.together import Asker, Together

DONE_AT_ONCE: Final = 2_000
TOGETHER: Final = 256
QUICK_S: Final = 1.5
"""For what has to be known soon or is asked of every node: one that is silent must not hold up the others."""

_ADMIT, _ATTEND, _DONE, _LEASE, _RELEASE = map(Script.load, ("admit", "attend", "done", "lease", "release"))


class Admitted(NamedTuple):
    """`queued[i]` is False for a batch that was in flight already."""

    bus_id: str
    queued: tuple[bool, ...]


class Bus:
    """Connects when first used, so that a process starts while Redis is down. All calls raise BusDown.

    In a cluster a node that is down takes its own shards with it, and no others.
    """

    def __init__(self, url: str) -> None:
        self._nodes = Nodes(url)
        self._reader = Reader(self._nodes)
        self._stack = AsyncExitStack()
        self._gates: dict[Node, Together[_Admission, Admitted | Exception]] = {}
        self._fresh_ids = map(partial("{}{:x}".format, secrets.token_hex(8)), count())

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._nodes)
        self._stack.push_async_callback(self._reader.close)
        self._tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def admit(self, shard: int, batches: Sequence[Item], claims: Item | None = None) -> Admitted:
        """Queues what is not in flight, all or nothing, and publishes it live; claims ride on a batch if one is queued.

        Raises BusFull over the memory limit. Calls that come while a node answers one go to it together.
        """
        asked = _Admission(shard, batches, claims)
        node = await self._nodes.of(shard)
        answer = await self._gate(node).ask(asked)
        if isinstance(answer, AskError | TryAgainError):  # it goes elsewhere, or is on its way there
            self._nodes.learn(answer)
            arguments = _admit_arguments(shard, next(self._fresh_ids), [asked])
            said = await self._nodes.run(shard, _ADMIT, _admit_keys(shard), arguments)
            (answer,) = _admitted([asked], said, await self._nodes.of(shard))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def put(self, shard: int, batches: Sequence[Item], claims: Item | None, asker: Asker[Admitted | Exception]) -> bool:
        """As `admit`, without waiting: the asker is told what that would return or raise.

        Any other exception says that it is to be admitted by that, as does False, where nobody is told.
        """
        node = self._nodes.known(shard)
        if node is None:
            return False
        self._gate(node).put(_Admission(shard, batches, claims), asker)
        return True

    async def bus_id(self, shard: int) -> str:
        """The id under which a shard's content is known; a new one when Redis lost it, or may have."""
        fresh = next(self._fresh_ids)
        known = await self._nodes.ask(shard, lambda redis: redis.set(f"bus:{{{shard:02d}}}", fresh, nx=True, get=True))
        return _id_of(known.decode() if isinstance(known, bytes) else fresh, await self._nodes.of(shard))

    async def publish_live(self, shard: int, messages: Iterable[LiveMessage]) -> None:
        """At most once, to whoever listens now."""
        encoded = [encode_live(message) for message in messages]

        async def publish(redis: Redis) -> None:
            async with redis.pipeline(transaction=False) as pipeline:
                for message in encoded:
                    pipeline.spublish(f"live:{{{shard:02d}}}", message)
                await pipeline.execute()

        await self._nodes.ask(shard, publish, again=False)

    async def subscribe_live(self, shards: Iterable[int]) -> AsyncIterator[LiveMessage | Gap]:
        """For ever; a Gap comes first, and again after every time that something may have been missed."""
        async for message in listen(self._nodes, list(shards)):
            yield message

    async def read(self, shards: Sequence[int], *, count: int, block_ms: int) -> list[Delivery]:
        """Up to `count` new entries of each shard, as soon as there is one. See `cloud.streams.reader`."""
        return await self._reader.read(shards, count=count, block_ms=block_ms)

    async def read_pending(self, shard: int, *, after: str = "0", count: int) -> list[Delivery]:
        """Up to `count` entries behind the id `after` that were read before and are not done."""
        return await self._reader.read_pending(shard, after=after, count=count)

    async def done(self, deliveries: Iterable[Delivery]) -> None:
        """Removes entries, and lets their names be queued again. All that can be are, also when BusDown is raised."""
        by_shard: dict[int, list[str]] = {}
        for delivery in deliveries:
            by_shard.setdefault(delivery.shard, []).extend((delivery.id, delivery.name))
        await _all_of(self._done(shard, arguments) for shard, arguments in by_shard.items())

    async def lease(self, shard: int, owner: str, *, ttl_ms: int) -> bool:
        """Takes or renews; False while it is another's."""
        return bool(await _quickly(self._nodes.run(shard, _LEASE, [f"lease:{{{shard:02d}}}"], [owner, ttl_ms])))

    async def release(self, shard: int, owner: str) -> None:
        """Gives a lease back; nothing happens where it is another's."""
        await self._nodes.run(shard, _RELEASE, [f"lease:{{{shard:02d}}}"], [owner])

    async def attend(self, shards: Iterable[int], owner: str, *, ttl_ms: int) -> int:
        """Says that this writer of the shards lives; how many do. Every node is told, and one answer is enough."""
        places = [its[0] for its in (await self._nodes.placed(shards)).values()]
        calls = [self._nodes.run(first, _ATTEND, [_writers(first)], [owner, ttl_ms]) for first in places]
        return max(int(count) for count in await _some_of(calls))

    async def leave(self, shards: Iterable[int], owner: str) -> None:
        """The opposite of attend."""
        places = [its[0] for its in (await self._nodes.placed(shards)).values()]
        await _all_of(self._leave(first, owner) for first in places)

    async def backlog(self, shard: int) -> int:
        """How many entries a shard's stream holds."""
        return int(await self._nodes.ask(shard, lambda redis: redis.xlen(f"tm:{{{shard:02d}}}")))

    async def in_flight(self, shard: int, names: Sequence[str]) -> tuple[bool, ...]:
        """Which of these names are queued and not yet done."""
        if not names:
            return ()
        found = await self._nodes.ask(shard, lambda redis: redis.hmget(f"inflight:{{{shard:02d}}}", list(names)))
        return tuple(entry is not None for entry in found)

    async def ping(self) -> None:
        """Returns if there is a node that answers."""
        await _some_of([self._nodes.ask_node(node, lambda redis: redis.ping()) for node in await self._nodes.all()])

    async def settings(self, *names: str) -> dict[str, str]:
        """What the servers are set to, all that there is where they differ; empty where they do not tell."""
        try:
            answers = await _some_of(
                [self._nodes.ask_node(node, lambda redis: redis.config_get(*names)) for node in await self._nodes.all()]
            )
        except ResponseError:
            return {}
        found: dict[str, dict[str, None]] = {}
        for answer in answers:
            for name, value in answer.items():
                found.setdefault(_text(name), {})[_text(value)] = None
        return {name: " and ".join(values) for name, values in found.items()}

    async def _done(self, shard: int, arguments: Sequence[str]) -> None:
        keys = [f"tm:{{{shard:02d}}}", f"inflight:{{{shard:02d}}}"]
        for start in range(0, len(arguments), DONE_AT_ONCE):
            await self._nodes.run(shard, _DONE, keys, [GROUP, *arguments[start : start + DONE_AT_ONCE]])

    async def _leave(self, shard: int, owner: str) -> None:
        await self._nodes.ask(shard, lambda redis: redis.zrem(_writers(shard), owner))

    def _gate(self, node: Node) -> "Together[_Admission, Admitted | Exception]":
        if node not in self._gates:
            gate = self._gates[node] = Together(partial(self._admit_all, node), at_once=TOGETHER)
            self._stack.callback(self._tasks.create_task(gate.run(), name="admissions").cancel)
        return self._gates[node]

    async def _admit_all(self, node: Node, asked: Sequence["_Admission"]) -> list[Admitted | Exception]:
        """One call of the script for each shard; an error of one shard is no other's."""
        by_shard: dict[int, list[_Admission]] = {}
        for one in asked:
            by_shard.setdefault(one.shard, []).append(one)
        calls = {shard: _admit_arguments(shard, next(self._fresh_ids), of) for shard, of in by_shard.items()}
        evaluate = partial(_evaluate, node, calls)
        try:
            try:
                answers = await evaluate()
            except NoConnection:
                await node.forget_connections()
                answers = await evaluate()
            if any(isinstance(answer, NoScriptError) for answer in answers):
                await node.ask(lambda redis: redis.script_load(_ADMIT.source))
                answers = await evaluate()
        except (RedisError, OSError) as error:
            return [self._in_our_terms(error)] * len(asked)
        found = {
            shard: _admitted(of, self._in_our_terms(answer), node)
            for (shard, of), answer in zip(by_shard.items(), answers, strict=True)
        }
        return [next(found[one.shard]) for one in asked]

    def _in_our_terms(self, answer: Any) -> Any:
        """An error as others know it, but for what sends us on."""
        if not isinstance(answer, Exception) or isinstance(answer, AskError | TryAgainError):
            return answer
        return self._nodes.learn(answer)


class _Admission(NamedTuple):
    shard: int
    batches: Sequence[Item]
    claims: Item | None


async def _evaluate(node: Node, calls: "dict[int, list[str | bytes]]") -> list[Any]:
    # One timeout for all: redis-py's would be one for sending and for each answer, and cost more than these.
    async with asyncio.timeout(ANSWER_S), node.untimed.pipeline(transaction=False) as pipeline:
        for shard, arguments in calls.items():
            keys = _admit_keys(shard)
            pipeline.evalsha(_ADMIT.sha, len(keys), *keys, *arguments)
        return await pipeline.execute(raise_on_error=False)


def _admit_keys(shard: int) -> list[str]:
    return [f"{key}:{{{shard:02d}}}" for key in ("tm", "inflight", "bus")]


def _admit_arguments(shard: int, fresh_id: str, asked: Iterable[_Admission]) -> list[str | bytes]:
    arguments: list[str | bytes] = [f"live:{{{shard:02d}}}", fresh_id]
    for one in asked:
        arguments.append(f"{len(one.batches)}+" if one.claims else str(len(one.batches)))
        for item in one.batches:
            arguments += item
        if one.claims:
            arguments += one.claims
    return arguments


def _admitted(asked: Sequence[_Admission], answer: Any, node: Node) -> Iterator[Admitted | Exception]:
    """To each its own part of what the script said: the content's id, and what was queued."""
    if isinstance(answer, Exception):
        yield from [answer] * len(asked)
        return
    content_id, queued = answer
    bus_id, flags = _id_of(content_id.decode(), node), map(ord("1").__eq__, queued)
    for one in asked:
        yield Admitted(bus_id, tuple(islice(flags, len(one.batches))))


def _id_of(content_id: str, node: Node) -> str:
    """Another one, too, when the server was started again or another took over: it may lack what came last."""
    return f"{content_id}.{node.run_id}"


def _writers(first_shard: int) -> str:
    return f"writers:{{{first_shard:02d}}}"


async def _all_of(calls: Iterable[Awaitable[None]]) -> None:
    """All of them are made, also when one raises."""
    for answer in await asyncio.gather(*calls, return_exceptions=True):
        if answer is not None:
            raise answer


async def _some_of(calls: Sequence[Awaitable[Any]]) -> list[Any]:
    """What those said that could answer. Raises BusDown where none could."""
    answers = await asyncio.gather(*map(_quickly, calls), return_exceptions=True)
    good = [answer for answer in answers if not isinstance(answer, BusDown)]
    for answer in good or answers:
        if isinstance(answer, BaseException):
            raise answer
    return good


async def _quickly(call: Awaitable[Any]) -> Any:
    try:
        async with asyncio.timeout(QUICK_S):
            return await call
    except TimeoutError as error:
        raise BusDown(f"Redis does not answer within {QUICK_S} s") from error


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
