"""What may leave the agent for a bus, and how often. Pure; a bus that is given no rules sends nothing at all.

The list names what may be said, and only reading is on it: requests of OBD-II and UDS that ask a controller for values
or trouble codes, and the flow control that its longer answers need. Clearing codes, sessions, routines, writing and
everything else is refused, whoever asks.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from edge.errors import EdgeError
from edge.frame import Frame

FUNCTIONAL: Final = 0x7DF
FUNCTIONAL_EXTENDED: Final = 0x18DB33F1
MOST_CONTROLLERS: Final = 8
"""How many answer a functional request (ISO 15765-4)."""

_PHYSICAL: Final = range(0x7E0, 0x7E8)
_READS: Final = {0x01: 2, 0x03: 1, 0x07: 1, 0x09: 2, 0x0A: 1}
"""Services of SAE J1979 that read, and the length of a request."""

_UDS_READ_DTC: Final = 0x19
_BY_STATUS_MASK: Final = 0x02
_FLOW_CONTROL: Final = bytes([0x30, 0x00, 0x00])
_PADDED: Final = 8
_SECOND: Final = 1.0


class TransmitError(EdgeError):
    """A frame did not leave."""


class NotAllowedError(TransmitError):
    """It is not on the list."""


class TooOftenError(TransmitError):
    """There were too many; `wait_s` is how long until it may leave."""

    def __init__(self, problem: str, wait_s: float) -> None:
        super().__init__(problem)
        self.wait_s = wait_s


class TransmitRules:
    """One bus. `others` are further identifiers (11 bit) that requests may go to."""

    def __init__(self, *, most_per_s: float, others: Iterable[int] = ()) -> None:
        self._others = frozenset(others)
        self._requests = _Rate(most_per_s)
        self._flow_controls = _Rate(most_per_s * MOST_CONTROLLERS)

    def admit(self, frame: Frame, now_s: float) -> None:
        """Count a frame that is about to leave. Raises NotAllowedError, TooOftenError.

        Requests keep to the rate; each may be followed by a flow control for every controller.
        """
        if not self._may_go_to(frame.arbitration_id, frame.is_extended):
            raise NotAllowedError(f"nothing may be sent under {frame.arbitration_id:X}")
        is_request = is_read_request(frame.data)
        if not is_request and not is_flow_control(frame.data):
            raise NotAllowedError(f"{frame.data.hex(' ')} may not be sent: it is no request that only reads")
        (self._requests if is_request else self._flow_controls).count(now_s)

    def _may_go_to(self, arbitration_id: int, is_extended: bool) -> bool:
        if is_extended:
            is_physical = arbitration_id & 0x1FFF00FF == 0x18DA00F1
            return arbitration_id == FUNCTIONAL_EXTENDED or is_physical
        return arbitration_id == FUNCTIONAL or arbitration_id in _PHYSICAL or arbitration_id in self._others


class _Rate:
    """So many in any second; less than one in a second are so many in any longer time."""

    def __init__(self, most_per_s: float) -> None:
        self._most = max(int(most_per_s), 1)
        self._window_s = self._most / most_per_s if most_per_s < self._most else _SECOND
        self._sent_s: deque[float] = deque(maxlen=self._most)

    def count(self, now_s: float) -> None:
        """One more."""
        if len(self._sent_s) == self._most and (wait_s := self._sent_s[0] + self._window_s - now_s) > 0:
            raise TooOftenError(f"more than {self._most:,} frames in {self._window_s:g} s", wait_s)
        self._sent_s.append(now_s)


def is_read_request(data: bytes) -> bool:
    """A single frame of ISO-TP with a request that changes nothing."""
    if len(data) != _PADDED or not 0 < data[0] < _PADDED:
        return False
    request = data[1 : 1 + data[0]]
    if request[0] == _UDS_READ_DTC:
        return len(request) == 3 and request[1] == _BY_STATUS_MASK
    return _READS.get(request[0]) == len(request)


def is_flow_control(data: bytes) -> bool:
    """Go on, all at once."""
    return len(data) == _PADDED and data[:3] == _FLOW_CONTROL
