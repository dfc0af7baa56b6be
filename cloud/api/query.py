"""Query parameters: from the URL into a frozen model, or a refusal that names what is wrong."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar, get_origin

from multidict import MultiMapping
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cloud.access.invites import LONGEST, SHORTEST
from cloud.api.times import Day, Time
from cloud.problem import Problem

MAX_LIMIT = 1000
MAX_RAW = 10_000
MAX_POINTS = 10_000
MAX_FIXES = 100_000
MAX_FRAMES = 100_000
MAX_SIGNALS = 100

Cursor = Annotated[str | None, Field(description="the `next` of the page before")]
Vehicle = Annotated[str | None, Field(description="only this vehicle")]
From = Annotated[Time | None, Field(alias="from", description="earliest time, RFC 3339; without it from the beginning")]
To = Annotated[Time | None, Field(description="time before which it ends, RFC 3339; without it all there is")]


class Query(BaseModel):
    """Base of every route's parameters; itself: none."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Span(Query):
    """`from` belongs to the span, `to` does not."""

    from_: From = None
    to: To = None

    @model_validator(mode="after")
    def _runs_forward(self) -> "Span":
        if self.from_ and self.to and self.from_ >= self.to:
            raise ValueError("from must lie before to")
        return self


class VehiclesQuery(Query):
    limit: int = Field(default=100, ge=1, le=MAX_LIMIT)
    after: Cursor = None
    q: str | None = Field(default=None, max_length=200, description="part of the id or name, in any case")


class SeriesQuery(Span):
    signal: list[str] = Field(
        min_length=1, max_length=MAX_SIGNALS, description="name of a signal; repeat it for several"
    )
    points: int = Field(default=1000, ge=1, le=MAX_POINTS, description="at most this many points for each signal")
    raw: bool = Field(default=False, description="every sample as it is stored, in pages")
    limit: int | None = Field(
        default=None, ge=1, le=MAX_RAW, description="with raw: samples a page, of all the signals together (1000)"
    )
    after: Cursor = None

    @model_validator(mode="after")
    def _pages_are_raw(self) -> "SeriesQuery":
        if not self.raw and (self.limit is not None or self.after is not None):
            raise ValueError("limit and after page raw samples: add raw=true, or leave them out")
        if self.raw and "points" in self.model_fields_set:
            raise ValueError("points thins, raw=true does not: choose one")
        return self


TrackFormat = Literal["geojson", "gpx", "kml", "csv"]


class TrackQuery(Span):
    format: TrackFormat = "geojson"
    limit: int | None = Field(
        default=None,
        ge=1,
        le=MAX_FIXES,
        description=f"fixes a page; without it the whole span, which is refused beyond {MAX_FIXES:,} fixes",
    )
    after: Cursor = None


class EventsQuery(Span):
    vehicle: Vehicle = None
    kind: str | None = Field(default=None, max_length=64)
    limit: int = Field(default=100, ge=1, le=MAX_LIMIT)
    after: Cursor = None


class SetAsideQuery(Query):
    vehicle: Vehicle = None
    limit: int = Field(default=100, ge=1, le=MAX_LIMIT)
    after: Cursor = None


class InviteQuery(Query):
    valid_s: int = Field(
        default=86_400,
        ge=int(SHORTEST.total_seconds()),
        le=int(LONGEST.total_seconds()),
        description="how long it holds",
    )


class FramesQuery(Span):
    bus: str | None = Field(default=None, max_length=64, description="only this bus")
    format: Literal["json", "candump"] = "json"
    limit: int | None = Field(
        default=None,
        ge=1,
        le=MAX_FRAMES,
        description=f"frames a page; without it the whole span, which is refused beyond {MAX_FRAMES:,} frames",
    )
    after: Cursor = None


class CampaignQuery(Query):
    version: int | None = Field(default=None, ge=1, le=2**31 - 1, description="without it the newest")


class DailyQuery(Query):
    from_: Annotated[Day | None, Field(alias="from", description="first UTC day; six days before the last")] = None
    to: Annotated[Day | None, Field(description="last UTC day, included; today")] = None
    vehicle: Vehicle = None
    format: Literal["json", "csv"] = "json"
    limit: int | None = Field(
        default=None, ge=1, le=MAX_LIMIT, description="vehicles a page (1,000); CSV without it is whole or refused"
    )
    after: Cursor = None

    @model_validator(mode="after")
    def _runs_forward(self) -> "DailyQuery":
        if self.from_ and self.to and self.from_ > self.to:
            raise ValueError("from must not lie after to")
        return self


Q = TypeVar("Q", bound=Query)


def parse_query(model: type[Q], parameters: MultiMapping[str]) -> Q:
    """Raises Problem 400 for an unknown parameter, one given twice, or a value that is not allowed."""
    known = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    values: dict[str, str | list[str]] = {}
    for name in dict.fromkeys(parameters):
        if name not in known:
            raise Problem(400, f"there is no parameter '{name}' here{_nearest(name, known)}")
        given = parameters.getall(name)
        if get_origin(known[name]) is list:
            values[name] = given
        elif len(given) > 1:
            raise Problem(400, f"'{name}' is given {len(given)} times and can be given once")
        else:
            values[name] = given[0]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise Problem(400, explain(error)) from None


def explain(error: ValidationError) -> str:
    """Every fault in one line, with its place."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc']))}: {message}" if fault["loc"] else message
        for fault in error.errors(include_url=False, include_context=False)
        for message in [fault["msg"].removeprefix("Value error, ")]
    )


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; there are {', '.join(known)}" if known else "; it takes none"
