"""python -m bench.faults: hurt the running cloud and count what is lost; the table of docs/reliability.md."""

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click
import structlog

from bench.faults.on_small_disk import Impossible, run_on_small_disk
from bench.faults.rounds import Round, run_rounds
from bench.faults.rows import ROWS, Unsettled
from bench.faults.verdict import Result, table

TRIALS: Final = 10
"""Between two counts of every row."""


class _NamingRows(click.Command):
    """Its help says what rows there are."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Rows, all of them if none is named"):
            formatter.write_dl([(name, row.fault) for name, row in ROWS.items()])


@click.command(cls=_NamingRows)
@click.argument("names", nargs=-1, metavar="[ROW]...", type=click.Choice(list(ROWS)))
@click.option("--trials", default=TRIALS, show_default=True, help=f"Of each row; in rounds of {TRIALS}.")
@click.option("--seed", default=1, show_default=True)
@click.option("--kept", type=click.Path(path_type=Path), help="Where results are kept, to go on later.")
@click.option("--home", type=click.Path(path_type=Path), hidden=True, help="Where the cloud keeps its data.")
def main(names: Sequence[str], trials: int, seed: int, kept: Path | None, home: Path | None) -> None:
    """Start the whole cloud in a folder of its own, hurt it, and print a line for each kind of fault.

    Every round has its own seed, and each result is kept at once: run again, it goes on where it ended. Ends with 1 if
    anything was lost, doubled or missing.

    \b
    python -m bench.faults --trials 300 --kept faults.jsonl kill-ingest kill-writer
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    known = _read(kept)
    seeds = range(seed * 1_000_000, seed * 1_000_000 - (-trials // TRIALS))
    wanted = [Round(name, number, TRIALS) for name in names or ROWS for number in seeds]

    def note(done: Round, result: Result) -> None:
        known[done.name, done.seed] = result
        click.echo(f"{done.name}, seed {done.seed}: {'good' if result.is_good else 'BAD'}", err=True)
        if kept is not None:
            with kept.open("a") as file:
                file.write(json.dumps({"row": done.name, "seed": done.seed, **asdict(result)}) + "\n")

    missing = [one for one in wanted if (one.name, one.seed) not in known]
    try:
        asyncio.run(_run(missing, note, home))
    except Unsettled as error:
        raise click.ClickException(str(error)) from error
    rows = {
        name: [known[one.name, one.seed] for one in wanted if one.name == name and (name, one.seed) in known]
        for name in names or ROWS
    }
    click.echo(table([(ROWS[name].fault, results) for name, results in rows.items() if results]))
    sys.exit(any(not result.is_good for results in rows.values() for result in results))


async def _run(rounds: Sequence[Round], note: Callable[[Round, Result], None], home: Path | None) -> None:
    usual = [one for one in rounds if home is not None or not ROWS[one.name].small_disk]
    await run_rounds(usual, note, home=home)
    for one in rounds:
        if one not in usual:
            try:
                note(one, await run_on_small_disk(one))
            except Impossible as missing:
                click.echo(f"skipped {one.name}: {missing}", err=True)


def _read(kept: Path | None) -> dict[tuple[str, int], Result]:
    if kept is None or not kept.exists():
        return {}
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    return {(line.pop("row"), line.pop("seed")): Result(**line) for line in lines}


if __name__ == "__main__":
    main(prog_name="python -m bench.faults")
