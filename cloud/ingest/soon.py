"""Requests answered on the way of those whom all ask together, without a task and futures for each.

For what is plainly good, of a vehicle and a catalog that are known. Whatever turns out to be unusual goes the long way,
from its beginning: what was queued by then is in flight, and not queued again.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, Generic, TypeVar

import structlog

from cloud.access.accounts import Device
from cloud.bus import Admitted
from cloud.errors import BusDown, BusFull
from cloud.ingest.admission import to_queue
from cloud.ingest.ledgers import LedgerView
from cloud.ingest.means import Means
from cloud.ingest.reading import Reading
from cloud.ingest.reply import reply_json
from cloud.ingest.retry import not_queued
from cloud.problem import Problem
from wire.names import shard_of

LONG_WAY: Final = None

Tell = Callable[[bytes | Problem | None], None]
"""Is told the reply's JSON, why there is none, or that it is to go the `LONG_WAY`."""
T = TypeVar("T")
log = structlog.get_logger()


class Soon:
    def __init__(self, means: Means) -> None:
        self._means = means

    def take(self, device: Device, reading: Reading, tell: Tell) -> bool:
        """`tell` is told, once; False where it is not, and the request is to go the long way at once."""
        go_on = partial(self._judge, device, reading, tell)
        return self._means.ledgers.put(device.vehicle_id, reading.streams, _GoOn(go_on, tell))

    def _judge(self, device: Device, reading: Reading, tell: Tell, view: LedgerView | None) -> None:
        if view is None or not self._queue(device, reading, tell, view):
            tell(LONG_WAY)

    def _queue(self, device: Device, reading: Reading, tell: Tell, view: LedgerView) -> bool:
        self._means.catalogs.watch(view.epoch)
        etag = self._means.campaigns.known_etag(device.vehicle_id, view.changes)
        items, claims = to_queue(device.vehicle, reading, view.streams)
        lacking = self._means.catalogs.known_lacking(device.fleet_id, reading.catalogs)
        if etag is None or lacking is None or not (items or claims):
            return False
        go_on = partial(
            self._answer, reading, tell, partial(reply_json, reading, view, campaign=etag, catalogs=lacking)
        )
        return self._means.bus.put(shard_of(device.vehicle, self._means.shards), items, claims, _GoOn(go_on, tell))

    def _answer(
        self, reading: Reading, tell: Tell, reply: Callable[..., bytes], admitted: Admitted | Exception
    ) -> None:
        if isinstance(admitted, Admitted):
            self._means.metrics.took(reading, admitted.queued)
            tell(reply(bus=admitted.bus_id))
        else:
            tell(not_queued(admitted) if isinstance(admitted, BusDown | BusFull) else LONG_WAY)


class _GoOn(Generic[T]):
    """An asker that goes on where it is told the answer. Whatever happens there, others are told theirs."""

    __slots__ = ("_go_on", "_tell")

    def __init__(self, go_on: Callable[[T], None], tell: Tell) -> None:
        self._go_on = go_on
        self._tell = tell

    def done(self) -> bool:
        return False

    def set_result(self, result: T) -> None:
        try:
            self._go_on(result)
        except Exception:  # which the long way meets again, where it harms nobody else
            log.exception("not answered soon")
            self._tell(LONG_WAY)

    def cancel(self) -> None:
        """The process ends, and with it the connection."""
