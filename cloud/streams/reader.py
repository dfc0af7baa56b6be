"""The streams, read as one consumer: a command for all shards of a single server, one for each shard of a cluster."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis

from cloud.streams.entries import Delivery
from cloud.streams.errors import NoGroup, Unblocked
from cloud.streams.nodes import ANSWER_S, Nodes, Script

GROUP: Final = "writer"
CONSUMER: Final = "writer"  # one for all: whoever gets the lease finds at once what the one before left pending
BLOCK_AT_MOST_MS: Final = int(ANSWER_S * 500)
"""Well below the time in which an answer must come: else what was read would be lost with the connection."""

_MAKE_GROUP: Final = Script.load("group")


class Reader:
    """Commands that wait for entries go on between two calls of `read`: one that is given up may have read."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._waiting: dict[tuple[int, ...], asyncio.Task[list[Delivery]]] = {}

    async def read(self, shards: Sequence[int], *, count: int, block_ms: int) -> list[Delivery]:
        """Up to `count` new entries of each shard, as soon as there is one.

        Beside them comes what was asked for by earlier calls; without shards, all of that. Where a shard cannot be
        read BusDown is raised, once, and what the others bring comes with the next call.
        """
        self._raise_first_problem()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + block_ms / 1000
        is_new = not self._waiting
        while True:
            left_ms = max(1, min(round((until_s - loop.time()) * 1000), BLOCK_AT_MOST_MS))
            for some in await self._nodes.together(shards) if shards else ():
                if tuple(some) not in self._waiting:
                    self._waiting[tuple(some)] = asyncio.create_task(
                        self._read(some, ">", count=count, block_ms=left_ms), name="bus-read"
                    )
            if not self._waiting:
                return []
            # What begins and ends with this call ends by itself.
            await asyncio.wait(
                self._waiting.values(),
                timeout=None if is_new or not shards else left_ms / 1000,
                return_when=asyncio.FIRST_COMPLETED if shards else asyncio.ALL_COMPLETED,
            )
            if found := self._take():
                return found
            self._raise_first_problem()
            if loop.time() >= until_s or not shards:
                return []
            is_new = False

    async def read_pending(self, shard: int, *, after: str, count: int) -> list[Delivery]:
        """Up to `count` entries behind the id `after` that were read before and are not done."""
        return await self._read([shard], after, count=count, block_ms=None)

    async def close(self) -> None:
        for task in self._waiting.values():
            task.cancel()
        await asyncio.gather(*self._waiting.values(), return_exceptions=True)

    def _take(self) -> list[Delivery]:
        found: list[Delivery] = []
        for shards, task in list(self._waiting.items()):
            if task.done() and task.exception() is None:
                del self._waiting[shards]
                found += task.result()
        return found

    def _raise_first_problem(self) -> None:
        failed = [shards for shards, task in self._waiting.items() if task.done() and task.exception() is not None]
        problems = [self._waiting.pop(shards).exception() for shards in failed]
        for problem in problems:
            if problem is not None:
                raise problem

    async def _read(self, shards: Sequence[int], after: str, *, count: int, block_ms: int | None) -> list[Delivery]:
        by_key = {f"tm:{{{shard:02d}}}".encode(): shard for shard in shards}
        streams: dict[Any, Any] = dict.fromkeys(by_key, after)

        async def ask(redis: Redis) -> Any:
            return await redis.xreadgroup(GROUP, CONSUMER, streams, count=count, block=block_ms)

        while True:
            try:
                # Not again: what a lost answer brought must be looked for among what is pending.
                found = await self._nodes.ask(shards[0], ask, again=False)
            except NoGroup:
                for shard in shards:
                    await self._nodes.run(shard, _MAKE_GROUP, [f"tm:{{{shard:02d}}}"], [GROUP])
                continue
            except Unblocked:
                continue
            return [_delivery(by_key[key], *entry) for key, entries in found or () for entry in entries]


def _delivery(shard: int, entry_id: bytes, fields: dict[bytes, bytes] | None) -> Delivery:
    fields = fields or {}  # removed by another writer, but still pending
    return Delivery(shard, entry_id.decode(), fields.get(b"n", b"").decode(), fields.get(b"b"), fields.get(b"c"))
