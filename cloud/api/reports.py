"""Reports: rows that answer a question over days, as JSON or CSV."""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

import asyncpg
from pydantic import TypeAdapter

from cloud.api.call import SQL, Call, Document
from cloud.api.cursor import read_cursor, write_cursor
from cloud.api.query import MAX_LIMIT, DailyQuery, Query
from cloud.api.replies import Daily, DailyRow, ReportInfo, ReportParameter, Reports
from cloud.api.times import END, to_ms
from cloud.problem import Problem
from cloud.vehicle_state import DRIVING_KMH

MAX_DAYS = 366
STEP_AT_MOST_S = 60.0
VEHICLES_AT_ONCE = 20

_WEEK = timedelta(days=6)
_DAY = timedelta(days=1)
_AFTER = TypeAdapter(str)

DAILY = ReportInfo(
    name="daily",
    title="Daily summary",
    description=(
        "Each vehicle's UTC days. distance_km sums the great-circle steps between consecutive fixes, each on the day "
        "in which it ends; driving_s the steps of at most 60 s above 5 km/h. Days without data have no row."
    ),
    parameters=[
        ReportParameter(name=field.alias or name, description=field.description or "")
        for name, field in DailyQuery.model_fields.items()
    ],
)


async def list_reports(call: Call[Query, None]) -> Reports:
    return Reports(reports=[DAILY])


async def get_daily(call: Call[DailyQuery, None]) -> Daily | Document:
    """Per vehicle and UTC day: distance, driving time, highest speed, first and last fact, and how many there are."""
    query = call.query
    first, last = span(query.from_, query.to, call.now.date())
    after = read_cursor(query.after, _AFTER) if query.after else None
    limit = query.limit or MAX_LIMIT
    vehicles = await call.db.fetch(SQL["report_vehicles"], call.fleet_id, query.vehicle, after, limit + 1)
    if len(vehicles) > limit and query.format == "csv" and query.limit is None:
        raise Problem(400, f"more than {limit:,} vehicles do not fit one file: page with limit and after")
    if query.vehicle is not None and not vehicles and after is None:
        raise Problem(404, f"there is no vehicle '{query.vehicle}'; GET /v1/vehicles lists them")
    page = {row["id"]: row["ident"] for row in vehicles[:limit]}
    rows: list[DailyRow] = []
    ids = list(page)
    for start in range(0, len(ids), VEHICLES_AT_ONCE):
        some = ids[start : start + VEHICLES_AT_ONCE]
        found = await call.db.fetch(SQL["daily"], some, _midnight(first), _end(last), STEP_AT_MOST_S, DRIVING_KMH)
        rows += sorted((_row(page[row["vehicle_id"]], row) for row in found), key=lambda row: (row.vehicle, row.day))
    following = write_cursor(list(page.values())[-1]) if len(vehicles) > limit else None
    if query.format == "csv":
        return Document("text/csv", to_csv(rows), f"daily-{first}-{last}.csv", following)
    return Daily(rows=rows, next=following)


def span(first: date | None, last: date | None, today: date) -> tuple[date, date]:
    """The days a report covers, both included. Raises Problem 400 for more than a year."""
    end = last or (max(first, today) if first else today)
    start = first or max(end, date.min + _WEEK) - _WEEK
    if (end - start).days >= MAX_DAYS:
        raise Problem(400, f"{start} to {end} are more than {MAX_DAYS} days; ask for fewer at a time")
    return start, end


def to_csv(rows: Iterable[DailyRow]) -> str:
    out = io.StringIO()
    table = csv.DictWriter(out, list(DailyRow.model_fields))
    table.writeheader()
    table.writerows(row.model_dump() for row in rows)
    return out.getvalue()


def _row(vehicle: str, row: asyncpg.Record) -> DailyRow:
    return DailyRow(
        vehicle=vehicle,
        day=row["day"].isoformat(),
        distance_km=round(row["distance_km"], 6),
        driving_s=round(row["driving_s"], 3),
        max_speed_kmh=row["max_speed"],
        first_seen=to_ms(row["first"]),
        last_seen=to_ms(row["last"]),
        samples=row["samples"],
        fixes=row["fixes"],
        events=row["events"],
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _end(day: date) -> datetime:
    return END if day == date.max else _midnight(day + _DAY)
