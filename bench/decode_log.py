"""decode_log: how fast `fleetwire decode` is with a whole log, against `python -m cantools decode` of the same.

Both are processes of their own that write text to a file; what is measured is all of their processor time, that of
starting included. cantools takes candump's text on its standard input and one database.
"""

import resource
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final

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
        log, out = Path(folder, "drive.log"), Path(folder, "out")
        with log.open("w", encoding="ascii") as file:
            file.writelines(map(candump_line, islice(_again(recorded().frames), frames)))

        def ours() -> float:
            return frames / _cpu_s(["-m", "fleetwire", "decode", str(log), "--dbc", str(dbc), "--no-strict"], None, out)

        def theirs() -> float:
            with log.open("rb") as file:
                return frames / _cpu_s(["-m", "cantools", "decode", "--no-strict", str(dbc)], file, out)

        rates = interleaved(ours, theirs, runs=runs)
    note = f"{frames:,} frames as candump text; {frames / rates.ours:.2f} s, all processor time of the process"
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


def _cpu_s(arguments: list[str], source: IO[bytes] | None, out: Path) -> float:
    """User and system time of a process that must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with out.open("wb") as file:
        subprocess.run([sys.executable, *arguments], stdin=source, stdout=file, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


FIGURES: Final[Mapping[str, Callable[[], Figure]]] = {
    "decode_log.kona": partial(decode_log, "decode_log.kona", kona, KONA_DATABASE),
    "decode_log.obd2-trip": partial(
        decode_log, "decode_log.obd2-trip", obd2_trip, DATA / "obd2-trip" / "canmod-gnss.dbc"
    ),
}
