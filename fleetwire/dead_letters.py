"""fleetwire admin dead-letters: batches that the database refused."""

import asyncio
import base64
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import asyncpg
import click

from cloud import accounts
from cloud.config import load_cloud_config
from cloud.database import UNAVAILABLE, Pool, make_pool, ping
from cloud.dead_letters import DeadLetter, find_letter, list_letters, replay
from cloud.errors import CloudError, DeadLetterError
from cloud.store import Store

T = TypeVar("T")


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
    for row in _run(config, list_letters):
        values = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
        click.echo(json.dumps(values) if as_json else "  ".join(map(str, values.values())))


@dead_letters.command()
@click.argument("id", type=click.IntRange(1, 2**63 - 1))
@click.pass_obj
def show(config: Path | None, id: int) -> None:
    """Print one as JSON, with the batch as it was sent; what is no JSON comes as base64."""
    letter = _run(config, lambda pool: find_letter(pool, id))
    click.echo(json.dumps(_described(letter), indent=2, ensure_ascii=False))


@dead_letters.command("replay")
@click.argument("ids", metavar="[ID]...", nargs=-1, type=click.IntRange(1, 2**63 - 1))
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.pass_obj
def replay_some(config: Path | None, ids: Sequence[int], everything: bool) -> None:
    """Store them after all, each in one transaction; one that is refused again stays where it is."""
    if bool(ids) == everything:
        raise click.UsageError("name dead letters by their ID, or say --all")
    refused = _run(config, lambda pool: _replay(pool, ids))
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


def _run(config: Path | None, act: Callable[[Pool], Awaitable[T]]) -> T:
    async def connected() -> T:
        async with make_pool(load_cloud_config(config, os.environ).database_url, size=1, name="admin") as pool:
            await ping(pool)
            return await act(pool)

    try:
        return asyncio.run(connected())
    except asyncpg.UndefinedTableError as error:
        raise click.ClickException("the database has no schema yet: run 'fleetwire migrate'") from error
    except UNAVAILABLE as error:
        raise click.ClickException(f"PostgreSQL does not answer: {error or type(error).__name__}") from error
    except CloudError as error:
        raise click.ClickException(str(error)) from error
