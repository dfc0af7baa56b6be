"""The batch: what a vehicle sends, in its plain form.

Columns are parallel arrays. Every time is milliseconds after `t0`, which is Unix time in ms, UTC. The denser form that
our own agent sends is read and written by `wire.codec`; what arrives behind it is always this model.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from wire.names import MAX_SAFE_INTEGER, STREAM_PATTERN, VEHICLE_PATTERN

SafeInt = Annotated[int, Field(strict=True, ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER)]
Seq = Annotated[int, Field(strict=True, ge=0, le=MAX_SAFE_INTEGER)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
SignalName = Annotated[str, Field(min_length=1, max_length=512)]
Clock = Literal["trusted", "relabelled", "untrusted"]

LONGEST_BUS_NAME = 64
LONGEST_STANDARD_ID = 0x7FF
EXTENDED_ID = 0x80000000
"""Marks a 29-bit identifier that would fit into 11 bits, as Linux marks every 29-bit identifier."""

LATITUDE_LIMIT = 90.0
LONGITUDE_LIMIT = 180.0


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Frozen):
    """The samples of one signal: `v[i]` was measured at `t0 + dt[i]`; `q` flags the indices that are not good."""

    dt: list[SafeInt]
    v: list[Finite]
    q: dict[int, int] | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        _require_equal_length(len(self.dt), v=self.v)
        _require_rising(self.dt)
        if self.q and not all(0 <= index < len(self.dt) and 0 < flags < 2**15 for index, flags in self.q.items()):
            raise ValueError("q must map indices of the column to flags between 1 and 32767")
        return self


class Fixes(_Frozen):
    """Positions. `alt` m, `speed` km/h, `course` degrees true; all but `dt`, `lat` and `lon` may be absent or null."""

    dt: list[SafeInt]
    lat: list[Annotated[Finite, Field(ge=-LATITUDE_LIMIT, le=LATITUDE_LIMIT)]]
    lon: list[Annotated[Finite, Field(ge=-LONGITUDE_LIMIT, le=LONGITUDE_LIMIT)]]
    alt: list[Finite | None] | None = None
    speed: list[Finite | None] | None = None
    course: list[Finite | None] | None = None
    hdop: list[Finite | None] | None = None
    sats: list[Annotated[int, Field(strict=True, ge=0, le=255)] | None] | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        columns = {name: getattr(self, name) for name in ("lat", "lon", "alt", "speed", "course", "hdop", "sats")}
        _require_equal_length(len(self.dt), **columns)
        _require_rising(self.dt)
        return self


class Event(_Frozen):
    """Something that happened at `t` (Unix ms): a trouble code set, a clock step, a bus error."""

    t: SafeInt
    kind: str = Field(min_length=1, max_length=64)
    data: dict[str, JsonValue] = Field(default_factory=dict)

    def moved(self, shift_ms: int) -> Event:
        """The same at another time, once it is known by how much the clock was wrong."""
        return self.model_copy(update={"t": self.t + shift_ms}) if shift_ms else self


def _is_identifier(number: int) -> int:
    if 0 <= number <= 0x1FFFFFFF or EXTENDED_ID <= number <= EXTENDED_ID | LONGEST_STANDARD_ID:
        return number
    raise ValueError("an identifier has 11 or 29 bits; a 29-bit one up to 0x7FF is marked by adding 0x80000000")


class FrameBlock(_Frozen):
    """Raw CAN frames of one bus: arbitration ids and payloads in hex.

    An id above 0x7FF has 29 bits, one up to it 11, unless EXTENDED_ID is added.
    """

    bus: str = Field(max_length=LONGEST_BUS_NAME)
    dt: list[SafeInt]
    id: list[Annotated[int, Field(strict=True), AfterValidator(_is_identifier)]]
    data: list[Annotated[str, Field(pattern=r"^([0-9a-fA-F]{2}){0,64}$")]]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        _require_equal_length(len(self.dt), id=self.id, data=self.data)
        _require_rising(self.dt)
        return self


class Batch(_Frozen):
    """What one vehicle recorded in one span of time. (stream, seq) names it for ever; its content never changes."""

    v: Literal[1] = 1
    vehicle: str = Field(pattern=VEHICLE_PATTERN)
    stream: str = Field(pattern=STREAM_PATTERN)
    seq: Seq
    t0: SafeInt
    clock: Clock = "trusted"
    signals: dict[SignalName, Column] = Field(default_factory=dict)
    fixes: Fixes | None = None
    events: list[Event] = Field(default_factory=list)
    frames: list[FrameBlock] = Field(default_factory=list)
    catalog: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    @field_validator("signals", "events", "frames", mode="before")
    @classmethod
    def _absent_is_empty(cls, value: Any, info: Any) -> Any:
        if value is None:
            return {} if info.field_name == "signals" else []
        return value

    @property
    def sample_count(self) -> int:
        """How many samples it carries, fixes and events not counted."""
        return sum(len(column.dt) for column in self.signals.values())


def _require_equal_length(length: int, **columns: list[Any] | None) -> None:
    for name, column in columns.items():
        if column is not None and len(column) != length:
            raise ValueError(f"{name} has {len(column)} entries and dt has {length}: columns must be equally long")


def _require_rising(dt: list[int]) -> None:
    # sorted() of a sorted list is one pass in C, several times faster than comparing neighbours here.
    if dt != sorted(dt):
        raise ValueError("dt falls: the times of a column must never go back")
