"""python -m bench.readme: put bench/results.json as tables into README.md and docs/benchmarks.md.

What stands between `<!-- bench -->` and `<!-- /bench -->` is replaced. The README gets the figures that stand for the
others, the page all of them with their notes.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bench.figure import Figure
from bench.results import Results, load

BEGIN: Final = "<!-- bench -->"
END: Final = "<!-- /bench -->"
ROOT: Final = Path(__file__).parents[1]
README: Final = ROOT / "README.md"
PAGE: Final = ROOT / "docs" / "benchmarks.md"
IN_README: Final = {
    "decode.15-signals": "decode a frame of 15 signals, against cantools",
    "decode.obd2-trip": "decode a real drive's frames, against cantools",
    "decode_unchanged": "know an unchanged frame, against cantools",
    "wire_bytes.obd2-trip.1s": "on the wire, a real drive in batches of 1 s, against rows of JSON",
    "wire_bytes.obd2-trip.30s": "on the wire, the same in batches of 30 s",
    "write": "write to the hypertable exactly once, against a bare COPY",
    "ingest": "take requests, against an empty aiohttp handler",
    "pipeline": "from HTTP to the hypertable with everything running, against a bare COPY",
    "live_latency": "vehicle to browser, p99 at batches of 1 s, against the batch's age alone",
    "live_latency.ingest-to-socket.all": "request to 100 browsers on 1,000 vehicles at 20 Hz, p99, against the answer",
}


def main() -> int:
    """Write both tables, or say what to do first."""
    try:
        results = load()
    except FileNotFoundError:
        print("Error: there is no bench/results.json yet; 'python -m bench' writes it", file=sys.stderr)
        return 1
    chosen = [figure for figure in results.figures if figure.name in IN_README]
    short = Results(results.machine, results.date, tuple(chosen), {})
    for path, text in ((README, table(short, notes=False)), (PAGE, table(results, notes=True))):
        path.write_text(replace_block(path.read_text(encoding="utf-8"), text), encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {results.date}, {results.machine}")
    return 0


def table(results: Results, *, notes: bool) -> str:
    """The figures as Markdown, with the machine and the date."""
    heads = ("figure", "value", "baseline", "ratio", "how" if notes else "what")
    rows = [heads, tuple("-" * len(head) for head in heads), *(_row(figure, notes) for figure in results.figures)]
    skipped = [f"\n`{name}` was skipped: {reason}." for name, reason in results.skipped.items()]
    taken = f"\nTaken on {results.date}: {results.machine}."
    return "\n".join([*(f"| {' | '.join(row)} |" for row in rows), taken, *skipped])


def replace_block(page: str, text: str) -> str:
    """The page with `text` between the markers. Raises ValueError where they are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs a line {BEGIN} and below it a line {END}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def _row(figure: Figure, notes: bool) -> Iterable[str]:
    said = figure.note.replace("|", "\\|") if notes else IN_README[figure.name]
    baseline = "" if figure.baseline is None else f"{figure.baseline:,}"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    return (f"`{figure.name}`", f"{figure.value:,} {figure.unit}", baseline, ratio, said)


if __name__ == "__main__":
    sys.exit(main())
