"""The spool's room on the disk: what leaves it when there is none, and the reserve for when there is none at all."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edge.delivery import CAUSE_EVICTED
from edge.disk.reserve import Reserve
from edge.disk.spool_contents import Contents, HeldStream
from edge.disk.spool_file import WAL_BYTES
from wire.ranges import EMPTY, RangeSet

EVICT_AT_ONCE: Final = 32
LEAST_BYTES: Final = 5_000_000
"""A nearly full disk does not make the spool smaller than that; a full one may."""

_SPARE_BYTES: Final = 100_000
"""What is evicted on a full disk beside what is needed."""


class Room:
    """The bounds of one spool. `folder` is None for one in memory."""

    def __init__(self, folder: Path | None, reserve: Reserve, *, max_bytes: int, min_free_bytes: int) -> None:
        self.evicted: dict[str, RangeSet] = {}
        """Since it was last taken."""
        self.is_full = False
        """There was no room for the file to grow, and is none since."""
        self._folder = folder
        self._reserve = reserve
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes

    def take_evicted(self) -> Mapping[str, RangeSet]:
        """What had to leave, by stream, each told once."""
        evicted, self.evicted = self.evicted, {}
        return evicted

    def make(self, contents: Contents, wanted_bytes: int) -> None:
        """Evict until there is so much room within the bounds; as long as there is something to evict."""
        file, limit = contents.file, self._max_bytes - 3 * WAL_BYTES
        if self.is_full:
            limit = min(limit, file.size_bytes)
        elif self._free_bytes() < self._min_free_bytes:
            limit = min(limit, max(file.size_bytes, LEAST_BYTES))
        self._evict_bytes(contents, file.used_bytes + wanted_bytes - limit)

    def make_on_full_disk(self, contents: Contents, wanted_bytes: int) -> None:
        """Evict as much as is wanted, whatever the bounds."""
        self._evict_bytes(contents, wanted_bytes + _SPARE_BYTES)

    def give_up_reserve(self) -> None:
        """The disk is full."""
        self.is_full = True
        self._reserve.give_up()

    def keep_reserve(self) -> None:
        """Take the reserve back as soon as there is room for it twice."""
        if self.is_full and self._free_bytes() > self._min_free_bytes + 2 * self._reserve.size + WAL_BYTES:
            self.is_full = False
        if not self.is_full:
            self._reserve.keep()

    def note_evicted(self, name: str, seqs: RangeSet) -> None:
        """`seqs` left the disk, or never came to be on it."""
        self.evicted[name] = self.evicted.get(name, EMPTY) | seqs

    def note_restored(self, streams: Mapping[str, HeldStream]) -> None:
        """A transaction did not happen: what is held has not left."""
        for name, state in streams.items():
            if name in self.evicted and (back := self.evicted[name] & state.held):
                self.evicted[name] -= back

    def _evict_bytes(self, contents: Contents, wanted_bytes: int) -> None:
        enough = contents.file.used_bytes - wanted_bytes
        while contents.file.used_bytes > enough and (victims := choose_victims(contents.streams)) is not None:
            name, seqs = victims
            contents.streams[name].evicted |= seqs
            contents.drop(name, seqs, cause=CAUSE_EVICTED)
            contents.write_stream(name)
            self.note_evicted(name, seqs)

    def _free_bytes(self) -> int:
        if self._folder is None:
            return self._min_free_bytes
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize


def choose_victims(streams: Mapping[str, HeldStream]) -> tuple[str, RangeSet] | None:
    """The oldest batches that are done, or else the oldest of the lowest priority; streams come oldest first."""
    for name, state in streams.items():
        if state.done:
            return name, _first(state.done)
    priorities = {0}.union(*(state.priorities for state in streams.values()))
    for priority in sorted(priorities):
        for name, state in streams.items():
            if seqs := state.of_priority(priority):
                return name, _first(seqs)
    return None


def _first(seqs: RangeSet) -> RangeSet:
    low, high = seqs.ranges[0]
    return RangeSet([(low, min(high, low + EVICT_AT_ONCE - 1))])
