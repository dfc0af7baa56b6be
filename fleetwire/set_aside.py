"""fleetwire admin set-aside: rows whose times cannot be."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import click

from cloud.access import accounts
from cloud.database import Pool
from cloud.telemetry.plausible import Cause
from cloud.telemetry.set_aside import Choice, Correction, Outcome, list_entries, release
from cloud.telemetry.store import Store
from fleetwire.durations import Duration, Instant
from fleetwire.pool import with_pool

VEHICLE = click.option("--vehicle", metavar="ID", help="Only those of this vehicle.")
STREAM = click.option("--stream", metavar="UUID", help="Only those of this stream.")
CAUSE = click.option("--cause", type=click.Choice(get_args(Cause)), help="Only those set aside for this.")


@click.group("set-aside")
def set_aside() -> None:
    """Rows whose times cannot be: before 2010, or more than 5 minutes ahead when they arrived.

    They are kept, and stored once you say what was wrong with the vehicle's clock.

    \b
    fleetwire admin set-aside list
    fleetwire admin set-aside release --vehicle truck-1 --shift 1024w            GPS week rollover
    fleetwire admin set-aside release --vehicle truck-1 --begin 2026-01-31T06:00Z  the clock began at 1970
    fleetwire admin set-aside release --vehicle truck-1 --as-it-is               the times are right
    """


@set_aside.command("list")
@VEHICLE
@STREAM
@CAUSE
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_all(config: Path | None, vehicle: str | None, stream: str | None, cause: str | None, as_json: bool) -> None:
    """List entries: number, vehicle, stream, seq, cause, arrival, first and last time, rows of each kind."""
    choice = Choice(vehicle=vehicle, stream=stream, cause=cause)
    for row in with_pool(config, lambda pool: list_entries(pool, choice)):
        values = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
        if as_json:
            click.echo(json.dumps(values))
        else:
            click.echo("  ".join("-" if value is None else str(value) for value in values.values()))


@set_aside.command("release")
@click.argument("ids", metavar="[ENTRY]...", nargs=-1, type=click.IntRange(1, 2**63 - 1))
@VEHICLE
@STREAM
@CAUSE
@click.option("--shift", type=Duration(signed=True), metavar="±N[smhdw]", help="The clock was wrong by so much.")
@click.option("--begin", type=Instant(), metavar="TIME", help="The first of these rows was recorded at this time.")
@click.option("--as-it-is", "believed", is_flag=True, help="The times are right, however they look.")
@click.pass_obj
def release_some(
    config: Path | None,
    ids: Sequence[int],
    vehicle: str | None,
    stream: str | None,
    cause: str | None,
    shift: timedelta | None,
    begin: datetime | None,
    believed: bool,
) -> None:
    """Store rows at corrected times. What would still be impossible stays aside."""
    if not (ids or vehicle or stream):
        raise click.UsageError("say which: entries by their number, --vehicle or --stream")
    if sum((shift is not None, begin is not None, believed)) != 1:
        raise click.UsageError("say what was wrong with the clock: one of --shift, --begin and --as-it-is")
    choice = Choice(ids=ids or None, vehicle=vehicle, stream=stream, cause=cause)
    shift_ms = 0 if shift is None else shift // timedelta(milliseconds=1)
    correction = Correction(shift_ms=shift_ms, begin=begin, believed=believed)
    outcome = with_pool(config, lambda pool: _release(pool, choice, correction))
    also = f", {outcome.erased:,} dropped as erased" if outcome.erased else ""
    click.echo(f"{outcome.entries:,} entries released: {outcome.rows:,} rows stored{also}")
    if outcome.refused:
        shown = "\n".join(outcome.refused[:5])
        raise click.ClickException(f"{len(outcome.refused):,} stay aside:\n{shown}")


async def _release(pool: Pool, choice: Choice, correction: Correction) -> Outcome:
    outcome = await release(Store(pool), pool, choice, correction, now=datetime.now(UTC))
    said = {"vehicle": choice.vehicle, "stream": choice.stream, "entries": outcome.entries, "rows": outcome.rows}
    how = {"shift_ms": correction.shift_ms, "begin": correction.begin and correction.begin.isoformat()}
    await accounts.audit(pool, "command line", "set_aside.release", said | how | {"believed": correction.believed})
    return outcome
