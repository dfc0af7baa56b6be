"""decode_log: how fast `fleetwire decode` is with a whole log, against `python -m cantools decode` of the same.

Both are processes of their own that write text to a file; what is measured is all of their processor time, that of
starting included, and in the note the time that a person waits. cantools takes candump's text on its standard input
and one database.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from bench.figure import Figure, faster_is_better, interleaved
from bench.recordings import DATA, KONA_DATABASE, Recorded, kona, obd2_trip
from edge.frame import Frame

FRAMES: Final = 300_000
RUNS: Final = 3


def decode_log(
    name: str, recorded: Callable[[], Recorded], dbc: Path, *, frames: int = FRAMES, runs: int = RUNS
) -> Figure:
    """Frames a second of processor time; a shorter recording is repeated, with times that go on."""
    with TemporaryDirectory() as folder:
        log = Path(folder, "drive.log")
        with log.open("w", encoding="ascii") as file:
            file.writelines(map(candump_line, islice(_again(recorded().frames), frames)))
        ours = _Process(
            ["-m", "fleetwire", "decode", str(log), "--dbc", str(dbc), "--no-strict"], Path(os.devnull), Path(folder)
        )
        theirs = _Process(["-m", "cantools", "decode", "--no-strict", str(dbc)], log, Path(folder))
        for process in (ours, theirs):
            process.warm_up()
        rates = interleaved(lambda: frames / ours.cpu_s(), lambda: frames / theirs.cpu_s(), runs=runs)
    waited_s, baseline_waited_s = median(ours.waited_s), median(theirs.waited_s)
    note = (
        f"{frames:,} frames as candump text; {frames / rates.ours:.2f} s, all processor time of the process; a person "
        f"waits {waited_s:.2f} s, which is {baseline_waited_s / waited_s:.1f} times as fast"
    )
    return faster_is_better(name, rates, unit="frames/s", note=note)


def candump_line(frame: Frame) -> str:
    """As `candump -l` writes it."""
    assert frame.t_ns is not None
    identifier = f"{frame.arbitration_id:08X}" if frame.is_extended else f"{frame.arbitration_id:03X}"
    seconds, below = divmod(frame.t_ns, 1_000_000_000)
    return f"({seconds}.{below // 1000:06d}) can0 {identifier}#{frame.data.hex().upper()}\n"


def _again(frames: Sequence[Frame]) -> Iterable[Frame]:
    first_ns, last_ns = frames[0].t_ns or 0, frames[-1].t_ns or 0
    return chain.from_iterable(
        (frame._replace(t_ns=(frame.t_ns or 0) + turn * (last_ns - first_ns + 1_000_000)) for frame in frames)
        for turn, _ in enumerate(repeat(None))
    )


@dataclass(frozen=True)
class _Process:
    """Python with these arguments, whose every run must succeed."""

    arguments: Sequence[str]
    source: Path
    folder: Path
    waited_s: list[float] = field(default_factory=list)
    """How long each run took, from its start to its end."""

    def warm_up(self) -> None:
        """A run that does not count, after which its bytecode is there."""
        self.cpu_s()
        self.waited_s.clear()

    def cpu_s(self) -> float:
        """User and system time of a run."""
        before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        with self.source.open("rb") as source, (self.folder / "out").open("wb") as out:
            command = [sys.executable, *self.arguments]
            subprocess.run(
                command, env=self._environ(), stdin=source, stdout=out, stderr=subprocess.DEVNULL, check=True
            )
        self.waited_s.append(time.perf_counter() - began_s)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def _environ(self) -> Mapping[str, str]:
        """With all bytecode kept, as that of an installed package is."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return kept | {"PYTHONPYCACHEPREFIX": str(self.folder / "bytecode")}


FIGURES: Final[Mapping[str, Callable[[], Figure]]] = {
    "decode_log.kona": partial(decode_log, "decode_log.kona", kona, KONA_DATABASE),
    "decode_log.obd2-trip": partial(
        decode_log, "decode_log.obd2-trip", obd2_trip, DATA / "obd2-trip" / "canmod-gnss.dbc"
    ),
}
