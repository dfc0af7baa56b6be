"""What ingest does with a request once it is read: judged, queued, published, answered."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import asyncpg
import structlog

from cloud.accounts import Device
from cloud.bus import Admitted
from cloud.bus_entries import Item, LiveMessage, batch_item, claims_item, sent_item
from cloud.database import UNAVAILABLE, is_about_the_data
from cloud.errors import BusDown, BusFull, DatabaseError
from cloud.facts import facts_of
from cloud.ingest import admission
from cloud.ingest.aside import Aside
from cloud.ingest.body import Body
from cloud.ingest.campaigns import Campaigns
from cloud.ingest.catalogs import Catalogs
from cloud.ingest.flat_events import KeyedBatch, read_events
from cloud.ingest.ledgers import LedgerReader, LedgerView
from cloud.ingest.metrics import IngestMetrics
from cloud.ingest.reading import Reading, Taken
from cloud.ingest.reply import reply_json
from cloud.ingest.requests import read_request
from cloud.ingest.retry import try_again
from cloud.problem import Problem
from cloud.store import Store
from wire.envelope import StreamClaim
from wire.ledger import EMPTY_LEDGER, StreamLedger
from wire.names import shard_of

_NOTHING: Final[Mapping[str, StreamLedger]] = {}
log = structlog.get_logger()


class Queue(Protocol):
    async def admit(self, shard: int, batches: Sequence[Item], claims: Item | None = None) -> Admitted: ...
    async def bus_id(self, shard: int) -> str: ...
    async def publish_live(self, shard: int, messages: Iterable[LiveMessage]) -> None: ...


class Ingest:
    def __init__(
        self,
        bus: Queue,
        ledgers: LedgerReader,
        catalogs: Catalogs,
        campaigns: Campaigns,
        store: Store,
        metrics: IngestMetrics,
        aside: Aside,
        *,
        shards: int,
    ) -> None:
        self._bus = bus
        self._ledgers = ledgers
        self._catalogs = catalogs
        self._campaigns = campaigns
        self._store = store
        self._metrics = metrics
        self._aside = aside
        self._shards = shards
        self._epoch: str | None = None

    async def take_batches(self, device: Device, body: Body) -> bytes:
        """A request to the reply's JSON. Raises Problem 400, 403, 413, 422 or 503; then nothing is taken."""
        reading = await read_request(body, device.vehicle, self._aside)
        taken = reading.taken
        streams = {claim.stream for claim in reading.claims} | {one.stream for one in taken}
        view = await self._ledgers.read(device.vehicle_id, streams)
        self._watch_epoch(view)
        known = view.streams if view else _NOTHING
        fresh = [one for one in taken if not known.get(one.stream, EMPTY_LEDGER).has(one.seq)]
        news = admission.unsaid(admission.news(reading.claims, known), taken, known)
        bus_id = await self._queue(device.vehicle, fresh, news)
        self._count(reading)
        catalogs = {one.catalog for one in taken if one.catalog}
        return reply_json(
            reading,
            {stream: known.get(stream, EMPTY_LEDGER).settled for stream in sorted(streams)} if view else {},
            bus=bus_id,
            epoch=view.epoch if view else None,
            campaign=await self._campaigns.etag(device.vehicle_id, view.changes) if view else None,
            catalogs=await self._catalogs.lacking(device.fleet_id, catalogs) if catalogs else (),
        )

    async def put_catalog(self, device: Device, hash: str, body: bytes) -> None:
        """Raises Problem 400, 422 or 503."""
        await self._catalogs.put(device.fleet_id, hash, body)

    async def campaign(self, device: Device) -> bytes:
        """The campaign that the vehicle is meant to go by. Raises Problem 404 or 503."""
        return await self._campaigns.document(device.vehicle_id)

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
        self._metrics.events.inc(stored.stored)
        if stored.stored:
            await self._publish(device.vehicle, [event.batch.model_dump_json().encode() for event in events])
        unusual = {"set_aside": stored.aside, "erased": stored.erased}
        return {"stored": stored.stored, "repeated": stored.repeated} | {n: k for n, k in unusual.items() if k}

    async def _queue(self, vehicle: str, taken: Sequence[Taken], news: Sequence[StreamClaim]) -> str | None:
        """The bus id; None when there was nothing to queue and Redis is down."""
        shard = shard_of(vehicle, self._shards)
        if not taken and not news:
            try:
                return await self._bus.bus_id(shard)
            except (BusDown, BusFull):
                return None
        items = [
            sent_item(vehicle, one.stream, one.seq, one.alone_in)
            if one.alone_in
            else batch_item(vehicle, one.stream, one.seq, one.body)
            for one in taken
        ]
        try:
            admitted = await self._bus.admit(shard, items, claims_item(vehicle, news) if news else None)
        except BusFull as error:
            raise try_again("the queue is full, the database does not keep up") from error
        except BusDown as error:
            log.warning("not queued", problem=str(error))
            raise try_again("the queue does not answer") from error
        if repeated := admitted.queued.count(False):
            self._metrics.repeated.inc(repeated)
        return admitted.bus_id

    async def _publish(self, vehicle: str, bodies: Sequence[bytes]) -> None:
        """A hint to whoever watches, and never a reason to refuse what is stored."""
        now_ms = time.time_ns() // 1_000_000
        try:
            await self._bus.publish_live(
                shard_of(vehicle, self._shards), [LiveMessage(vehicle, now_ms, body) for body in bodies]
            )
        except BusDown:
            self._metrics.live_missed.inc(len(bodies))

    def _watch_epoch(self, view: LedgerView | None) -> None:
        if view is not None and view.epoch != self._epoch:
            self._epoch = view.epoch
            self._catalogs.forget()

    def _count(self, reading: Reading) -> None:
        self._metrics.accepted.inc(len(reading.taken))
        self._metrics.samples.inc(sum(one.samples for one in reading.taken))
        if reading.rejected:
            self._metrics.rejected.inc(len(reading.rejected))
