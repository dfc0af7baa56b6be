"""Where a bus's frames come from: an interface of python-can, or a recording that the agent plays itself."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from glob import glob
from pathlib import Path
from typing import Any, Protocol, Self

from edge.errors import EdgeError
from edge.frame import Frame

REPLAY = "replay"
REPLAY_KEYS = ("channel", "dbc", "log_channel", "loop", "name", "speed", "strict")


class ReaderError(EdgeError):
    """A bus that cannot be read as it is configured."""

    def __init__(self, bus: str, problem: str) -> None:
        super().__init__(f"CAN bus {bus}: {problem}")
        self.bus = bus
        self.problem = problem


@dataclass(slots=True)
class ReaderCounts:
    """What came in. received = frames + remote + error + dropped."""

    frames: int = 0  # handed on
    remote: int = 0
    error: int = 0
    dropped: int = 0  # came while the queue was full
    restarts: int = 0  # the interface failed and was opened again, or will be
    last_error: str | None = None


class FrameSource(Protocol):
    """`async with source: async for frames in source`: lists of frames in the order and with the time of reception.

    A live bus never ends. A replay ends after its last frame unless it loops, and waits for the one who takes frames.
    """

    name: str
    counts: ReaderCounts

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    def __aiter__(self) -> AsyncIterator[list[Frame]]: ...

    async def rest(self) -> list[Frame]:
        """Ends the reception; gives what was received by then and not taken yet."""
        ...


class BusSettings(Protocol):
    """What the agent's file says about one bus (edge.config.CanSettings)."""

    @property
    def interface(self) -> str: ...
    @property
    def channel(self) -> str | Sequence[str]: ...
    @property
    def name(self) -> str | None: ...
    @property
    def listen_only(self) -> bool: ...
    @property
    def speed(self) -> float: ...
    @property
    def loop(self) -> bool: ...
    @property
    def options(self) -> Mapping[str, Any]: ...


def open_bus(bus: BusSettings, filters: Sequence[dict[str, int | bool]] = ()) -> FrameSource:
    """The source that the settings name; `filters` are the decoder's. Connects in `async with`. Raises ReaderError."""
    channels = [bus.channel] if isinstance(bus.channel, str) else list(bus.channel)
    if bus.interface == REPLAY:
        from edge.replay import ReplayReader

        options = dict(bus.options)
        source_channel = options.pop("log_channel", None)
        if options:
            unknown = next(iter(options))
            near = get_close_matches(unknown, REPLAY_KEYS, n=1, cutoff=0.0)[0]
            problem = f"a replay has no setting {unknown!r}; did you mean {near!r}? Known: {', '.join(REPLAY_KEYS)}"
            raise ReaderError(bus.name or channels[0], problem)
        paths = [path for channel in channels for path in _paths(channel)]
        return ReplayReader(
            paths, name=bus.name or paths[0].name, speed=bus.speed, loop=bus.loop, log_channel=source_channel
        )
    from can.interfaces import BACKENDS

    from edge.can_reader import CanReader

    if bus.interface not in BACKENDS:
        near = get_close_matches(bus.interface, [REPLAY, *BACKENDS], n=1, cutoff=0.0)[0]
        problem = f"python-can has no interface {bus.interface!r}; did you mean {near!r}?"
        raise ReaderError(bus.name or channels[0], problem)
    if len(channels) != 1:
        raise ReaderError(bus.name or channels[0], "one channel a bus: give each its own [[can]]")
    return CanReader(
        bus.interface,
        channels[0],
        name=bus.name,
        options=bus.options,
        filters=filters,
        listen_only=bus.listen_only,
    )


def _paths(text: str) -> list[Path]:
    """The file, or those that a pattern such as `logs/*.MF4` matches, by name."""
    if Path(text).exists() or not set("*?[") & set(text):
        return [Path(text)]
    paths = sorted(Path(path) for path in glob(text))
    if not paths:
        raise ReaderError(text, "no file matches")
    return paths
