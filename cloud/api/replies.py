"""Shapes of the history API's replies and request bodies. `t` and columns of times are ms since the Unix epoch."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from cloud.api.times import Time
from cloud.telemetry.plausible import Cause as AsideCause
from cloud.vehicle_state import State
from wire.campaign import Campaign
from wire.names import STREAM_PATTERN

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


class Rows(Shape):
    samples: int
    fixes: int
    events: int
    frames: int


class AsideOfStream(Rows):
    """Rows that arrived with a stream and wait aside. Without a stream: of a sender without a spool."""

    stream: str | None
    cause: AsideCause
    entries: int


class Fork(Shape):
    """Streams whose agents say that the run before theirs drew from the same one, `before`.

    One run follows another, so either an older image of the vehicle's disk was put back, or two agents send as this
    vehicle: then more than one of `streams` goes on growing.
    """

    before: str
    streams: list[str]


class Completeness(Shape):
    """`stored` is what a count of the rows gives: what came with streams (`streams`) and without (`unnumbered`), less
    what was `erased` and what `aged` out of the tables. `set_aside` arrived as well, and is not among them; nor is what
    was erased before it was stored (`erased` of each stream).
    """

    streams: list[Stream]
    forks: list[Fork]
    stored: Rows
    unnumbered: Rows
    erased: Rows
    aged: Rows
    set_aside: list[AsideOfStream]


class SetAside(Rows):
    """Rows of one batch whose times cannot be, from the first to the last of these times."""

    id: int
    vehicle: str
    stream: str | None
    seq: int | None
    cause: AsideCause
    at: Annotated[int, Field(description="when it arrived, ms since the Unix epoch")]
    from_: Annotated[Milliseconds, Field(alias="from")]
    to: Milliseconds


class SetAsideList(Shape):
    set_aside: list[SetAside]
    next: Cursor


class Release(Body):
    """Which rows of the vehicle, and what was wrong with its clock: exactly one of shift_ms, begin and as_it_is."""

    ids: list[int] | None = Field(default=None, min_length=1, max_length=1000)
    stream: str | None = Field(default=None, pattern=STREAM_PATTERN)
    cause: AsideCause | None = None
    shift_ms: int | None = Field(default=None, ge=-(2**53), le=2**53, description="the clock was wrong by so much")
    begin: Time | None = Field(default=None, description="when the first of these rows was recorded, RFC 3339")
    as_it_is: bool = Field(default=False, description="the times are right")

    @model_validator(mode="after")
    def _says_one_thing(self) -> "Release":
        if sum((self.shift_ms is not None, self.begin is not None, self.as_it_is)) != 1:
            raise ValueError("say what was wrong with the clock: one of shift_ms, begin and as_it_is")
        return self


class Released(Shape):
    """`refused` says of each entry that stays why."""

    entries: int
    rows: int
    erased: int
    refused: list[str]


class NewErasure(Body):
    """A span; without `from` from the beginning, without `to` up to now."""

    from_: Time | None = Field(default=None, alias="from", description="RFC 3339")
    to: Time | None = Field(default=None, description="RFC 3339; the span ends before it")


class Erasure(Rows):
    """Ordered, and in force from then on; `done_at` is null until nothing is left. `kept_apart` are rows that were set
    aside or lay in the dead letters.
    """

    id: int
    vehicle: str
    from_: Annotated[Milliseconds | None, Field(alias="from")]
    to: Milliseconds
    actor: str
    at: Milliseconds
    done_at: Milliseconds | None
    kept_apart: int


class Erasures(Shape):
    erasures: list[Erasure]


Days = Annotated[float | None, Field(description="null: for ever")]
NewDays = Annotated[float | None, Field(default=None, ge=1, le=36_500, description="null: for ever")]


class Retention(Shape):
    """For how many days each class of data is kept, by the time of its recording."""

    samples: Days
    fixes: Days
    events: Days
    frames: Days


class NewRetention(Body):
    """All classes at once; what is not named is kept for ever."""

    samples: NewDays
    fixes: NewDays
    events: NewDays
    frames: NewDays


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


class Frames(Shape):
    """Columns side by side, by time. `data` is hex; `extended` identifiers have 29 bits."""

    t: list[int]
    bus: list[str]
    id: list[int]
    extended: list[bool]
    data: list[str]
    next: Cursor


class CampaignInfo(Shape):
    """A campaign in its newest version; `vehicles` are meant to go by any of its versions."""

    id: str
    version: int
    etag: str
    note: str
    created_at: Milliseconds
    created_by: str
    vehicles: int


class Campaigns(Shape):
    campaigns: list[CampaignInfo]


class CampaignVersion(Shape):
    """One version, the others' numbers, and how many vehicles are meant to go by this one."""

    id: str
    version: int
    etag: str
    created_at: Milliseconds
    created_by: str
    vehicles: int
    versions: Annotated[list[int], Field(description="newest first")]
    campaign: Campaign


class CampaignChoice(Body):
    campaign: str = Field(max_length=64)
    version: Annotated[int | None, Field(ge=1, le=2**31 - 1, description="without it the newest")] = None


class AssignedCampaign(Shape):
    id: str
    version: int
    etag: str
    at: Milliseconds
    by: str


class ReportedCampaign(Shape):
    """The vehicle's own word: why it refused, what it goes by instead, and which rules match nothing there."""

    t: Milliseconds
    state: Annotated[str, Field(description="active, refused, or none: it goes by its own file")]
    id: str | None
    version: int | None
    etag: str | None
    reason: str | None
    instead: str | None
    idle: list[str]


class VehicleCampaign(Shape):
    """What a vehicle is meant to go by and what it made of it. `pending`: it has not said yet."""

    vehicle: str
    state: Literal["none", "pending", "active", "refused"]
    assigned: AssignedCampaign | None
    reported: ReportedCampaign | None


class ProblemDetails(Shape):
    """RFC 9457: `detail` says what to do."""

    type: str
    title: str
    status: int
    detail: str
