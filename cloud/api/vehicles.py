"""The fleet's vehicles: where they are, what they do, what their signals say."""

import difflib
import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
from pydantic import TypeAdapter

from cloud.api.call import SQL, Call, vehicle_id
from cloud.api.cursor import read_cursor, write_cursor
from cloud.api.query import Query, VehiclesQuery
from cloud.api.replies import Latest, Position, Signal, Signals, Value, Vehicle, Vehicles
from cloud.api.times import to_ms
from cloud.problem import Problem
from cloud.vehicle_state import DRIVING_KMH, RECENT_MS, is_engine_speed, vehicle_state

_AHEAD = timedelta(days=1)
_AFTER = TypeAdapter(str)


@dataclass(frozen=True)
class KnownSignal:
    id: int
    name: str
    unit: str | None


async def list_vehicles(call: Call[VehiclesQuery, None]) -> Vehicles:
    query = call.query
    after = read_cursor(query.after, _AFTER) if query.after else None
    rows = await _select(call, search=query.q, after=after, limit=query.limit + 1)
    page = rows[: query.limit]
    following = write_cursor(page[-1]["ident"]) if len(rows) > query.limit else None
    return Vehicles(vehicles=[_vehicle(row, call.now) for row in page], next=following)


async def get_vehicle(call: Call[Query, None]) -> Vehicle:
    rows = await _select(call, only=call.path["id"], limit=1)
    if not rows:
        await vehicle_id(call)
        raise Problem(404, f"vehicle '{call.path['id']}' has just been removed")
    return _vehicle(rows[0], call.now)


async def list_signals(call: Call[Query, None]) -> Signals:
    rows = await call.db.fetch(SQL["vehicle_signals"], await vehicle_id(call))
    return Signals(
        signals=[
            Signal(
                name=row["name"],
                unit=row["unit"],
                min=row["min"],
                max=row["max"],
                choices=json.loads(row["choices"]) if row["choices"] else None,
            )
            for row in rows
        ]
    )


async def get_latest(call: Call[Query, None]) -> Latest:
    rows = await call.db.fetch(SQL["vehicle_latest"], await vehicle_id(call))
    vehicle = await get_vehicle(call)
    return Latest(
        signals={row["name"]: Value(t=row["t"], v=row["value"]) for row in rows},
        position=vehicle.position,
        state=vehicle.state,
        last_seen=vehicle.last_seen,
    )


async def known_signals(call: Call[Any, Any], names: Collection[str]) -> list[KnownSignal]:
    """The fleet's signals of these names, each once, in the order asked for. Raises Problem 404 for an unknown one."""
    rows = await call.db.fetch(SQL["signal_names"], call.fleet_id)
    known = {row["name"]: KnownSignal(row["id"], row["name"], row["unit"]) for row in rows}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"GET /v1/vehicles/{call.path['id']}/signals lists them"
            raise Problem(404, f"there is no signal '{name}'; {hint}")
    return [known[name] for name in dict.fromkeys(names)]


async def _select(
    call: Call[Any, Any], *, only: str | None = None, search: str | None = None, after: str | None = None, limit: int
) -> list[asyncpg.Record]:
    names = await call.db.fetch(SQL["signal_names"], call.fleet_id)
    return await call.db.fetch(
        SQL["vehicles"],
        call.fleet_id,
        only,
        search,
        after,
        limit,
        [row["id"] for row in names if is_engine_speed(row["name"])],
        call.now - timedelta(milliseconds=RECENT_MS),
        call.now + _AHEAD,
        DRIVING_KMH,
    )


def _vehicle(row: asyncpg.Record, now: datetime) -> Vehicle:
    return Vehicle(
        id=row["ident"],
        name=row["name"],
        state=vehicle_state(to_ms(now), seen_ms=row["seen_ms"], driven_ms=row["driven_ms"], engine_ms=row["engine_ms"]),
        last_seen=row["seen_ms"],
        position=_position(row),
    )


def _position(row: asyncpg.Record) -> Position | None:
    if row["fix_ms"] is None:
        return None
    return Position(
        t=row["fix_ms"],
        lat=row["lat"],
        lon=row["lon"],
        speed=row["speed"],
        course=row["course"],
        alt=row["alt"],
    )
