"""What became of every batch that a vehicle ever drew a number for."""

from collections.abc import Sequence
from itertools import islice

import asyncpg

from cloud.api.call import SQL, Call, vehicle_id
from cloud.api.query import Query
from cloud.api.replies import AsideOfStream, Completeness, Fork, Loss, Rows, Stream
from wire.ranges import RangeSet

GAPS_ASKED = 5000
TAIL_ASKED = 100

_NONE = Rows(samples=0, fixes=0, events=0, frames=0)


async def get_completeness(call: Call[Query, None]) -> Completeness:
    """The ledger is read again after Redis was asked, so that a batch written in between is not missing from both."""
    vehicle = await vehicle_id(call)
    rows = await call.db.fetch(SQL["streams"], vehicle)
    asked = [(row["stream"], seq) for row in rows for seq in _unsettled(row)]
    found = await call.in_flight(call.path["id"], asked)
    queued = [batch for batch, is_queued in zip(asked, found, strict=True) if is_queued]
    losses = await call.db.fetch(SQL["losses"], vehicle)
    tallies = {row["what"]: _rows(row) for row in await call.db.fetch(SQL["tallies"], vehicle)}
    counted = [tallies.get(what, _NONE) for what in ("numbered", "unnumbered", "erased", "aged")]
    return Completeness(
        forks=[Fork(**row) for row in await call.db.fetch(SQL["forks"], vehicle)],
        stored=_stored(*counted),
        unnumbered=counted[1],
        erased=counted[2],
        aged=counted[3],
        set_aside=[
            AsideOfStream(stream=row["stream"], cause=row["cause"], entries=row["entries"], **_rows(row).model_dump())
            for row in await call.db.fetch(SQL["aside_by_stream"], vehicle)
        ],
        streams=[
            describe(
                row,
                [loss for loss in losses if loss["stream"] == row["stream"]],
                RangeSet.of(seq for stream, seq in queued if stream == row["stream"]),
            )
            for row in await call.db.fetch(SQL["streams"], vehicle)
        ],
    )


def describe(row: asyncpg.Record, losses: Sequence[asyncpg.Record], queued: RangeSet) -> Stream:
    """gaps = [0, next) that is neither received nor dead nor lost; what Redis holds beyond the ledger's next counts."""
    received, dead, lost = _settled(row)
    upcoming = max(row["next"], queued.head + 1)
    gaps = (received | dead | lost).gaps(upcoming)
    return Stream(
        stream=row["stream"],
        next=upcoming,
        received=received.ranges,
        dead=dead.ranges,
        lost=_with_cause(lost, losses),
        gaps=gaps.ranges,
        pending=bool(gaps & queued),
        samples=row["samples"],
        fixes=row["fixes"],
        events=row["events"],
        erased=row["erased"],
    )


def _rows(row: asyncpg.Record) -> Rows:
    return Rows(samples=row["samples"], fixes=row["fixes"], events=row["events"], frames=row["frames"])


def _stored(numbered: Rows, unnumbered: Rows, erased: Rows, aged: Rows) -> Rows:
    came, went = (numbered, unnumbered), (erased, aged)
    return Rows(
        **{
            kind: sum(getattr(rows, kind) for rows in came) - sum(getattr(rows, kind) for rows in went)
            for kind in Rows.model_fields
        }
    )


def _settled(row: asyncpg.Record) -> tuple[RangeSet, RangeSet, RangeSet]:
    received, dead, lost = (RangeSet.from_pg(row[column]) for column in ("received", "dead", "lost"))
    return received, dead - received, lost - received - dead


def _unsettled(row: asyncpg.Record) -> list[int]:
    """The lowest gaps, which are resent first, and what may follow the highest number that the ledger knows."""
    received, dead, lost = _settled(row)
    gaps = (received | dead | lost).gaps(row["next"])
    return [*islice(gaps.numbers(), GAPS_ASKED), *range(row["next"], row["next"] + TAIL_ASKED)]


def _with_cause(lost: RangeSet, losses: Sequence[asyncpg.Record]) -> list[Loss]:
    """The first declaration of a number counts."""
    named: list[Loss] = []
    for loss in losses:
        ours = lost & RangeSet([(loss["first"], loss["last"])])
        named += [Loss(from_=low, to=high, cause=loss["cause"]) for low, high in ours.ranges]
        lost = lost - ours
    named += [Loss(from_=low, to=high, cause="unknown") for low, high in lost.ranges]
    return sorted(named, key=lambda loss: loss.from_)
