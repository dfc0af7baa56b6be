"""fleetwire admin dead-letters: batches that the database refused."""

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from cloud.access import accounts
from cloud.database import Pool
from cloud.errors import DeadLetterError
from cloud.telemetry.dead_letters import DeadLetter, find_letter, list_letters, replay
from cloud.telemetry.store import Store
from fleetwire.pool import with_pool


@click.group("dead-letters")
def dead_letters() -> None:
    """Batches that the database refused.

    \b
    fleetwire admin dead-letters list
    fleetwire admin dead-letters show 7
    fleetwire admin dead-letters replay 7
    """


@dead_letters.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_all(config: Path | None, as_json: bool) -> None:
    """List all: number, vehicle, stream, seq, time, bytes, problem."""
    for row in with_pool(config, list_letters):
        values = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
        click.echo(json.dumps(values) if as_json else "  ".join(map(str, values.values())))


@dead_letters.command()
@click.argument("id", type=click.IntRange(1, 2**63 - 1))
@click.pass_obj
def show(config: Path | None, id: int) -> None:
    """Print one as JSON, with the batch as it was sent; what is no JSON comes as base64."""
    letter = with_pool(config, lambda pool: find_letter(pool, id))
    click.echo(json.dumps(_described(letter), indent=2, ensure_ascii=False))


@dead_letters.command("replay")
@click.argument("ids", metavar="[ID]...", nargs=-1, type=click.IntRange(1, 2**63 - 1))
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.pass_obj
def replay_some(config: Path | None, ids: Sequence[int], everything: bool) -> None:
    """Store them after all, each in one transaction; one that is refused again stays where it is."""
    if bool(ids) == everything:
        raise click.UsageError("name dead letters by their ID, or say --all")
    refused = with_pool(config, lambda pool: _replay(pool, ids))
    if refused:
        raise click.ClickException(f"{refused} not replayed")


async def _replay(pool: Pool, ids: Sequence[int]) -> int:
    """How many were refused. Without `ids` all are tried."""
    store, refused = Store(pool), 0
    for id in ids or [row["id"] for row in await list_letters(pool)]:
        try:
            letter = await find_letter(pool, id)
            stored = await replay(store, letter)
        except DeadLetterError as error:
            click.echo(str(error), err=True)
            refused += 1
            continue
        name = {"vehicle": letter.vehicle, "stream": letter.stream, "seq": letter.seq}
        if stored:
            await accounts.audit(pool, "command line", "dead_letter.replay", {"id": id, **name})
        click.echo(f"dead letter {id} is {'stored' if stored else 'gone already'}: {'/'.join(map(str, name.values()))}")
    return refused


def _described(letter: DeadLetter) -> dict[str, object]:
    try:
        content = {"batch": json.loads(letter.payload)}
    except ValueError:
        content = {"base64": base64.b64encode(letter.payload).decode()}
    return {
        "id": letter.id,
        "vehicle": letter.vehicle,
        "stream": letter.stream,
        "seq": letter.seq,
        "at": letter.at.isoformat(),
        "problem": letter.problem,
        **content,
    }
