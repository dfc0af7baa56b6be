"""What every request is judged, queued and answered with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cloud.bus import Admitted
from cloud.ingest.campaigns import Campaigns
from cloud.ingest.catalogs import Catalogs
from cloud.ingest.ledgers import LedgerReader
from cloud.ingest.metrics import IngestMetrics
from cloud.streams.entries import Item, LiveMessage
from cloud.together import Asker


class Queue(Protocol):
    async def admit(self, shard: int, batches: Sequence[Item], claims: Item | None = None) -> Admitted: ...
    def put(
        self, shard: int, batches: Sequence[Item], claims: Item | None, asker: Asker[Admitted | Exception]
    ) -> bool: ...
    async def bus_id(self, shard: int) -> str: ...
    async def publish_live(self, shard: int, messages: Iterable[LiveMessage]) -> None: ...


@dataclass(frozen=True)
class Means:
    bus: Queue
    ledgers: LedgerReader
    catalogs: Catalogs
    campaigns: Campaigns
    metrics: IngestMetrics
    shards: int
