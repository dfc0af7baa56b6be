"""The frames with which controllers are asked (ISO 15765-2 and -4): requests and flow control, and who answers them."""

from dataclasses import dataclass
from typing import Final, Literal

from edge.frame import Frame
from edge.protocols.transmit_rules import FUNCTIONAL, FUNCTIONAL_EXTENDED

Width = Literal["11bit", "29bit"]

_PADDING: Final = b"\xcc"
_GO_ON: Final = bytes([0x30, 0x00, 0x00])
_ANSWERS: Final = range(0x7E8, 0x7F0)
_TESTER: Final = 0xF1
_PHYSICAL_EXTENDED: Final = 0x18DA0000


@dataclass(frozen=True, slots=True)
class Controller:
    """Where one is asked, and where it answers."""

    request_id: int
    answer_id: int
    is_extended: bool = False


def controller_of(answer_id: int, is_extended: bool) -> Controller | None:
    """The controller that answers functional requests under this identifier, None where that is no answer of OBD."""
    if not is_extended:
        return Controller(answer_id - 8, answer_id) if answer_id in _ANSWERS else None
    if answer_id & 0x1FFFFF00 != _PHYSICAL_EXTENDED | _TESTER << 8:
        return None
    return Controller(_PHYSICAL_EXTENDED | (answer_id & 0xFF) << 8 | _TESTER, answer_id, True)


def to_all(width: Width, payload: bytes) -> Frame:
    """A request to every controller."""
    is_extended = width == "29bit"
    return _frame(FUNCTIONAL_EXTENDED if is_extended else FUNCTIONAL, is_extended, bytes([len(payload)]) + payload)


def to_one(controller: Controller, payload: bytes) -> Frame:
    """A request to one controller."""
    return _frame(controller.request_id, controller.is_extended, bytes([len(payload)]) + payload)


def go_on(controller: Controller) -> Frame:
    """Flow control: the rest of the answer, without pauses."""
    return _frame(controller.request_id, controller.is_extended, _GO_ON)


def _frame(arbitration_id: int, is_extended: bool, content: bytes) -> Frame:
    return Frame(None, "", arbitration_id, is_extended, content.ljust(8, _PADDING))
