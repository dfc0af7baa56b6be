"""What a CAN controller's error frames say of the bus, as events. Pure.

A bus is "active" when all is well, then "warning", "passive" and "off" as errors pile up, and "away" while its
interface cannot be read. An event tells of another state than the one told before: `bus_off`, `bus_error` for the
others that are not well, `bus_ok` for the way back; one a second at most, which then tells the newest.
"""

from typing import Final, Literal

from pydantic import JsonValue

from edge.buses.bus_event import BusEvent
from edge.buses.socketcan_frames import ErrorFrame

LEAST_INTERVAL_MS: Final = 1_000

_CONTROLLER: Final = 0x004  # linux/can/error.h: CAN_ERR_CRTL, its details in data[1]
_BUS_OFF: Final = 0x040
_RESTARTED: Final = 0x100
_COUNTERS: Final = 0x200  # data[6] and data[7] are the error counters
_WARNING_BITS: Final = 0x0C
_PASSIVE_BITS: Final = 0x30
_ACTIVE_BIT: Final = 0x40
_KINDS: Final = {"off": "bus_off", "active": "bus_ok"}
_NS_PER_MS: Final = 1_000_000

State = Literal["active", "warning", "passive", "off", "away"]


class BusState:
    """One bus."""

    def __init__(self, bus: str) -> None:
        self.state: State = "active"
        self.bus_offs = 0
        self._bus = bus
        self._told: State = "active"
        self._told_ms: int | None = None
        self._since_ms = 0
        self._details: dict[str, JsonValue] = {}

    def take(self, error: ErrorFrame) -> None:
        """An error frame; most tell of a fault on the bus and not of a state."""
        state = _state(error)
        if state is None:
            return
        details: dict[str, JsonValue] = {}
        if error.error_class & _COUNTERS and len(error.data) >= 8:
            details = {"tx_errors": error.data[6], "rx_errors": error.data[7]}
        self._enter(state, error.t_ns // _NS_PER_MS, details)

    def note_data(self, t_ms: int) -> None:
        """A data frame came, which a bus that is off or away does not bring."""
        if self.state in ("off", "away"):
            self._enter("active", t_ms, {})

    def note_away(self, t_ms: int, problem: str) -> None:
        """The interface cannot be read."""
        self._enter("away", t_ms, {"problem": problem})

    def take_events(self, now_ms: int) -> list[BusEvent]:
        """What there is to tell by now."""
        is_early = self._told_ms is not None and 0 <= now_ms - self._told_ms < LEAST_INTERVAL_MS
        if self.state == self._told or is_early:
            return []
        data: dict[str, JsonValue] = {"bus": self._bus, "state": self.state, "before": self._told, **self._details}
        self._told, self._told_ms = self.state, now_ms
        return [BusEvent(self._since_ms, _KINDS.get(self.state, "bus_error"), data)]

    def _enter(self, state: State, t_ms: int, details: dict[str, JsonValue]) -> None:
        if state == self.state:
            return
        self.bus_offs += state == "off"
        self.state, self._since_ms, self._details = state, t_ms, details


def _state(error: ErrorFrame) -> State | None:
    """The state that an error frame tells of; the worst where it tells of several."""
    if error.error_class & _BUS_OFF:
        return "off"
    if error.error_class & _RESTARTED:
        return "active"
    if not error.error_class & _CONTROLLER or len(error.data) < 2:
        return None
    details = error.data[1]
    if details & _PASSIVE_BITS:
        return "passive"
    if details & _WARNING_BITS:
        return "warning"
    return "active" if details & _ACTIVE_BIT else None
