"""Redis, as the cloud uses it: durable streams to the writers, leases among them, and live hints to the sockets.

Keys of a shard NN, in one slot of a Redis Cluster by their braces: `tm:{NN}` the stream, `inflight:{NN}` what is in it
by name, `bus:{NN}` an id that is gone when the rest is, `lease:{NN}` who writes it, `live:{NN}` the channel.
Beside them `writers`: who lives among the writers, by the time until which that is believed.
"""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, NoScriptError, OutOfMemoryError, RedisError, ResponseError
from redis.exceptions import ConnectionError as NoConnection

from cloud.bus_entries import Delivery, Gap, Item, LiveMessage, decode_live, encode_live
from cloud.errors import BusDown, BusFull
from cloud.together import Together

GROUP: Final = "writer"
CONSUMER: Final = "writer"  # one for all: whoever gets the lease finds at once what the one before left pending
ANSWER_S: Final = 5.0
SILENCE_S: Final = 5.0
DONE_AT_ONCE: Final = 2_000
TOGETHER: Final = 256

_WRITERS = "writers"
_SCRIPTS = Path(__file__).parent / "bus_scripts"
_BUSY = ("BUSY ", "LOADING ", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "READONLY", "NOREPLICAS", "MISCONF", "UNBLOCKED")


@dataclass(frozen=True)
class Admitted:
    """`queued[i]` is False for a batch that was in flight already."""

    bus_id: str
    queued: tuple[bool, ...]


class Bus:
    """Connects when first used, so that a process starts while Redis is down. All calls raise BusDown."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stack = AsyncExitStack()
        self._admissions = Together(self._admit_all, at_once=TOGETHER)
        self._fresh_ids = map(partial("{}{:x}".format, secrets.token_hex(8)), count())

    async def __aenter__(self) -> Self:
        self._redis = await self._stack.enter_async_context(_client(self._url, ANSWER_S))
        self._admitting = await self._stack.enter_async_context(_client(self._url, None))
        self._admit, self._attend, self._done, self._group, self._lease, self._release = (
            self._redis.register_script((_SCRIPTS / f"{name}.lua").read_text(encoding="utf-8"))
            for name in ("admit", "attend", "done", "group", "lease", "release")
        )
        tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._stack.callback(tasks.create_task(self._admissions.run(), name="admissions").cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def admit(self, shard: int, batches: Sequence[Item], claims: Item | None = None) -> Admitted:
        """Queues what is not in flight, all or nothing, and publishes it live; claims ride on a batch if one is queued.

        Raises BusFull over the memory limit. Calls that come while one is being answered go together.
        """
        answer = await self._admissions.ask(_Admission(shard, batches, claims))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def bus_id(self, shard: int) -> str:
        """The id under which a shard's content is known; a new one when Redis lost it."""
        fresh = next(self._fresh_ids)
        known = await self._ask(lambda: self._redis.set(f"bus:{{{shard:02d}}}", fresh, nx=True, get=True))
        return known.decode() if isinstance(known, bytes) else fresh

    async def publish_live(self, shard: int, messages: Iterable[LiveMessage]) -> None:
        """At most once, to whoever listens now."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for message in messages:
                pipeline.spublish(f"live:{{{shard:02d}}}", encode_live(message))
            await _answer(pipeline.execute())

    async def subscribe_live(self, shards: Iterable[int]) -> AsyncIterator[LiveMessage | Gap]:
        """For ever; a Gap comes first, and again after every time that the connection was lost."""
        channels = [f"live:{{{shard:02d}}}" for shard in shards]
        while True:
            try:
                async for message in self._listen(channels):
                    yield message
            except (RedisError, OSError):
                await asyncio.sleep(random.uniform(0.05, 0.5))

    async def _listen(self, channels: Sequence[str]) -> AsyncIterator[LiveMessage | Gap]:
        # Without a timeout on sending: redis-py's is asyncio.wait_for, which loses a cancellation on Python 3.11.
        async with _client(self._url, None) as redis, redis.pubsub() as pubsub:
            await pubsub.ssubscribe(*channels)
            asked = False
            while True:
                message = await pubsub.get_message(timeout=SILENCE_S)
                if message is None:
                    if asked:
                        raise NoConnection("no answer to a ping")
                    await pubsub.ping()
                asked = message is None
                if message is None:
                    continue
                if message["type"] == "smessage":
                    yield decode_live(message["data"])
                elif message["type"] == "ssubscribe" and message["data"] == len(channels):
                    yield Gap()

    async def read(self, shards: Sequence[int], *, count: int, block_ms: int) -> list[Delivery]:
        """Up to `count` new entries of each shard, as soon as there is one."""
        return await self._read(shards, ">", count=count, block_ms=block_ms)

    async def read_pending(self, shard: int, *, after: str = "0", count: int) -> list[Delivery]:
        """Up to `count` entries behind the id `after` that were read before and are not done."""
        return await self._read([shard], after, count=count, block_ms=None)

    async def done(self, deliveries: Iterable[Delivery]) -> None:
        """Removes entries, and lets their names be queued again."""
        by_shard: dict[int, list[str]] = {}
        for delivery in deliveries:
            by_shard.setdefault(delivery.shard, []).extend((delivery.id, delivery.name))
        for shard, arguments in by_shard.items():
            keys = [f"tm:{{{shard:02d}}}", f"inflight:{{{shard:02d}}}"]
            for start in range(0, len(arguments), DONE_AT_ONCE):
                await self._ask(partial(self._done, keys, [GROUP, *arguments[start : start + DONE_AT_ONCE]]))

    async def lease(self, shard: int, owner: str, *, ttl_ms: int) -> bool:
        """Takes or renews; False while it is another's."""
        return bool(await self._ask(lambda: self._lease([f"lease:{{{shard:02d}}}"], [owner, ttl_ms])))

    async def release(self, shard: int, owner: str) -> None:
        """Gives a lease back; nothing happens where it is another's."""
        await self._ask(lambda: self._release([f"lease:{{{shard:02d}}}"], [owner]))

    async def attend(self, owner: str, *, ttl_ms: int) -> int:
        """Says that this writer lives; how many do."""
        return int(await self._ask(lambda: self._attend([_WRITERS], [owner, ttl_ms])))

    async def leave(self, owner: str) -> None:
        """The opposite of attend."""
        await self._ask(lambda: self._redis.zrem(_WRITERS, owner))

    async def backlog(self, shard: int) -> int:
        """How many entries a shard's stream holds."""
        return int(await self._ask(lambda: self._redis.xlen(f"tm:{{{shard:02d}}}")))

    async def in_flight(self, shard: int, names: Sequence[str]) -> tuple[bool, ...]:
        """Which of these names are queued and not yet done."""
        if not names:
            return ()
        found = await self._ask(lambda: self._redis.hmget(f"inflight:{{{shard:02d}}}", list(names)))
        return tuple(entry is not None for entry in found)

    async def ping(self) -> None:
        await self._ask(self._redis.ping)

    async def settings(self, *names: str) -> dict[str, str]:
        """What the server is set to; empty where it does not tell, as some managed ones."""
        try:
            found = await _answer(self._redis.config_get(*names))
        except ResponseError:
            return {}
        return {_text(name): _text(value) for name, value in found.items()}

    async def _admit_all(self, asked: Sequence["_Admission"]) -> list[Admitted | Exception]:
        """One call of the script for each shard; an error of one shard is no other's."""
        by_shard: dict[int, list[_Admission]] = {}
        for one in asked:
            by_shard.setdefault(one.shard, []).append(one)
        calls = [_arguments(shard, next(self._fresh_ids), of) for shard, of in by_shard.items()]
        try:
            answers = await self._ask(partial(self._evaluate, calls))
            if any(isinstance(answer, NoScriptError) for answer in answers):
                await self._ask(partial(self._redis.script_load, self._admit.script))
                answers = await self._ask(partial(self._evaluate, calls))
        except (BusDown, BusFull) as error:
            return [error] * len(asked)
        found = {
            shard: iter(_admitted(of, answer)) for (shard, of), answer in zip(by_shard.items(), answers, strict=True)
        }
        return [next(found[one.shard]) for one in asked]

    async def _evaluate(self, calls: Sequence[Sequence[str | bytes]]) -> list[Any]:
        # One timeout for all: redis-py's would be one for sending and for each answer, and cost more than these.
        async with asyncio.timeout(ANSWER_S), self._admitting.pipeline(transaction=False) as pipeline:
            for arguments in calls:
                pipeline.evalsha(self._admit.sha, 4, *arguments)
            return await pipeline.execute(raise_on_error=False)

    async def _ask(self, command: Callable[[], Awaitable[Any]]) -> Any:
        """For what may be done twice. Connections left from a Redis that is gone are known by their use only."""
        try:
            return await _answer(command())
        except BusDown as error:
            if not isinstance(error.__cause__, NoConnection):
                raise
        for redis in (self._redis, self._admitting):
            await redis.connection_pool.disconnect(inuse_connections=False)
        return await _answer(command())

    async def _read(self, shards: Sequence[int], after: str, *, count: int, block_ms: int | None) -> list[Delivery]:
        by_key = {f"tm:{{{shard:02d}}}".encode(): shard for shard in shards}
        if not by_key:
            return []
        streams: dict[Any, Any] = dict.fromkeys(by_key, after)
        while True:
            try:
                found = await _answer(self._redis.xreadgroup(GROUP, CONSUMER, streams, count=count, block=block_ms))
            except _NoGroup:
                for key in by_key:
                    await self._ask(partial(self._group, [key], [GROUP]))
                continue
            return [_delivery(by_key[key], *entry) for key, entries in found or () for entry in entries]


@dataclass(frozen=True, slots=True)
class _Admission:
    shard: int
    batches: Sequence[Item]
    claims: Item | None


class _NoGroup(Exception):
    """The stream or its group is gone: Redis was wiped."""


def _client(url: str, timeout_s: float | None) -> "Redis":
    # Without retries: a command whose answer was cut may have been done.
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=ANSWER_S,
        retry=Retry(NoBackoff(), 0),
        client_name="fleetwire",
    )


def _arguments(shard: int, fresh_id: str, asked: Iterable[_Admission]) -> list[str | bytes]:
    """What the script takes, its keys first."""
    arguments: list[str | bytes] = [f"{key}:{{{shard:02d}}}" for key in ("tm", "inflight", "bus", "live")]
    arguments.append(fresh_id)
    for one in asked:
        arguments += (
            (str(len(one.batches)), one.claims.name, one.claims.body)
            if one.claims
            else (str(len(one.batches)), "", b"")
        )
        for item in one.batches:
            arguments += (item.name, item.body)
    return arguments


def _admitted(asked: Sequence[_Admission], answer: Any) -> Iterator[Admitted | Exception]:
    """To each its own part of what the script said."""
    if isinstance(answer, Exception):
        yield from [_translated(answer)] * len(asked)
        return
    bus_id, *queued = answer
    flags = map(bool, queued)
    for one in asked:
        yield Admitted(bus_id.decode(), tuple(islice(flags, len(one.batches))))


async def _answer(command: Awaitable[Any]) -> Any:
    try:
        return await command
    except (RedisError, OSError) as error:
        translated = _translated(error)
        if translated is error:
            raise
        raise translated from error


def _translated(error: Exception) -> Exception:
    """In our terms; what is a mistake of ours stays as it is."""
    text = str(error)
    if isinstance(error, OutOfMemoryError) or text.startswith("OOM"):
        return BusFull("Redis is over its memory limit")
    if text.startswith("NOGROUP"):
        return _NoGroup(text)
    if text.startswith(_BUSY) or isinstance(error, BusyLoadingError):
        return BusDown(f"Redis cannot serve now: {text}")
    if isinstance(error, ResponseError):
        return error
    return BusDown(f"Redis does not answer: {text}")


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _delivery(shard: int, entry_id: bytes, fields: dict[bytes, bytes] | None) -> Delivery:
    fields = fields or {}  # removed by another writer, but still pending
    return Delivery(shard, entry_id.decode(), fields.get(b"n", b"").decode(), fields.get(b"b"), fields.get(b"c"))
