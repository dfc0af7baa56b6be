"""Windows of a signal's samples: how many there were, the least, the greatest, the mean, the last.

Pure. A window begins at a multiple of its length and is told when it is over, at the time at which it began; `last` is
a sample like any other, at its own time. What is told of signal `index` has the index `aggregate_index(index, which)`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from wire.campaign import Aggregate

Sample = tuple[int, int, float]

NAMED: Final[tuple[Aggregate, ...]] = ("count", "min", "max", "mean")
"""What has a name of its own: `Message.Signal:min`."""
_STRIDE: Final = 2**24


def aggregate_index(index: int, which: Aggregate) -> int:
    """Where a signal's aggregate stands in the numbering of signals: far behind all of them."""
    return index if which == "last" else index + _STRIDE * (NAMED.index(which) + 1)


class SampleNames(Sequence[str]):
    """Names of signals by index, and of their aggregates."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def extend(self, names: Iterable[str]) -> None:
        """Signals that come behind the known ones."""
        self._names.extend(names)

    def __getitem__(self, index: int) -> str:  # type: ignore[override]
        which, signal = divmod(index, _STRIDE)
        return f"{self._names[signal]}:{NAMED[which - 1]}" if which else self._names[signal]

    def __len__(self) -> int:
        return len(self._names)


@dataclass(slots=True)
class _Window:
    wanted: tuple[Aggregate, ...]
    begin_ms: int
    end_ms: int
    count: int
    least: float
    greatest: float
    mean: float
    last_ms: int
    last: float

    def take(self, t_ms: int, value: float) -> None:
        self.count += 1
        self.least = min(self.least, value)
        self.greatest = max(self.greatest, value)
        self.mean += value / self.count - self.mean / self.count  # a sum might not be finite
        self.last_ms, self.last = t_ms, value


class Aggregator:
    """The open windows, at most one a signal."""

    def __init__(self) -> None:
        self._open: dict[int, _Window] = {}

    def add(
        self, index: int, t_ms: int, value: float, wanted: tuple[Aggregate, ...], *, window_ms: int
    ) -> list[Sample]:
        """Take a finite value. What it ends is told; a clock that went back ends a window too."""
        window = self._open.get(index)
        if window is not None and window.begin_ms <= t_ms < window.end_ms:
            window.take(t_ms, value)
            return []
        begin_ms = t_ms // window_ms * window_ms
        self._open[index] = _Window(wanted, begin_ms, begin_ms + window_ms, 1, value, value, value, t_ms, value)
        return [] if window is None else _told(index, window)

    def due(self, now_ms: int) -> list[Sample]:
        """The windows that are over by now."""
        ended = [index for index, window in self._open.items() if window.end_ms <= now_ms]
        return [sample for index in ended for sample in _told(index, self._open.pop(index))]

    def flush(self) -> list[Sample]:
        """Every window, at the end of the run."""
        told = [sample for index, window in self._open.items() for sample in _told(index, window)]
        self._open.clear()
        return told


def _told(index: int, window: _Window) -> list[Sample]:
    values: dict[Aggregate, float] = {
        "count": window.count,
        "min": window.least,
        "max": window.greatest,
        "mean": min(max(window.mean, window.least), window.greatest),
    }
    return [
        (index, window.last_ms, window.last)
        if which == "last"
        else (aggregate_index(index, which), window.begin_ms, values[which])
        for which in window.wanted
    ]
