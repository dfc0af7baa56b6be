"""One shard of the bus as a pure state machine: what Redis holds between ingest and the writer.

`cloud.bus` does the same with one script a step in Redis; `cloud.streams.memory_bus` runs on this. The same contract
tests hold for both, and the protocol model is built on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Payload = TypeVar("Payload")

Key = tuple[str, str, int]
"""Vehicle, stream, seq."""


@dataclass(frozen=True, slots=True)
class QueueEntry(Generic[Payload]):
    """An admitted batch, or with `key` None a vehicle's declarations."""

    id: int
    key: Key | None
    payload: Payload


@dataclass(slots=True)
class ShardQueue(Generic[Payload]):
    """Entries stay until they are done, in order; a batch that is in flight is not queued twice."""

    id: str
    """Names this content: a wipe draws another."""
    entries: dict[int, QueueEntry[Payload]] = field(default_factory=dict)
    inflight: dict[Key, int] = field(default_factory=dict)
    delivered: set[int] = field(default_factory=set)
    last_id: int = 0

    def add(self, key: Key | None, payload: Payload) -> bool:
        """Queue an entry. False if the batch is in flight already."""
        if key is not None and key in self.inflight:
            return False
        self.last_id += 1
        self.entries[self.last_id] = QueueEntry(self.last_id, key, payload)
        if key is not None:
            self.inflight[key] = self.last_id
        return True

    def read(self, count: int) -> list[QueueEntry[Payload]]:
        """The next entries that nobody was given yet."""
        fresh = [entry for id, entry in self.entries.items() if id not in self.delivered][:count]
        self.delivered.update(entry.id for entry in fresh)
        return fresh

    def pending(self) -> list[QueueEntry[Payload]]:
        """What was given to a writer and is not done: what a new writer begins with."""
        return [entry for id, entry in self.entries.items() if id in self.delivered]

    def done(self, ids: Iterable[int]) -> None:
        """Remove entries and what marks them in flight. Ids that are gone are no error."""
        for id in ids:
            entry = self.entries.pop(id, None)
            self.delivered.discard(id)
            if entry is not None and entry.key is not None and self.inflight.get(entry.key) == id:
                del self.inflight[entry.key]

    def wipe(self, id: str) -> None:
        """Lose everything, as FLUSHALL does. Ids go on: Redis makes them from the time."""
        self.id = id
        self.entries.clear()
        self.inflight.clear()
        self.delivered.clear()
