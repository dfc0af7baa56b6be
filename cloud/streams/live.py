"""The live channels, each heard at the node that has its shard."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError

from cloud.errors import BusDown
from cloud.streams.entries import Gap, LiveMessage, decode_live
from cloud.streams.nodes import Node, Nodes

SILENCE_S: Final = 5.0
WAITING: Final = 1_000
"""Messages in this process; more wait in Redis, which ends a connection that reads too slowly, and that is a Gap."""


async def listen(nodes: Nodes, shards: Sequence[int]) -> AsyncIterator[LiveMessage | Gap]:
    """For ever; a Gap once every node that can be heard is, and whenever one is heard again or for the first time."""
    inbox: asyncio.Queue[LiveMessage | Gap] = asyncio.Queue(WAITING)
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(_Ears(nodes, inbox).keep(shards), name="live-listen")
        try:
            while True:
                yield await inbox.get()
        finally:
            listening.cancel()


class _Ears:
    """A connection for each node. One that ends, as when a shard goes to another node, is set up anew."""

    def __init__(self, nodes: Nodes, inbox: "asyncio.Queue[LiveMessage | Gap]") -> None:
        self._nodes = nodes
        self._inbox = inbox
        self._ears: dict[Node, tuple[Sequence[int], asyncio.Task[None]]] = {}
        self._not_yet: set[Node] = set()
        self._missed = False
        self._ended = asyncio.Event()

    async def keep(self, shards: Sequence[int]) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._ended.clear()
                try:
                    placed: Mapping[Node, Sequence[int]] = await self._nodes.placed(shards)
                except BusDown:
                    placed = {}
                    self._ended.set()
                for node, (heard, task) in list(self._ears.items()):
                    if placed.get(node) != heard:
                        task.cancel()
                        del self._ears[node]
                for node, its in placed.items():
                    if node not in self._ears:
                        self._not_yet.add(node)
                        self._ears[node] = its, tasks.create_task(self._hear(node, its), name="live-ear")
                await self._ended.wait()
                await asyncio.sleep(random.uniform(0.05, 0.5))

    async def _hear(self, node: Node, shards: Sequence[int]) -> None:
        try:
            async for message in _heard_at(node, [f"live:{{{shard:02d}}}" for shard in shards]):
                if message is None:
                    self._missed = True
                    await self._known(node)
                else:
                    await self._inbox.put(message)
        except (RedisError, OSError) as error:
            self._nodes.learn(error)
        self._ears.pop(node, None)
        self._ended.set()
        await self._known(node)

    async def _known(self, node: Node) -> None:
        """It is heard, or cannot be."""
        self._not_yet.discard(node)
        if self._missed and not self._not_yet:
            self._missed = False
            await self._inbox.put(Gap())


async def _heard_at(node: Node, channels: Sequence[str]) -> AsyncIterator[LiveMessage | None]:
    """None once all channels are subscribed to; ends when one of them is no longer this node's."""
    # Without a timeout on sending: redis-py's is asyncio.wait_for, which loses a cancellation on Python 3.11.
    async with node.client(None) as redis, redis.pubsub() as pubsub:
        for channel in channels:  # one by one: in a cluster a command names one slot
            await pubsub.ssubscribe(channel)
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
                yield None
            elif message["type"] == "sunsubscribe":
                return
