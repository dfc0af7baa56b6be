"""An event loop whose clock jumps to whatever is due next: a week of timers, over real sockets, in seconds.

The clock stands while there is something to do. Work for threads is done at once, on the loop itself.
"""

import asyncio
import concurrent.futures
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

SETTLING_S = 0.0005
"""What was sent over loopback has arrived after it; waited for before the clock may jump."""

T = TypeVar("T")


class SimulatedTime(asyncio.SelectorEventLoop):
    """Its `time()` is what all timeouts and sleeps go by, and has nothing to do with the machine's."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_Jumping(self))
        self.set_default_executor(_AtOnce())

    def time(self) -> float:
        return self._now_s

    def jump(self, seconds: float) -> None:
        self._now_s += seconds


def run_simulated(work: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, in simulated time."""
    with asyncio.Runner(loop_factory=SimulatedTime) as runner:
        return runner.run(work)


class _Jumping(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    def __init__(self, loop: SimulatedTime) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if ready := super().select(0):
            return ready
        if timeout is None:
            return super().select(None)
        if timeout > 0:
            if len(self.get_map()) > 1:  # more than the loop's own pipe
                time.sleep(SETTLING_S)
                if ready := super().select(0):
                    return ready
            self._loop.jump(timeout)
        return []


class _AtOnce(concurrent.futures.ThreadPoolExecutor):
    """No thread: the loop waits, as the disk's work is not what takes time here."""

    def submit(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> "concurrent.futures.Future[T]":
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        try:
            future.set_result(work(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - it is the caller's, as from any thread
            future.set_exception(error)
        return future
