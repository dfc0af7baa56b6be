"""What a handler is given and what a route is made of."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from aiohttp import web
from pydantic import BaseModel

from cloud.access.auth import Principal
from cloud.api.query import Query
from cloud.api.replies import Shape
from cloud.database import Pool
from cloud.problem import Problem
from cloud.queries import load

Q = TypeVar("Q", bound=Query)
B = TypeVar("B", bound=BaseModel | None)

SQL = load("api")


class InFlight(Protocol):
    """Which of a vehicle's batches, named (stream, seq), wait in Redis to be written; none while it is down."""

    async def __call__(self, vehicle: str, batches: Sequence[tuple[str, int]]) -> Sequence[bool]: ...


@dataclass(frozen=True)
class Call(Generic[Q, B]):
    """One request, parsed and authorised."""

    db: Pool
    in_flight: InFlight
    principal: Principal
    path: dict[str, str]
    query: Q
    body: B
    now: datetime
    request: web.Request

    @property
    def fleet_id(self) -> int:
        return self.principal.fleet_id


@dataclass(frozen=True)
class Document:
    """A reply that is not JSON of a shape, whole and ready to send."""

    content_type: str
    text: str
    filename: str
    next: str | None = None


Reply = Shape | Document | web.Response | None


@dataclass(frozen=True)
class Route:
    """One operation: what it takes, what it answers, and who may ask (`role` None: anybody).

    `documents` are media types that a reply may have besides JSON, `refusals` statuses besides the common ones.
    """

    method: str
    path: str
    summary: str
    handler: Callable[[Call[Any, Any]], Awaitable[Reply]]
    reply: type[Shape] | tuple[type[Shape], ...] | None
    query: type[Query] = Query
    body: type[BaseModel] | None = None
    documents: tuple[str, ...] = ()
    role: str | None = "viewer"
    status: int = 200
    refusals: tuple[int, ...] = ()


async def vehicle_id(call: Call[Any, Any]) -> int:
    """The database's id of the vehicle in the path. Raises Problem 404 for one that this fleet has not."""
    found: int | None = await call.db.fetchval(SQL["vehicle_id"], call.fleet_id, call.path["id"])
    if found is None:
        raise Problem(404, f"there is no vehicle '{call.path['id']}'; GET /v1/vehicles lists them")
    return found
