"""What a message from the MQTT broker asks for, and what is said to it: the same as over HTTP.

The broker vouches for the vehicle: only a vehicle itself may publish below `fleetwire/<vehicle>/`.
"""

import json
import time
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs

from cloud.access.accounts import Device
from cloud.ingest.body import unpack_aside
from cloud.ingest.devices import Devices
from cloud.ingest.metrics import IngestMetrics
from cloud.ingest.service import Ingest
from cloud.ingest.turns import Turns
from cloud.problem import Problem
from wire.catalog import catalog_hash
from wire.names import is_vehicle

TOPICS: Final = ("batch", "catalog", "campaign")
"""Below a vehicle's own: what it may send. Whatever is sent to `campaign` asks for it."""

_MAGIC: Final = {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b": "gzip"}


@dataclass(frozen=True, slots=True)
class Said:
    """The answer, and where to."""

    topic: str
    body: bytes


class Bridge:
    def __init__(
        self, ingest: Ingest, devices: Devices, metrics: IngestMetrics, *, body_bytes: int, plain_bytes: int
    ) -> None:
        self._ingest = ingest
        self._devices = devices
        self._metrics = metrics
        self._body_bytes = body_bytes
        self._plain_bytes = plain_bytes
        self._turns = Turns()

    async def answer(self, topic: str, payload: bytes) -> Said | None:
        """Returns when the queue has what was sent, or the vehicle can be told why not. None for no topic of ours."""
        root, _, rest = topic.partition("/")
        vehicle, _, what = rest.partition("/")
        if root != "fleetwire" or not is_vehicle(vehicle) or what not in TOPICS:
            return None
        began = time.perf_counter()
        status = 200
        try:
            with self._turns.of(vehicle):
                body = await self._take(vehicle, what, payload)
        except Problem as problem:
            status, body = problem.status, _problem_json(problem)
        self._metrics.requests.labels(f"mqtt {what}", status).inc()
        self._metrics.seconds.labels(f"mqtt {what}").observe(time.perf_counter() - began)
        return Said(f"fleetwire/{vehicle}/reply", body)

    async def _take(self, vehicle: str, what: str, payload: bytes) -> bytes:
        if len(payload) > self._body_bytes:
            raise Problem(413, f"the message is larger than {self._body_bytes} bytes; send fewer batches at once")
        device = await self._devices.vouched_for(vehicle)
        unpacked = await unpack_aside(payload, _coding(payload), plain_limit=self._plain_bytes)
        if what == "batch":
            return await self._ingest.take_batches(device, unpacked)
        if what == "campaign":
            return await self._ingest.campaign(device)
        return await self._take_catalog(device, unpacked.plain)

    async def _take_catalog(self, device: Device, plain: bytes) -> bytes:
        name = catalog_hash(plain)
        await self._ingest.put_catalog(device, name, plain)
        return json.dumps({"status": 204, "catalog": name}).encode()


def _coding(payload: bytes) -> str:
    return next((coding for magic, coding in _MAGIC.items() if payload.startswith(magic)), "identity")


def _problem_json(problem: Problem) -> bytes:
    value: dict[str, object] = {**problem.as_json()}
    if hdrs.RETRY_AFTER in problem.headers:
        value["retry_after"] = int(problem.headers[hdrs.RETRY_AFTER])
    return json.dumps(value).encode()
