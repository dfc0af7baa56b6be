"""The bus within one process, for tests: it keeps the contract of `cloud.bus.Bus` over the pure shard queue."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from cloud.bus import Admitted
from cloud.errors import BusFull
from cloud.streams.entries import Delivery, Gap, Item, LiveMessage, unpack
from cloud.streams.shard_queue import Key, QueueEntry, ShardQueue
from cloud.together import Asker

LIVE_BOUND = 1000


@dataclass(frozen=True)
class _Content:
    name: str
    batch: bytes | None
    claims: bytes | None


@dataclass
class _Shard:
    queue: ShardQueue[_Content] = field(default_factory=lambda: ShardQueue(secrets.token_hex(8)))
    claims: set[str] = field(default_factory=set)
    lease: tuple[str, float] = ("", 0.0)
    listeners: list[asyncio.Queue[LiveMessage | Gap]] = field(default_factory=list)


class MemoryBus:
    """`entries_bound` stands for the memory limit. A listener that does not listen loses the newest messages."""

    def __init__(self, *, entries_bound: int = 100_000) -> None:
        self._entries_bound = entries_bound
        self._shards: dict[int, _Shard] = {}
        self._writers: dict[str, float] = {}
        self._arrived = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def admit(self, shard: int, batches: Sequence[Item], claims: Item | None = None) -> Admitted:
        return self._admit(shard, batches, claims)

    def put(self, shard: int, batches: Sequence[Item], claims: Item | None, asker: Asker[Admitted | Exception]) -> bool:
        try:
            asker.set_result(self._admit(shard, batches, claims))
        except BusFull as error:
            asker.set_result(error)
        return True

    def _admit(self, shard: int, batches: Sequence[Item], claims: Item | None) -> Admitted:
        of = self._shard(shard)
        if len(of.queue.entries) >= self._entries_bound:
            raise BusFull("the queue is full")
        riding = claims
        queued = []
        for item in batches:
            content = _Content(item.name, item.body, riding.body if riding else None)
            queued.append(of.queue.add(_key(item.name), content))
            if queued[-1]:
                riding = None
                live = LiveMessage(item.name.partition("/")[0], time.time_ns() // 1_000_000, unpack(item.body))
                self._publish(shard, live)
        if riding and riding.name not in of.claims:
            of.claims.add(riding.name)
            of.queue.add(None, _Content(riding.name, None, riding.body))
        self._arrived.set()
        return Admitted(of.queue.id, tuple(queued))

    async def bus_id(self, shard: int) -> str:
        return self._shard(shard).queue.id

    async def publish_live(self, shard: int, messages: Iterable[LiveMessage]) -> None:
        for message in messages:
            self._publish(shard, message)

    async def subscribe_live(self, shards: Iterable[int]) -> AsyncIterator[LiveMessage | Gap]:
        inbox: asyncio.Queue[LiveMessage | Gap] = asyncio.Queue(LIVE_BOUND)
        watched = [self._shard(shard).listeners for shard in shards]
        for listeners in watched:
            listeners.append(inbox)
        try:
            yield Gap()
            while True:
                yield await inbox.get()
        finally:
            for listeners in watched:
                listeners.remove(inbox)

    async def read(self, shards: Sequence[int], *, count: int, block_ms: int) -> list[Delivery]:
        if not shards:
            return []
        try:
            async with asyncio.timeout(block_ms / 1000):
                while not (found := self._take(shards, count)):
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return []
        return found

    async def read_pending(self, shard: int, *, after: str = "0", count: int) -> list[Delivery]:
        last = int(after.rpartition("-")[2])
        return [_delivery(shard, entry) for entry in self._shard(shard).queue.pending() if entry.id > last][:count]

    async def done(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            of = self._shard(delivery.shard)
            of.queue.done([int(delivery.id.partition("-")[2])])
            of.claims.discard(delivery.name)

    async def lease(self, shard: int, owner: str, *, ttl_ms: int) -> bool:
        of, now_s = self._shard(shard), asyncio.get_running_loop().time()
        if of.lease[0] not in ("", owner) and of.lease[1] > now_s:
            return False
        of.lease = (owner, now_s + ttl_ms / 1000)
        return True

    async def release(self, shard: int, owner: str) -> None:
        of = self._shard(shard)
        if of.lease[0] == owner:
            of.lease = ("", 0.0)

    async def attend(self, shards: Iterable[int], owner: str, *, ttl_ms: int) -> int:
        now_s = asyncio.get_running_loop().time()
        self._writers[owner] = now_s + ttl_ms / 1000
        self._writers = {name: until_s for name, until_s in self._writers.items() if until_s >= now_s}
        return len(self._writers)

    async def leave(self, shards: Iterable[int], owner: str) -> None:
        self._writers.pop(owner, None)

    async def backlog(self, shard: int) -> int:
        return len(self._shard(shard).queue.entries)

    async def in_flight(self, shard: int, names: Sequence[str]) -> tuple[bool, ...]:
        of = self._shard(shard)
        return tuple(_key(name) in of.queue.inflight for name in names)

    async def ping(self) -> None:
        return None

    def wipe(self) -> None:
        """What FLUSHALL does."""
        self._writers.clear()
        for of in self._shards.values():
            of.queue.wipe(secrets.token_hex(8))
            of.claims.clear()
            of.lease = ("", 0.0)

    def _publish(self, shard: int, message: LiveMessage) -> None:
        for listener in self._shard(shard).listeners:
            if not listener.full():
                listener.put_nowait(message)

    def _shard(self, shard: int) -> _Shard:
        return self._shards.setdefault(shard, _Shard())

    def _take(self, shards: Sequence[int], count: int) -> list[Delivery]:
        return [_delivery(n, entry) for n in shards for entry in self._shard(n).queue.read(count)]


def _key(name: str) -> Key:
    vehicle, stream, seq = name.split("/")
    return vehicle, stream, int(seq)


def _delivery(shard: int, entry: QueueEntry[_Content]) -> Delivery:
    return Delivery(shard, f"0-{entry.id}", entry.payload.name, entry.payload.batch, entry.payload.claims)
