"""What is kept and for how long: retention, erasures, rows set aside. Every change goes to the audit log."""

import json
from datetime import datetime, timedelta
from typing import Any

import asyncpg
from pydantic import TypeAdapter

from cloud.api.call import SQL, Call, vehicle_id
from cloud.api.cursor import read_cursor, write_cursor
from cloud.api.query import Query, SetAsideQuery
from cloud.api.replies import (
    Erasure,
    Erasures,
    NewErasure,
    NewRetention,
    Release,
    Released,
    Retention,
    SetAside,
    SetAsideList,
)
from cloud.api.times import to_ms
from cloud.errors import SetAsideError
from cloud.problem import Problem
from cloud.telemetry import erasure, retention, set_aside
from cloud.telemetry.set_aside import Choice, Correction
from cloud.telemetry.store import Store

_AFTER = TypeAdapter(int)
_DAY = timedelta(days=1)


async def list_set_aside(call: Call[SetAsideQuery, None]) -> SetAsideList:
    query = call.query
    choice = Choice(vehicle=query.vehicle, fleet_id=call.fleet_id)
    after = read_cursor(query.after, _AFTER) if query.after else 0
    rows = await set_aside.list_entries(call.db, choice, after=after, limit=query.limit + 1)
    page = rows[: query.limit]
    return SetAsideList(
        set_aside=[_entry(row) for row in page],
        next=write_cursor(page[-1]["id"]) if len(rows) > query.limit else None,
    )


async def release_set_aside(call: Call[Query, Release]) -> Released:
    wanted, vehicle = call.body, call.path["id"]
    await vehicle_id(call)
    choice = Choice(wanted.ids, vehicle, wanted.stream, wanted.cause, call.fleet_id)
    correction = Correction(wanted.shift_ms or 0, wanted.begin, wanted.as_it_is)
    try:
        outcome = await set_aside.release(Store(call.db), call.db, choice, correction, now=call.now)
    except SetAsideError as error:
        raise Problem(404, str(error)) from error
    said = wanted.model_dump(mode="json", exclude_defaults=True)
    await _audit(call, "set_aside.release", vehicle=vehicle, entries=outcome.entries, rows=outcome.rows, **said)
    return Released(entries=outcome.entries, rows=outcome.rows, erased=outcome.erased, refused=outcome.refused)


async def order_erasure(call: Call[Query, NewErasure]) -> Erasure:
    """The reply does not wait for it to be carried out; a writer does that within seconds."""
    begin, end = call.body.from_, call.body.to or call.now
    if end > call.now:
        raise Problem(400, "to lies in the future: what was not recorded yet cannot be erased")
    if begin and begin >= end:
        raise Problem(400, "from must lie before to")
    vehicle = await vehicle_id(call)
    number = await erasure.order(call.db, vehicle, begin=begin, end=end, actor=call.principal.name)
    span = {"from": begin and begin.isoformat(), "to": end.isoformat()}
    await _audit(call, "erasure.order", vehicle=call.path["id"], erasure=number, **span)
    found = await erasure.list_erasures(call.db, call.path["id"], call.fleet_id)
    return next(_erasure(row) for row in found if row["id"] == number)


async def list_erasures(call: Call[Query, None]) -> Erasures:
    await vehicle_id(call)
    rows = await erasure.list_erasures(call.db, call.path["id"], call.fleet_id)
    return Erasures(erasures=[_erasure(row) for row in rows])


async def get_retention(call: Call[Query, None]) -> Retention:
    kept = await retention.fleet_settings(call.db, call.fleet_id)
    return Retention(**{kind: kept[kind] / _DAY if kind in kept else None for kind in retention.CLASSES})


async def put_retention(call: Call[Query, NewRetention]) -> Retention:
    days = call.body.model_dump()
    async with call.db.acquire() as connection, connection.transaction():
        for kind, number in days.items():
            keep = None if number is None else timedelta(days=number)
            await retention.set_retention(connection, call.fleet_id, kind, keep)
    await _audit(call, "retention.set", days=days)
    return Retention(**days)


def _entry(row: asyncpg.Record) -> SetAside:
    return SetAside(
        id=row["id"],
        vehicle=row["vehicle"],
        stream=row["stream"],
        seq=row["seq"],
        cause=row["cause"],
        at=to_ms(row["at"]),
        from_=to_ms(row["t_from"]),
        to=to_ms(row["t_to"]),
        samples=row["samples"],
        fixes=row["fixes"],
        events=row["events"],
        frames=row["frames"],
    )


def _erasure(row: asyncpg.Record) -> Erasure:
    return Erasure(
        id=row["id"],
        vehicle=row["vehicle"],
        from_=_ms(row["t_from"]),
        to=to_ms(row["t_to"]),
        actor=row["actor"],
        at=to_ms(row["at"]),
        done_at=_ms(row["done_at"]),
        samples=row["samples"],
        fixes=row["fixes"],
        events=row["events"],
        frames=row["frames"],
        kept_apart=row["kept_apart"],
    )


def _ms(instant: datetime | None) -> int | None:
    return None if instant is None else to_ms(instant)


async def _audit(call: Call[Any, Any], action: str, **data: object) -> None:
    await call.db.execute(SQL["audit"], call.principal.name, action, json.dumps(data))
