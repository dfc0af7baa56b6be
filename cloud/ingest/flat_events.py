"""Flat events of senders without a spool, read into batches that nobody numbered."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import to_json

from cloud.ingest.storable import problem_of
from cloud.problem import Problem
from wire.catalog import canonical_json
from wire.codec import describe
from wire.model import Batch, Column, Event, Finite, Fixes, SignalName
from wire.names import VEHICLE_PATTERN

NO_STREAM: Final = "00000000-0000-0000-0000-000000000000"
EVENTS_AT_ONCE: Final = 1_000


def _unix_ms(value: Any) -> Any:
    """RFC 3339 with an offset, or Unix ms."""
    if not isinstance(value, str):
        return value
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("time is RFC 3339, as 2026-01-31T12:00:00Z, or Unix time in ms") from None
    if time.tzinfo is None:
        raise ValueError("time needs an offset, as in 2026-01-31T12:00:00Z")
    return round((time - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)


class FlatEvent(BaseModel):
    """What happened at one moment: a position, values, or an event of some kind, or all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vehicle: str | None = Field(default=None, pattern=VEHICLE_PATTERN)
    time: Annotated[int, BeforeValidator(_unix_ms), Field(strict=True)]
    id: str | None = Field(default=None, min_length=1, max_length=256)
    lat: Finite | None = Field(default=None, ge=-90, le=90)
    lon: Finite | None = Field(default=None, ge=-180, le=180)
    alt: Finite | None = None
    speed: Finite | None = None
    course: Finite | None = None
    hdop: Finite | None = None
    sats: Annotated[int, Field(strict=True, ge=0, le=255)] | None = None
    signals: dict[SignalName, Finite] = Field(default_factory=dict)
    kind: str | None = Field(default=None, min_length=1, max_length=64)
    data: dict[str, JsonValue] = Field(default_factory=dict)

    def as_batch(self, vehicle: str) -> Batch:
        return Batch(
            vehicle=vehicle,
            stream=NO_STREAM,
            seq=0,
            t0=self.time,
            signals={name: Column(dt=[0], v=[value]) for name, value in self.signals.items()},
            fixes=self._fix(),
            events=[Event(t=self.time, kind=self.kind, data=self.data)] if self.kind else [],
        )

    def _fix(self) -> Fixes | None:
        if self.lat is None or self.lon is None:
            return None
        return Fixes(
            dt=[0],
            lat=[self.lat],
            lon=[self.lon],
            alt=[self.alt],
            speed=[self.speed],
            course=[self.course],
            hdop=[self.hdop],
            sats=[self.sats],
        )


@dataclass(frozen=True)
class KeyedBatch:
    """`key` tells a repeat: the sender's id, or what the event says."""

    key: bytes
    batch: Batch


def read_events(value: Any, vehicle: str) -> list[KeyedBatch]:
    """One object or a list of them. Raises Problem 403, 413 or 422; then none is taken."""
    events = value if isinstance(value, list) else [value]
    if len(events) > EVENTS_AT_ONCE:
        raise Problem(413, f"{len(events)} events; at most {EVENTS_AT_ONCE} at once")
    return [_read(index, event, vehicle) for index, event in enumerate(events)]


def _read(index: int, value: Any, vehicle: str) -> KeyedBatch:
    if not isinstance(value, dict):
        raise Problem(422, f"event {index}: an event is a JSON object, and there may be a list of them")
    try:
        event = FlatEvent.model_validate(value)
        batch = event.as_batch(vehicle)
    except ValidationError as error:
        raise Problem(422, f"event {index}: {describe(error)}") from error
    if event.vehicle not in (None, vehicle):
        raise Problem(403, f"event {index} is of vehicle '{event.vehicle}', and this token belongs to '{vehicle}'")
    if (event.lat is None) != (event.lon is None):
        raise Problem(422, f"event {index}: lat and lon come together")
    if not (event.signals or event.kind or event.lat is not None):
        raise Problem(422, f"event {index} says nothing: it needs lat and lon, signals or a kind")
    if problem := problem_of(batch, to_json(value)):
        raise Problem(422, f"event {index}: {problem}")
    identity = b"id:" + event.id.encode() if event.id else canonical_json(value)
    return KeyedBatch(hashlib.blake2b(identity, digest_size=16).digest(), batch)
