import pytest

from edge.buses.bus_state import BusState
from edge.buses.socketcan_frames import ErrorFrame

CONTROLLER, BUS_ERROR, BUS_OFF, RESTARTED, COUNTERS = 0x04, 0x80, 0x40, 0x100, 0x200


def _error(error_class: int, details: int = 0, *, t_ms: int = 0, tx: int = 0, rx: int = 0) -> ErrorFrame:
    return ErrorFrame(t_ms * 1_000_000, error_class, bytes([0, details, 0, 0, 0, 0, tx, rx]))


def test_bus_off_and_back_are_two_events() -> None:
    bus = BusState("pt")
    bus.take(_error(BUS_OFF, t_ms=10))
    (off,) = bus.take_events(20)
    bus.take(_error(RESTARTED, t_ms=5_000))
    (back,) = bus.take_events(5_010)
    assert off == (10, "bus_off", {"bus": "pt", "state": "off", "before": "active"})
    assert back == (5_000, "bus_ok", {"bus": "pt", "state": "active", "before": "off"})
    assert bus.bus_offs == 1


@pytest.mark.parametrize(
    ("details", "state"),
    [(0x04, "warning"), (0x08, "warning"), (0x10, "passive"), (0x20, "passive")],
)
def test_a_controller_that_tells_of_its_errors_makes_an_event(details: int, state: str) -> None:
    bus = BusState("pt")
    bus.take(_error(CONTROLLER | COUNTERS, details, tx=130, rx=97))
    assert bus.take_events(0) == [
        (0, "bus_error", {"bus": "pt", "state": state, "before": "active", "tx_errors": 130, "rx_errors": 97})
    ]


@pytest.mark.parametrize("error", [_error(BUS_ERROR), _error(CONTROLLER, 0x01), ErrorFrame(0, CONTROLLER, b"")])
def test_a_fault_that_is_no_state_makes_no_event(error: ErrorFrame) -> None:
    bus = BusState("pt")
    bus.take(error)
    assert bus.take_events(0) == []


def test_a_bus_off_that_data_follows_is_over() -> None:
    bus = BusState("pt")
    bus.take(_error(BUS_OFF))
    bus.take_events(0)
    bus.note_data(9_000)
    assert [event.kind for event in bus.take_events(9_000)] == ["bus_ok"]


def test_data_does_not_end_a_warning() -> None:
    bus = BusState("pt")
    bus.take(_error(CONTROLLER, 0x04))
    bus.note_data(1)
    assert bus.state == "warning"


def test_an_interface_that_is_away_and_back() -> None:
    bus = BusState("pt")
    bus.note_away(5, "Network is down")
    bus.note_away(6, "Network is down")
    (away,) = bus.take_events(6)
    bus.note_data(2_000)
    (back,) = bus.take_events(2_000)
    assert away == (5, "bus_error", {"bus": "pt", "state": "away", "before": "active", "problem": "Network is down"})
    assert back.kind == "bus_ok"


def test_a_bus_that_flaps_is_told_once_a_second_and_then_as_it_is() -> None:
    bus = BusState("pt")
    events = []
    for t_ms in range(0, 10_000, 10):
        bus.take(_error(CONTROLLER, 0x10 if t_ms % 20 else 0x40, t_ms=t_ms))
        events += bus.take_events(t_ms)
    assert 0 < len(events) <= 10
    assert bus.take_events(99_000) == [] or bus.state != events[-1].data["state"]


def test_a_change_that_was_taken_back_before_it_was_told_is_not_told() -> None:
    bus = BusState("pt")
    bus.take(_error(BUS_OFF, t_ms=1))
    bus.take(_error(RESTARTED, t_ms=2))
    assert bus.take_events(3) == []
    assert bus.bus_offs == 1
