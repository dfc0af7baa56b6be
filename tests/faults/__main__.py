"""python -m tests.faults: show that the agent's spool survives; the table of docs/edge.md.

    python -m tests.faults run --trials 1000 --seed 1 --kept results.jsonl [ROW…]

Each trial has its own seed, and each result is kept at once: run again, it goes on where it ended.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from tests.faults.link_rows import be_quiet
from tests.faults.rows import ROWS, Exhausted, Impossible, fill_disk
from tests.faults.trial import Result, table


@click.group()
def main() -> None:
    """Faults, and what the spool makes of them."""


@main.command()
@click.argument("names", nargs=-1, metavar="[ROW]...", type=click.Choice(list(ROWS)))
@click.option("--trials", default=10, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--kept", type=click.Path(path_type=Path), help="Where results are kept, to go on later.")
def run(names: Sequence[str], trials: int, seed: int, kept: Path | None) -> None:
    """Run each row's trials and print the table. Ends with 1 if anything was lost, doubled or wrong."""
    be_quiet()
    known = _read(kept)
    rows = []
    for name in names or ROWS:
        try:
            results = list(_trials(name, range(seed * 1_000_000, seed * 1_000_000 + trials), known, kept))
        except Impossible as missing:
            click.echo(f"skipped {name}: {missing}", err=True)
            continue
        rows.append((ROWS[name].fault, results))
        bad = [seed * 1_000_000 + number for number, result in enumerate(results) if not result.is_good]
        click.echo(f"{name}: {len(results)} trials, bad seeds {bad}", err=True)
    click.echo(table(rows))
    sys.exit(any(not result.is_good for _, results in rows for result in results))


@main.command(hidden=True)
@click.argument("first", type=int)
@click.argument("disk", type=click.Path(path_type=Path))
def inside(first: int, disk: Path) -> None:
    """Ten trials on the disk that is filled."""
    for seed in range(first, first + 10):
        with tempfile.TemporaryDirectory(dir=disk) as folder:
            click.echo(json.dumps(asdict(asyncio.run(fill_disk(seed, Path(folder))))))


def _trials(
    name: str, seeds: Iterable[int], known: dict[tuple[str, int], Result], kept: Path | None
) -> Iterator[Result]:
    """As many as there are: the cuts of a drive come to an end."""
    for seed in seeds:
        try:
            yield _trial(name, seed, known, kept)
        except Exhausted:
            return


def _trial(name: str, seed: int, known: dict[tuple[str, int], Result], kept: Path | None) -> Result:
    if (name, seed) not in known:
        with tempfile.TemporaryDirectory() as folder:
            known[name, seed] = asyncio.run(ROWS[name].trial(seed, Path(folder)))
        if kept is not None:
            with kept.open("a") as file:
                file.write(json.dumps({"row": name, "seed": seed, **asdict(known[name, seed])}) + "\n")
    return known[name, seed]


def _read(kept: Path | None) -> dict[tuple[str, int], Result]:
    if kept is None or not kept.exists():
        return {}
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    return {(line.pop("row"), line.pop("seed")): Result(**line) for line in lines}


if __name__ == "__main__":
    main(prog_name="python -m tests.faults")
