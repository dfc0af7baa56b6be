"""python -m bench [NAME…]: take the figures of docs/benchmarks.md, one JSON line each.

Without names all of them are taken, and written to bench/results.json with the machine and the date.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Final

import click

from bench import (
    bad_input,
    decode,
    decode_log,
    drain,
    edge_cpu,
    edge_start,
    fleet_sizes,
    ingest,
    live_latency,
    live_vs_node,
    pipeline,
    spool,
    wire_bytes,
    write,
)
from bench.figure import Figure, Unavailable
from bench.results import RESULTS, save
from cloud.errors import CloudError
from edge.errors import EdgeError

MODULES: Final = (
    decode,
    decode_log,
    edge_cpu,
    edge_start,
    wire_bytes,
    spool,
    write,
    ingest,
    bad_input,
    pipeline,
    drain,
    fleet_sizes,
    live_latency,
    live_vs_node,
)
"""In the order in which their figures are taken."""

FIGURES: Mapping[str, Callable[[], Figure]] = {
    name: take for module in MODULES for name, take in module.FIGURES.items()
}


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--list", "only_list", is_flag=True, help="List the names and take nothing.")
def main(names: tuple[str, ...], only_list: bool) -> None:
    """Take figures and print one JSON line for each: name, value, unit, baseline, ratio, runs, note.

    `ratio` is ours against the baseline of the same run; higher is better. A NAME also stands for its variants:
    `decode` takes decode.15-signals, decode.obd2-trip and so on. Without a NAME all are taken and written to
    bench/results.json. What cannot be taken on this machine is skipped, and said on stderr.

    \b
    python -m bench --list
    python -m bench decode wire_bytes.obd2-trip
    """
    chosen = choose(names)
    if only_list:
        print("\n".join(chosen))
        return
    figures = []
    skipped: dict[str, str] = {}
    for name in chosen:
        try:
            figures.append(FIGURES[name]())
        except Unavailable as missing:
            skipped[name] = str(missing)
            print(f"skipped {name}: {missing}", file=sys.stderr)
            continue
        except (CloudError, EdgeError) as error:
            raise click.ClickException(f"{name}: {error}") from error
        print(figures[-1].line(), flush=True)
    if not names:
        save(figures, skipped)
        print(f"written to {RESULTS}", file=sys.stderr)


def choose(names: tuple[str, ...]) -> list[str]:
    """The figures that are meant, in the order of the list. Raises click.UsageError for a name that there is not."""
    for name in names:
        if not any(_is_meant(known, name) for known in FIGURES):
            raise click.UsageError(f"there is no figure {name!r}; --list names them")
    return [known for known in FIGURES if not names or any(_is_meant(known, name) for name in names)]


def _is_meant(known: str, name: str) -> bool:
    return known == name or known.startswith(f"{name}.")


if __name__ == "__main__":
    main(prog_name="python -m bench")
