"""What ingest does with a request once it is read: judged, queued, published, answered."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import asyncpg
import structlog
from pydantic_core import to_json

from cloud.accounts import Device
from cloud.bus import Admitted
from cloud.bus_entries import Item, LiveMessage, batch_item, claims_item
from cloud.database import UNAVAILABLE, is_about_the_data
from cloud.errors import BusDown, BusFull, DatabaseError
from cloud.facts import facts_of
from cloud.ingest import admission
from cloud.ingest.catalogs import Catalogs
from cloud.ingest.flat_events import read_events
from cloud.ingest.ledgers import LedgerReader, LedgerView
from cloud.ingest.metrics import IngestMetrics
from cloud.ingest.retry import try_again
from cloud.ingest.storable import problem_of
from cloud.ledger import StreamLedger
from cloud.problem import Problem
from cloud.store import Store
from wire.envelope import BatchRef, Rejected, Reply, Request, StreamClaim
from wire.model import Batch
from wire.names import shard_of
from wire.ranges import RangeSet

log = structlog.get_logger()


class Queue(Protocol):
    async def admit(self, shard: int, batches: Sequence[Item], claims: Item | None = None) -> Admitted: ...
    async def bus_id(self, shard: int) -> str: ...
    async def publish_live(self, shard: int, messages: Iterable[LiveMessage]) -> None: ...


@dataclass(frozen=True)
class _Taken:
    """A batch that may be stored, and its JSON."""

    batch: Batch
    body: bytes


class Ingest:
    def __init__(
        self,
        bus: Queue,
        ledgers: LedgerReader,
        catalogs: Catalogs,
        store: Store,
        metrics: IngestMetrics,
        *,
        shards: int,
    ) -> None:
        self._bus = bus
        self._ledgers = ledgers
        self._catalogs = catalogs
        self._store = store
        self._metrics = metrics
        self._shards = shards
        self._epoch: str | None = None

    async def take_batches(self, device: Device, request: Request) -> Reply:
        """Raises Problem 403 or 503; then nothing is taken."""
        taken, rejected = judge(request.batches, device.vehicle)
        named = {claim.stream for claim in request.streams} | {one.batch.stream for one in taken}
        view = await self._ledgers.read(device.vehicle_id, named)
        self._watch_epoch(view)
        known = view.streams if view else {}
        news = [claim for claim in admission.news(request.streams, known) if not _is_said_by(claim, taken, known)]
        bus_id = await self._queue(device.vehicle, [one for one in taken if _is_new(one.batch, known)], news)
        self._count(taken, rejected)
        return Reply(
            accepted=tuple(BatchRef(stream=one.batch.stream, seq=one.batch.seq) for one in taken),
            rejected=rejected,
            settled=tuple(known.get(s, StreamLedger()).view(s) for s in sorted(named)) if view else (),
            bus=bus_id,
            epoch=view.epoch if view else None,
            catalogs=await self._catalogs.lacking(
                device.fleet_id, (one.batch.catalog for one in taken if one.batch.catalog)
            ),
        )

    async def put_catalog(self, device: Device, hash: str, body: bytes) -> None:
        """Raises Problem 400, 422 or 503."""
        await self._catalogs.put(device.fleet_id, hash, body)

    async def take_events(self, device: Device, value: Any) -> dict[str, int]:
        """Returns once they are stored. Raises Problem 403, 413, 422 or 503; then none is."""
        events = read_events(value, device.vehicle)
        try:
            stored = await self._store.add_events(
                device.vehicle, [(event.key, facts_of(event.batch)) for event in events]
            )
        except (*UNAVAILABLE, asyncpg.PostgresError, DatabaseError) as error:
            if is_about_the_data(error):
                raise Problem(422, f"this cannot be stored: {error}") from error
            log.warning("events not stored", problem=f"{type(error).__name__}: {error}")
            raise try_again("the database cannot take events now") from error
        self._metrics.events.inc(stored)
        if stored:
            await self._publish(device.vehicle, [event.batch.model_dump_json().encode() for event in events])
        return {"stored": stored, "repeated": len(events) - stored}

    async def _queue(self, vehicle: str, taken: Sequence[_Taken], news: Sequence[StreamClaim]) -> str | None:
        """The bus id; None when there was nothing to queue and Redis is down."""
        shard = shard_of(vehicle, self._shards)
        if not taken and not news:
            try:
                return await self._bus.bus_id(shard)
            except (BusDown, BusFull):
                return None
        items = [batch_item(vehicle, one.batch.stream, one.batch.seq, one.body) for one in taken]
        try:
            admitted = await self._bus.admit(shard, items, claims_item(vehicle, news) if news else None)
        except BusFull as error:
            raise try_again("the queue is full, the database does not keep up") from error
        except BusDown as error:
            log.warning("not queued", problem=str(error))
            raise try_again("the queue does not answer") from error
        self._metrics.repeated.inc(len(taken) - sum(admitted.queued))
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

    def _count(self, taken: Sequence[_Taken], rejected: Sequence[Rejected]) -> None:
        self._metrics.accepted.inc(len(taken))
        self._metrics.rejected.inc(len(rejected))
        self._metrics.samples.inc(sum(one.batch.sample_count for one in taken))


def judge(batches: Sequence[Any], vehicle: str) -> tuple[list[_Taken], tuple[Rejected, ...]]:
    """Each batch by itself. Raises Problem 403 for a batch of another vehicle."""
    try:
        judged = admission.admit(batches, vehicle)
    except admission.ForeignVehicle as error:
        raise Problem(403, str(error)) from error
    taken, rejected = [], list(judged.rejected)
    for batch, index in zip(judged.admitted, judged.indices, strict=True):
        body = to_json(batches[index])
        if problem := problem_of(batch, body):
            rejected.append(Rejected(index=index, problem=problem, stream=batch.stream, seq=batch.seq))
        else:
            taken.append(_Taken(batch, body))
    return taken, tuple(sorted(rejected, key=lambda one: one.index))


def _is_said_by(claim: StreamClaim, taken: Iterable[_Taken], known: Mapping[str, StreamLedger]) -> bool:
    """Whether storing a batch of the same request tells the ledger all that the claim does."""
    seqs = RangeSet.of(one.batch.seq for one in taken if one.batch.stream == claim.stream)
    return bool(seqs) and not known.get(claim.stream, StreamLedger()).store(seqs).is_news(claim)


def _is_new(batch: Batch, known: Mapping[str, StreamLedger]) -> bool:
    """Whether its content is not stored yet; what was declared lost and comes after all is."""
    ledger = known.get(batch.stream)
    return ledger is None or bool(ledger.fresh([batch.seq]))
