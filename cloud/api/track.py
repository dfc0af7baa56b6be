"""Where a vehicle was: its fixes in a span of time, in the format that is asked for."""

from typing import Annotated

from pydantic import Field, TypeAdapter

from cloud.api.call import SQL, Call, Document, vehicle_id
from cloud.api.cursor import read_cursor, write_cursor
from cloud.api.query import MAX_FIXES, TrackQuery
from cloud.api.replies import Track
from cloud.api.times import BEGINNING, END, from_us, to_us
from cloud.api.track_formats import TEXTS, Fix, geojson
from cloud.problem import Problem

PLACE = TypeAdapter(
    tuple[Annotated[int, Field(ge=to_us(BEGINNING), le=to_us(END))], Annotated[int, Field(ge=0, lt=2**31)]]
)
"""A cursor into facts ordered by time: µs since the epoch, and how many of that time are behind."""


async def get_track(call: Call[TrackQuery, None]) -> Track | Document:
    query, vehicle = call.query, call.path["id"]
    start_us, seen = read_cursor(query.after, PLACE) if query.after else (to_us(query.from_ or BEGINNING), 0)
    limit = query.limit or MAX_FIXES
    rows = await call.db.fetch(
        SQL["fixes"], await vehicle_id(call), from_us(start_us), seen, query.to or END, limit + 1
    )
    fixes = [Fix(to_us(row["ts"]), *row[1:]) for row in rows[:limit]]
    following = None
    if len(rows) > limit:
        if query.limit is None:
            raise Problem(400, f"more than {limit:,} fixes: ask for a shorter span, or page with limit and after")
        following = write_cursor(next_place([fix.t_us for fix in fixes], start_us, seen))
    if query.format == "geojson":
        return geojson(vehicle, fixes, start=query.from_, end=query.to, following=following)
    form = TEXTS[query.format]
    return Document(form.content_type, form.write(vehicle, fixes), f"{vehicle}.{form.extension}", following)


def next_place(page_us: list[int], start_us: int, seen: int) -> tuple[int, int]:
    """Where the page after one with these times begins, which itself began at `start_us` with `seen` left out."""
    last = page_us[-1]
    had = sum(1 for t_us in page_us if t_us == last)
    return last, had + (seen if last == start_us else 0)
