"""What ingest does with a request once it is read: judged, queued, published, answered."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg
import structlog

from cloud.access.accounts import Device
from cloud.database import UNAVAILABLE, is_about_the_data
from cloud.errors import BusDown, BusFull, DatabaseError
from cloud.ingest.admission import to_queue
from cloud.ingest.aside import Aside
from cloud.ingest.body import Body
from cloud.ingest.flat_events import KeyedBatch, read_events
from cloud.ingest.means import Means
from cloud.ingest.reply import reply_json
from cloud.ingest.requests import read_at_once, read_request
from cloud.ingest.retry import not_queued, try_again
from cloud.ingest.soon import Soon, Tell
from cloud.problem import Problem
from cloud.streams.entries import Item, LiveMessage
from cloud.telemetry.facts import facts_of
from cloud.telemetry.store import Store
from wire.ledger import StreamLedger
from wire.names import shard_of

_NOTHING: Final[Mapping[str, StreamLedger]] = {}
log = structlog.get_logger()


class Ingest:
    def __init__(self, means: Means, store: Store, aside: Aside) -> None:
        self._means = means
        self._store = store
        self._aside = aside
        self._soon = Soon(means)

    async def take_batches(self, device: Device, body: Body) -> bytes:
        """A request to the reply's JSON. Raises Problem 400, 403, 413, 422 or 503; then nothing is taken."""
        reading = await read_request(body, device.vehicle, self._aside)
        view = await self._means.ledgers.read(device.vehicle_id, reading.streams)
        if view is not None:
            self._means.catalogs.watch(view.epoch)
        items, claims = to_queue(device.vehicle, reading, view.streams if view else _NOTHING)
        bus_id, queued = await self._queue(shard_of(device.vehicle, self._means.shards), items, claims)
        self._means.metrics.took(reading, queued)
        catalogs = reading.catalogs
        return reply_json(
            reading,
            view,
            bus=bus_id,
            campaign=await self._means.campaigns.etag(device.vehicle_id, view.changes) if view else None,
            catalogs=await self._means.catalogs.lacking(device.fleet_id, catalogs) if catalogs else (),
        )

    def take_soon(self, device: Device, body: Body, tell: Tell) -> bool:
        """The same for what is plainly good, at less cost; False where that is the way to go, and `tell` not told."""
        reading = read_at_once(body, device.vehicle)
        return reading is not None and self._soon.take(device, reading, tell)

    async def put_catalog(self, device: Device, hash: str, body: bytes) -> None:
        """Raises Problem 400, 422 or 503."""
        await self._means.catalogs.put(device.fleet_id, hash, body)

    async def campaign(self, device: Device) -> bytes:
        """The campaign that the vehicle is meant to go by. Raises Problem 404 or 503."""
        return await self._means.campaigns.document(device.vehicle_id)

    async def take_events(self, device: Device, value: Any) -> dict[str, int]:
        """Returns once they are committed. Raises Problem 403, 413, 422 or 503; then none is."""
        return await self.store_events(device, read_events(value, device.vehicle))

    async def store_events(self, device: Device, events: Sequence[KeyedBatch]) -> dict[str, int]:
        """How many were stored and repeated, and if any were set aside or fell into an erased span.

        Returns once that is committed. Raises Problem 422 or 503.
        """
        received_ms = time.time_ns() // 1_000_000
        keyed = [(event.key, facts_of(event.batch)) for event in events]
        try:
            stored = await self._store.add_events(device.vehicle, keyed, received_ms=received_ms)
        except (*UNAVAILABLE, asyncpg.PostgresError, DatabaseError) as error:
            if is_about_the_data(error):
                raise Problem(422, f"this cannot be stored: {error}") from error
            log.warning("events not stored", problem=f"{type(error).__name__}: {error}")
            raise try_again("the database cannot take events now") from error
        self._means.metrics.events.inc(stored.stored)
        if stored.stored:
            await self._publish(device.vehicle, [event.batch.model_dump_json().encode() for event in events])
        unusual = {"set_aside": stored.aside, "erased": stored.erased}
        return {"stored": stored.stored, "repeated": stored.repeated} | {n: k for n, k in unusual.items() if k}

    async def _queue(self, shard: int, items: Sequence[Item], claims: Item | None) -> tuple[str | None, Sequence[bool]]:
        """The bus id, and what of it was queued; None when there was nothing to queue and Redis is down."""
        if not items and claims is None:
            try:
                return await self._means.bus.bus_id(shard), ()
            except (BusDown, BusFull):
                return None, ()
        try:
            admitted = await self._means.bus.admit(shard, items, claims)
        except (BusDown, BusFull) as error:
            raise not_queued(error) from error
        return admitted.bus_id, admitted.queued

    async def _publish(self, vehicle: str, bodies: Sequence[bytes]) -> None:
        """A hint to whoever watches, and never a reason to refuse what is stored."""
        now_ms = time.time_ns() // 1_000_000
        try:
            await self._means.bus.publish_live(
                shard_of(vehicle, self._means.shards), [LiveMessage(vehicle, now_ms, body) for body in bodies]
            )
        except BusDown:
            self._means.metrics.live_missed.inc(len(bodies))
