"""A campaign: which signals a vehicle keeps and how, and what starts a capture of raw frames. Both ends check the same.

A document is JSON (or TOML in files). (id, version) names it for ever, its etag is the hash of its bytes.
"""

from __future__ import annotations

import hashlib
import tomllib
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from wire.catalog import canonical_json
from wire.expression import ExpressionError, parse_condition

NO_CAMPAIGN: Final = "none"
"""Where an etag is expected: no campaign is meant for this vehicle, it goes by its own file."""

MOST_BYTES: Final = 200_000
CAMPAIGN_ID: Final = r"^[a-z0-9][a-z0-9_.-]{0,63}$"

Aggregate = Literal["count", "min", "max", "mean", "last"]
Milliseconds = Annotated[int, Field(strict=True, ge=0, le=7 * 86_400_000)]
Seconds = Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)]
Distance = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Pattern = Annotated[str, Field(min_length=1, max_length=512)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Policy(_Section):
    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        chosen = [name for name in ("every", "off", "aggregate") if getattr(self, name)]
        if len(chosen) > 1:
            raise ValueError(f"{chosen[0]} and {chosen[1]} exclude each other")
        return self


class SamplingRule(_Policy):
    """A rule for the signals whose Message.Signal matches; what it does not say, the section says."""

    match: Pattern
    min_interval_ms: Milliseconds | None = None
    max_interval_ms: Milliseconds | None = None
    deadband: Distance | None = None
    deadband_percent: Distance | None = None
    every: bool | None = None
    off: bool | None = None
    aggregate: tuple[Aggregate, ...] | None = None
    window_ms: Annotated[Milliseconds, Field(ge=1)] | None = None


class Sampling(_Policy):
    """How many of the samples are kept. With `aggregate` a signal is told by its windows of `window_ms` alone."""

    min_interval_ms: Milliseconds = 100
    max_interval_ms: Milliseconds = 10_000
    deadband: Distance = 0.0
    deadband_percent: Distance = 0.0
    every: bool = False
    off: bool = False
    aggregate: tuple[Aggregate, ...] = ()
    window_ms: Annotated[Milliseconds, Field(ge=1)] = 10_000
    rule: tuple[SamplingRule, ...] = Field(default=(), max_length=1_000)


class Capture(_Section):
    """Raw frames of all buses around the moment at which `when` becomes true."""

    name: str = Field(pattern=CAMPAIGN_ID)
    when: str
    before_s: Seconds = 5.0
    after_s: Seconds = 10.0
    cooldown_s: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 60.0  # from its end to the next one
    most_per_day: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 50

    @field_validator("when")
    @classmethod
    def _is_a_condition(cls, text: str) -> str:
        try:
            parse_condition(text)
        except ExpressionError as error:
            raise ValueError(f"{error}: {text}") from error
        return text


class Campaign(_Section):
    """The whole document."""

    id: str = Field(pattern=CAMPAIGN_ID)
    version: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
    note: str = Field(default="", max_length=2_000)
    sampling: Sampling = Sampling()
    capture: tuple[Capture, ...] = Field(default=(), max_length=100)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [capture.name for capture in self.capture]
        if repeated := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two captures are called {repeated!r}")
        return self

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        if (size := len(campaign_body(self))) > MOST_BYTES:
            raise ValueError(f"it has {size:,} bytes as JSON, and {MOST_BYTES:,} are the most")
        return self


class CampaignError(ValueError):
    """A document that is no campaign; its text says in a line what is wrong and where."""


def campaign_body(campaign: Campaign) -> bytes:
    """The bytes that go over the wire: canonical JSON of what the document says and defaults do not."""
    return canonical_json(campaign.model_dump(mode="json", exclude_defaults=True))


def campaign_etag(body: bytes) -> str:
    """Names the content of a campaign, by its bytes as they go over the wire."""
    return hashlib.sha256(body).hexdigest()[:32]


def read_campaign(source: bytes | str | dict[str, Any]) -> Campaign:
    """Of JSON, or of what was parsed already. Raises CampaignError."""
    try:
        if isinstance(source, dict):
            return Campaign.model_validate(source)
        return Campaign.model_validate_json(source)
    except ValidationError as error:
        raise CampaignError(explain(error)) from None


def read_campaign_toml(text: str) -> Campaign:
    """Raises CampaignError."""
    try:
        return read_campaign(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise CampaignError(f"not TOML: {error}") from None


def explain(error: ValidationError) -> str:
    """The first fault in a line, with its place, and the nearest known key where a key is unknown."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part)[:80] for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        *section, key = (str(part) for part in first["loc"] if isinstance(part, str))
        known = sorted(_SECTIONS[tuple(section)].model_fields)
        near = get_close_matches(key, known, n=1, cutoff=0.0)
        return f"{place}: unknown key{f'; did you mean {near[0]!r}?' if near else ''}{more}"
    if first["type"] == "missing":
        return f"{place}: is missing{more}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}{more}" if place else f"{message}{more}"


_SECTIONS: dict[tuple[str, ...], type[BaseModel]] = {
    (): Campaign,
    ("sampling",): Sampling,
    ("sampling", "rule"): SamplingRule,
    ("capture",): Capture,
}
