"""Shapes of the history API's replies and request bodies. `t` and columns of times are ms since the Unix epoch."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from cloud.vehicle_state import State

Role = Literal["admin", "dispatcher", "viewer"]
Milliseconds = Annotated[int, Field(description="ms since the Unix epoch")]
Cursor = Annotated[str | None, Field(description="pass it on as `after` for the next page; null: this was the last")]
SeqRange = Annotated[tuple[int, int], Field(description="first and last sequence number, both included")]


class Shape(BaseModel):
    """Base of everything that goes over the wire here."""

    model_config = ConfigDict(
        frozen=True, populate_by_name=True, serialize_by_alias=True, json_schema_serialization_defaults_required=True
    )


class Body(Shape):
    """Base of what a request carries."""

    model_config = ConfigDict(extra="forbid")


class Credentials(Body):
    user: str = Field(max_length=100)
    password: SecretStr = Field(max_length=1000)


class Session(Shape):
    user: str
    role: Role


class Position(Shape):
    """Speed in km/h, course in degrees true, altitude in m."""

    t: Milliseconds
    lat: float
    lon: float
    speed: float | None
    course: float | None
    alt: float | None


class Vehicle(Shape):
    id: str
    name: str
    state: State
    last_seen: Milliseconds | None
    position: Position | None


class Vehicles(Shape):
    vehicles: list[Vehicle]
    next: Cursor


class Signal(Shape):
    name: str
    unit: str | None
    min: float | None
    max: float | None
    choices: Annotated[dict[str, str] | None, Field(description="text of each scaled value that has one")]


class Signals(Shape):
    signals: list[Signal]


class Value(Shape):
    t: Milliseconds
    v: float


class Latest(Shape):
    signals: dict[str, Value]
    position: Position | None
    state: State
    last_seen: Milliseconds | None


class Buckets(Shape):
    """Columns side by side: `t` where a bucket begins; of its samples `min`, `max`, `mean` and their number `n`."""

    unit: str | None
    t: list[int]
    min: list[float]
    max: list[float]
    mean: list[float]
    n: list[int]


class Samples(Shape):
    """Columns side by side, in order of time; samples of one ms in the order in which they were stored."""

    unit: str | None
    t: list[int]
    v: list[float]


class Series(Shape):
    series: dict[str, Buckets]


class RawSeries(Shape):
    series: dict[str, Samples]
    next: Cursor


class LineString(Shape):
    type: Literal["LineString"] = "LineString"
    coordinates: list[list[float]]


class Point(Shape):
    type: Literal["Point"] = "Point"
    coordinates: list[float]


class TrackProperties(Shape):
    """`times` and `speeds` (km/h) run beside the coordinates."""

    vehicle: str
    from_: Annotated[Milliseconds | None, Field(alias="from")]
    to: Milliseconds | None
    times: list[int]
    speeds: list[float | None]
    next: Cursor


class Track(Shape):
    """A GeoJSON feature: [lon, lat] or [lon, lat, alt]. One fix is a Point, none has no geometry."""

    type: Literal["Feature"] = "Feature"
    geometry: LineString | Point | None
    properties: TrackProperties


class Loss(Shape):
    from_: Annotated[int, Field(alias="from", description="first sequence number")]
    to: Annotated[int, Field(description="last sequence number, included")]
    cause: str


class Stream(Shape):
    """What became of a stream's batches [0, `next`). `pending`: of the gaps, some are in Redis, about to be written."""

    stream: str
    next: int
    received: tuple[SeqRange, ...]
    dead: tuple[SeqRange, ...]
    lost: list[Loss]
    gaps: tuple[SeqRange, ...]
    pending: bool
    samples: int
    fixes: int
    events: int
    erased: int


class Completeness(Shape):
    streams: list[Stream]


class Event(Shape):
    vehicle: str
    t: Milliseconds
    kind: str
    data: dict[str, Any]


class Events(Shape):
    events: list[Event]
    next: Cursor


class ReportParameter(Shape):
    name: str
    description: str


class ReportInfo(Shape):
    name: str
    title: str
    description: str
    parameters: list[ReportParameter]


class Reports(Shape):
    reports: list[ReportInfo]


class DailyRow(Shape):
    """A vehicle's UTC day, as far as anything was recorded on it."""

    vehicle: str
    day: Annotated[str, Field(description="YYYY-MM-DD, UTC")]
    distance_km: Annotated[float, Field(description="great-circle steps between consecutive fixes")]
    driving_s: Annotated[float, Field(description="time in steps of at most 60 s above 5 km/h")]
    max_speed_kmh: float | None
    first_seen: Milliseconds
    last_seen: Milliseconds
    samples: int
    fixes: int
    events: int


class Daily(Shape):
    rows: list[DailyRow]
    next: Cursor


class User(Shape):
    name: str
    role: Role
    created_at: Milliseconds


class Users(Shape):
    users: list[User]


class NewUser(Body):
    name: str = Field(min_length=1, max_length=100)
    password: SecretStr = Field(min_length=8, max_length=1000)
    role: Role


class Token(Shape):
    name: str
    role: Role
    created_at: Milliseconds
    last_used_at: Milliseconds | None


class Tokens(Shape):
    tokens: list[Token]


class NewToken(Body):
    name: str = Field(min_length=1, max_length=100)
    role: Role


class IssuedToken(Shape):
    """The token is shown this once; only its hash is kept."""

    name: str
    role: Role
    token: str


class DeviceToken(Shape):
    """What the vehicle's agent sends as `Authorization: Bearer`. Shown this once; only its hash is kept."""

    vehicle: str
    token: str


class Invite(Shape):
    """A code for `fleetwire edge enroll`, good once. Shown this once; only its hash is kept."""

    vehicle: str
    code: str
    expires_at: Milliseconds


class ProblemDetails(Shape):
    """RFC 9457: `detail` says what to do."""

    type: str
    title: str
    status: int
    detail: str
