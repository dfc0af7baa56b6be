"""What every source of a bus's frames is to the agent, and what it counts."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from edge.buses.bus_event import BusEvent
from edge.errors import EdgeError
from edge.frame import Frame

REPLAY = "replay"


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
    dropped: int = 0  # came while a queue was full
    dropped_by_kernel: int = 0  # of these, for want of room in the socket's buffer
    bus_offs: int = 0  # how often the controller took itself off the bus
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

    async def send(self, frame: Frame) -> None:
        """Let a frame leave, as far as the source's TransmitRules allow it; without any it never does.

        Raises TransmitError.
        """
        ...

    def take_events(self) -> Sequence[BusEvent]:
        """What happened to the bus and was not given before."""
        ...
