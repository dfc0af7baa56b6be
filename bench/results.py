"""bench/results.json: the figures of a whole run, with the machine and the date."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.figure import Figure

RESULTS: Final = Path(__file__).with_name("results.json")


@dataclass(frozen=True)
class Results:
    """A whole run. `skipped` says why a figure is missing, by name."""

    machine: str
    date: str
    figures: tuple[Figure, ...]
    skipped: Mapping[str, str]


def save(figures: Sequence[Figure], skipped: Mapping[str, str], path: Path = RESULTS) -> None:
    """Write them with this machine and today's date."""
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    results = Results(describe_machine(), date, tuple(figures), skipped)
    path.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")


def load(path: Path = RESULTS) -> Results:
    """What `save` wrote. Raises FileNotFoundError before the first whole run."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    figures = tuple(Figure(**figure) for figure in stored["figures"])
    return Results(stored["machine"], stored["date"], figures, stored["skipped"])


def describe_machine() -> str:
    """Processor, cores, memory, system and Python, in a line."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    cores = len(os.sched_getaffinity(0))
    system = f"Linux {platform.release().split('-')[0]}" if platform.system() == "Linux" else platform.system()
    return f"{_processor()}, {cores} cores, {memory_gb:.0f} GB, {system}, Python {platform.python_version()}"


def _processor() -> str:
    """The model as the kernel names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
