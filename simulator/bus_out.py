"""Frames onto buses, by python-can."""

import errno
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import can

from edge.frame import Frame
from simulator.errors import SimulatorError

CLASSIC_LENGTH: Final = 8
FULL_RETRY_S: Final = 0.002
GIVE_UP_S: Final = 10.0
"""A bus whose queue stays full for so long has nobody who acknowledges."""
_OPEN_ERRORS = (can.CanError, OSError, TypeError, ValueError, NotImplementedError, ImportError)


@dataclass(frozen=True, slots=True)
class BusPlan:
    """Which bus a recording's channels go to. `channels` by the recording's name; `rest` takes all others."""

    interface: str
    channels: Mapping[str, str] = field(default_factory=dict)
    rest: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # for python-can


class BusOut:
    """The open buses of a plan. What goes to none of them is counted by channel in `left_out`."""

    def __init__(self, plan: BusPlan, stop: threading.Event) -> None:
        self.left_out: Counter[str] = Counter()
        self._plan = plan
        self._stop = stop
        self._stack = ExitStack()
        self._buses: dict[str, can.BusABC] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            targets = {*self._plan.channels.values(), *([self._plan.rest] if self._plan.rest is not None else [])}
            for target in sorted(targets):
                self._buses[target] = stack.enter_context(_open(self._plan, target))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def send(self, frame: Frame) -> bool:
        """Send `frame` to its bus, waiting while the bus is full; False when it has none."""
        target = self._plan.channels.get(frame.channel, self._plan.rest)
        if target is None:
            self.left_out[frame.channel] += 1
            return False
        is_fd = len(frame.data) > CLASSIC_LENGTH
        message = can.Message(
            arbitration_id=frame.arbitration_id,
            is_extended_id=frame.is_extended,
            is_fd=is_fd,
            bitrate_switch=is_fd,
            data=frame.data,
        )
        self._send(self._buses[target], target, message)
        return True

    def _send(self, bus: can.BusABC, target: str, message: can.Message) -> None:
        waited_s = 0.0
        while True:
            try:
                bus.send(message)
            except (can.CanError, OSError, ValueError) as error:
                if getattr(error, "error_code", None) != errno.ENOBUFS or waited_s >= GIVE_UP_S:
                    raise SimulatorError(f"{self._plan.interface} {target} takes no frame: {error}") from error
                waited_s += FULL_RETRY_S
                if self._stop.wait(FULL_RETRY_S):
                    return
            else:
                return


def _open(plan: BusPlan, target: str) -> can.BusABC:
    options = dict(plan.options)
    if plan.interface == "udp_multicast":
        options.setdefault("hop_limit", 0)  # a replay stays on this machine unless it is asked to leave
    try:
        return can.Bus(interface=plan.interface, channel=target, **options)
    except _OPEN_ERRORS as error:
        raise SimulatorError(f"{plan.interface} {target} cannot be opened: {error}.{_advice(plan, error)}") from error


def _advice(plan: BusPlan, error: BaseException) -> str:
    number = getattr(error, "errno", None) or getattr(error, "error_code", None)
    if plan.interface == "socketcan" and number == errno.ENODEV:
        return " Create it first: docs/vcan.md tells how."
    if plan.interface == "socketcan" and number == errno.EAFNOSUPPORT:
        return " This kernel has no CAN: use --interface udp_multicast --channel 239.74.163.2 instead."
    if isinstance(error, can.CanInterfaceNotImplementedError):
        return f" python-can knows {', '.join(sorted(can.VALID_INTERFACES))}."
    return ""
