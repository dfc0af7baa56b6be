"""What processes with all their children cost, as /proc counts it: CPU time and memory. Linux only."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_TICKS_S: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")
_UTIME: Final = 11
"""From the state on; then stime, and both of the children that ended and were waited for."""


def cpu_s(roots: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds so far of each named process, its children and theirs, ended ones included."""
    children = _children()
    return {name: sum(map(_cpu_s, _tree(pid, children))) for name, pid in roots.items()}


def memory_bytes(roots: Mapping[str, int]) -> dict[str, int]:
    """Memory of each named process and its children of their own; what several share since a fork counts in parts.

    Without mapped files, whose part changes with other programs that use them, and without shared memory: PostgreSQL's
    buffers have a fixed size, but are filled little by little.
    """
    children = _children()
    return {name: sum(map(_memory_bytes, _tree(pid, children))) for name, pid in roots.items()}


class Spent:
    """CPU that was spent while something ran, run by run."""

    def __init__(self) -> None:
        self._runs: list[dict[str, float]] = []

    @contextmanager
    def on(self, roots: Mapping[str, int]) -> Iterator[None]:
        """One run."""
        before = cpu_s(roots)
        yield
        after = cpu_s(roots)
        self._runs.append({name: after[name] - before[name] for name in roots})

    def forget(self) -> None:
        """The runs so far."""
        self._runs.clear()

    @property
    def totals_s(self) -> list[float]:
        """Of each run, all processes together."""
        return [sum(run.values()) for run in self._runs]

    @property
    def shares(self) -> dict[str, float]:
        """Each process's part of all runs, the largest first."""
        total = sum(self.totals_s)
        sums = {name: sum(run[name] for run in self._runs) for name in self._runs[0]}
        return {name: spent / total for name, spent in sorted(sums.items(), key=lambda one: -one[1])}


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            found.setdefault(int(fields[1]), []).append(int(entry.name))
    return found


def _tree(root: int, children: Mapping[int, Iterable[int]]) -> Iterator[int]:
    yield root
    for child in children.get(root, ()):
        yield from _tree(child, children)


def _cpu_s(pid: int) -> float:
    fields = _stat(pid)
    return sum(map(int, fields[_UTIME : _UTIME + 4])) / _TICKS_S if fields else 0.0


def _memory_bytes(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0  # it ended, or is a zombie
    kib = {
        name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if rest.endswith("kB")
    }
    return 1024 * (kib.get("Pss_Anon", 0))


def _stat(pid: int) -> list[str]:
    """/proc/PID/stat from the state on; empty when it is gone."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
