"""What devices reported: trouble codes, clock steps, bus errors."""

import json

from cloud.api.call import SQL, Call
from cloud.api.cursor import read_cursor, write_cursor
from cloud.api.query import EventsQuery
from cloud.api.replies import Event, Events
from cloud.api.times import BEGINNING, END, from_us, to_ms, to_us
from cloud.api.track import PLACE, next_place
from cloud.problem import Problem


async def list_events(call: Call[EventsQuery, None]) -> Events:
    """Newest first. The cursor is the time of the last one shown, and how many of that time have been."""
    query = call.query
    vehicle = None
    if query.vehicle is not None:
        vehicle = await call.db.fetchval(SQL["vehicle_id"], call.fleet_id, query.vehicle)
        if vehicle is None:
            raise Problem(404, f"there is no vehicle '{query.vehicle}'; GET /v1/vehicles lists them")
    end, seen = query.to or END, 0
    if query.after:
        last_us, seen = read_cursor(query.after, PLACE)
        end = from_us(min(last_us + 1, to_us(END)))
    rows = await call.db.fetch(
        SQL["events"], call.fleet_id, vehicle, query.kind, query.from_ or BEGINNING, end, seen, query.limit + 1
    )
    page = rows[: query.limit]
    following = None
    if len(rows) > query.limit:
        following = write_cursor(next_place([to_us(row["ts"]) for row in page], to_us(end) - 1, seen))
    return Events(
        events=[
            Event(vehicle=row["ident"], t=to_ms(row["ts"]), kind=row["kind"], data=json.loads(row["data"]))
            for row in page
        ],
        next=following,
    )
