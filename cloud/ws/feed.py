"""Keeps the hub fed: from the database at the start and after every gap, from the bus in between."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import asyncpg
import structlog

from cloud.database import UNAVAILABLE, Pool
from cloud.queries import load
from cloud.streams.entries import Gap, LiveMessage
from cloud.telemetry.latest import Position
from cloud.vehicle_state import DRIVING_KMH, RECENT_MS
from cloud.ws.facts import Facts, quick_facts
from cloud.ws.hub import Hub, Known
from wire.codec import CodecError, decode_batch

BUS_WITHIN_S = 1.0
RELOAD_EVERY_S = 60.0
RELOAD_AT_MOST_EVERY_S = 1.0
RELOAD_WITHIN_S = 5.0
TICK_S = 1.0
STRANGERS_KEPT = 1000

_AHEAD = timedelta(days=1)
_SQL = load("live")
_log = structlog.get_logger()


class LiveBus(Protocol):
    """What the feed needs of `cloud.bus.Bus`."""

    def subscribe_live(self, shards: Iterable[int]) -> AsyncIterator[LiveMessage | Gap]: ...


class Feed:
    """Runs for ever. While the database is down the hub goes on with what it hears, and loads when it can again."""

    def __init__(self, hub: Hub, db: Pool, bus: LiveBus, *, shards: int) -> None:
        self._hub = hub
        self._db = db
        self._bus = bus
        self._shards = shards
        self._wanted = asyncio.Event()
        self._loaded = asyncio.Condition()
        self._loads = 0
        self._loading = False
        self._anew = True
        self._erasures: frozenset[int] = frozenset()
        self._strangers: deque[LiveMessage] = deque(maxlen=STRANGERS_KEPT)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(), name="live-listen")
            tasks.create_task(self._keep_loaded(), name="live-load")
            tasks.create_task(self._tick(), name="live-tick")

    async def reload(self) -> None:
        """Returns when the database was read at a time after the call. Raises TimeoutError while it is down."""
        # The load that is under way may have read before; the one after it has not.
        goal = self._loads + (2 if self._loading else 1)
        self._wanted.set()
        async with asyncio.timeout(RELOAD_WITHIN_S), self._loaded:
            await self._loaded.wait_for(lambda: self._loads >= goal)

    async def _listen(self) -> None:
        async for message in self._bus.subscribe_live(range(self._shards)):
            if isinstance(message, Gap):
                self._anew = True
                self._wanted.set()
            else:
                self._hear(message)

    def _hear(self, message: LiveMessage) -> None:
        if not self._take(message):
            self._strangers.append(message)
            self._wanted.set()

    def _take(self, message: LiveMessage) -> bool:
        """Takes it in; False for a vehicle that has not been loaded."""
        if (quick := quick_facts(message.batch, message.received_ms)) is not None:
            return self._hub.hear(*quick, _now_ms())
        try:
            return self._hub.apply(decode_batch(message.batch), message.received_ms, _now_ms())
        except CodecError as error:
            _log.warning("live_batch_unreadable", vehicle=message.vehicle, problem=error.problem)
            return True

    async def _keep_loaded(self) -> None:
        """First once the bus is heard, so that nothing falls between; without it soon, so that history shows."""
        patience_s = BUS_WITHIN_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._wanted.wait()
            patience_s = RELOAD_EVERY_S
            self._wanted.clear()
            try:
                await self._load()
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                _log.warning("live_load_failed", problem=str(error) or type(error).__name__)
                self._wanted.set()
            await asyncio.sleep(RELOAD_AT_MOST_EVERY_S)

    async def _load(self) -> None:
        anew, self._anew, self._loading = self._anew, False, True
        try:
            names = {row["id"]: row["name"] for row in await self._db.fetch(_SQL["signal_names"])}
            now = datetime.now(UTC)
            since = now - timedelta(milliseconds=RECENT_MS)
            erased = {row["id"]: row["ident"] for row in await self._db.fetch(_SQL["erasures"], [*self._erasures])}
            rows = await self._db.fetch(_SQL["vehicles"], since, now + _AHEAD, DRIVING_KMH)
        except BaseException:
            self._anew = anew or self._anew
            raise
        finally:
            self._loading = False
        self._hub.forget(erased.values())
        self._erasures |= erased.keys()
        self._hub.load([_known(row, names) for row in rows], _now_ms(), anew=anew or bool(erased))
        for _ in range(len(self._strangers)):
            self._take(self._strangers.popleft())
        async with self._loaded:
            self._loads += 1
            self._loaded.notify_all()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._hub.tick(_now_ms())


def _known(row: asyncpg.Record, names: dict[int, str]) -> Known:
    position = None
    if row["fix_ms"] is not None:
        position = Position(row["fix_ms"], row["lat"], row["lon"], row["alt"], row["speed"], row["course"])
    columns = zip(row["signal_ids"] or (), row["ts_ms"] or (), row["values"] or (), strict=True)
    signals = {names[number]: (t_ms, value) for number, t_ms, value in columns if number in names}
    facts = Facts(signals, position, row["seen_ms"], row["driven_ms"])
    return Known(row["ident"], row["name"], row["fleet_id"], facts)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
