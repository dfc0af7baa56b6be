"""Raw frames of a vehicle's captures, as columns or as a candump log."""

from cloud.api.call import SQL, Call, Document, vehicle_id
from cloud.api.cursor import read_cursor, write_cursor
from cloud.api.query import MAX_FRAMES, FramesQuery
from cloud.api.replies import Frames
from cloud.api.times import BEGINNING, END, from_us, to_ms, to_us
from cloud.api.track import PLACE, next_place
from cloud.problem import Problem
from wire.candump import candump_line, split_identifier


async def get_frames(call: Call[FramesQuery, None]) -> Frames | Document:
    """By time; those of one bus and millisecond in the order in which the vehicle heard them."""
    query = call.query
    start_us, seen = read_cursor(query.after, PLACE) if query.after else (to_us(query.from_ or BEGINNING), 0)
    limit = query.limit or MAX_FRAMES
    rows = await call.db.fetch(
        SQL["frames"], await vehicle_id(call), from_us(start_us), seen, query.to or END, limit + 1, query.bus
    )
    page = rows[:limit]
    following = None
    if len(rows) > limit:
        if query.limit is None:
            raise Problem(400, f"more than {limit:,} frames: ask for a shorter span, or page with limit and after")
        following = write_cursor(next_place([to_us(row["ts"]) for row in page], start_us, seen))
    split = [split_identifier(row["arb_id"]) for row in page]
    if query.format == "candump":
        lines = (
            candump_line(to_us(row["ts"]), row["bus"], identifier, row["data"], is_extended=is_extended)
            for row, (identifier, is_extended) in zip(page, split, strict=True)
        )
        return Document("text/plain", "".join(lines), f"{call.path['id']}.log", following)
    return Frames(
        t=[to_ms(row["ts"]) for row in page],
        bus=[row["bus"] for row in page],
        id=[identifier for identifier, _ in split],
        extended=[is_extended for _, is_extended in split],
        data=[row["data"].hex() for row in page],
        next=following,
    )
