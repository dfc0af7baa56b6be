"""What a live client may ask for, parsed and bounded."""

import difflib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import from_json

from cloud.ws.wanted import Wanted
from wire.codec import describe

MAX_VEHICLES = 1000
MAX_SIGNALS = 1000
MAX_SUBSCRIPTIONS = 16
MAX_HZ = 20.0
EVERYTHING = "*"

_Id = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
_Name = Annotated[str, Field(min_length=1, max_length=512)]
_Longitude = Annotated[float, Field(ge=-180, le=180)]
_Latitude = Annotated[float, Field(ge=-90, le=90)]


class RequestError(ValueError):
    """A message that cannot be followed; `id` is the subscription that it was about, if it says."""

    def __init__(self, detail: str, subscription: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.id = subscription


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Subscribe(_Request):
    """Replaces a subscription of the same id. `bbox` is west, south, east, north; west > east crosses 180°."""

    op: Literal["subscribe"]
    id: _Id
    vehicles: Annotated[list[_Name], Field(max_length=MAX_VEHICLES)] = [EVERYTHING]
    signals: Annotated[list[_Name], Field(max_length=MAX_SIGNALS)] = [EVERYTHING]
    bbox: tuple[_Longitude, _Latitude, _Longitude, _Latitude] | None = None
    max_hz: Annotated[float, Field(gt=0, le=MAX_HZ)] = 2.0

    @model_validator(mode="after")
    def _box_is_upright(self) -> "Subscribe":
        if self.bbox and self.bbox[1] > self.bbox[3]:
            raise ValueError("bbox is [west, south, east, north], and its south lies north of its north")
        return self

    @property
    def of_vehicles(self) -> frozenset[str] | None:
        """None: all of the fleet."""
        return None if EVERYTHING in self.vehicles else frozenset(self.vehicles)

    @property
    def of_signals(self) -> Wanted | None:
        """None: all; nothing wanted: positions and states only."""
        return None if EVERYTHING in self.signals else Wanted.of(self.signals)


class Unsubscribe(_Request):
    op: Literal["unsubscribe"]
    id: _Id


class Ping(_Request):
    op: Literal["ping"]


Request = Subscribe | Unsubscribe | Ping
_OPS: dict[str, type[Subscribe] | type[Unsubscribe] | type[Ping]] = {
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "ping": Ping,
}


def parse_request(text: str) -> Request:
    """Raises RequestError that says what to send instead."""
    try:
        message: Any = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise RequestError(f"not JSON: {error}") from None
    if not isinstance(message, dict) or not isinstance(message.get("op"), str):
        raise RequestError('a message is a JSON object with "op": subscribe, unsubscribe or ping')
    asked = message.get("id")
    about = asked if type(asked) is int else None
    model = _OPS.get(message["op"])
    if model is None:
        near = difflib.get_close_matches(message["op"], _OPS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "there are subscribe, unsubscribe and ping"
        raise RequestError(f"there is no op {message['op'][:100]!r}; {hint}", about)
    try:
        return model.model_validate(message)
    except ValidationError as error:
        raise RequestError(describe(error), about) from None
