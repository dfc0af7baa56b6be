"""How the signals of a message lie in its frames, and the ways through its multiplexers.

A level whose signals overlap or do not fit is broken: cantools cannot unpack it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cantools.database.can import Message, Signal

UNKNOWN_MUX: Final = "unknown_mux"
UNDECODABLE: Final = "undecodable"
FLOAT_FORMATS: Final[Mapping[int, str]] = {16: "e", 32: "f", 64: "d"}


@dataclass(frozen=True, slots=True)
class Node:
    """One level of a message: the signals that are always there, and what each selector's values add."""

    signals: tuple[Signal, ...] = ()
    multiplexers: tuple[tuple[Signal, Mapping[int | None, "Node"]], ...] = ()
    is_broken: bool = False


def is_decodable(message: Message) -> bool:
    """Whether cantools unpacks frames of this message: no container, no signals that overlap or do not fit."""
    return not root_of(message).is_broken


def root_of(message: Message) -> Node:
    return Node(is_broken=True) if message.is_container else _node(message, message.signal_tree)


def _node(message: Message, tree: Iterable[Any]) -> Node:
    signals: list[Signal] = []
    multiplexers: list[tuple[Signal, Mapping[int | None, Node]]] = []
    for element in tree:
        if isinstance(element, str):
            signals.append(message.get_signal_by_name(element))
            continue
        for name, children in element.items():
            selector = message.get_signal_by_name(name)
            signals.append(selector)
            multiplexers.append((selector, {value: _node(message, child) for value, child in children.items()}))
    if _is_broken(signals, 8 * message.length):
        return Node(is_broken=True)
    return Node(tuple(signals), tuple(multiplexers))


def _is_broken(signals: Iterable[Signal], bits: int) -> bool:
    """Whether cantools cannot unpack this level: signals of one byte order overlap, or one does not fit."""
    signals = list(signals)
    if len({signal.name for signal in signals}) < len(signals):
        return True
    if any(signal.conversion.is_float and signal.length not in FLOAT_FORMATS for signal in signals):
        return True
    for byte_order in ("little_endian", "big_endian"):
        end = 0
        for first, last in sorted(span(signal) for signal in signals if signal.byte_order == byte_order):
            if first < end or last >= bits:
                return True
            end = last + 1
    return False


@dataclass(frozen=True, slots=True)
class Way:
    """A way through a message's levels, as far as it is known: signals in cantools' order, selectors yet to be read."""

    bits: int
    signals: tuple[Signal, ...] = ()
    pending: tuple[tuple[Signal, Mapping[int | None, Node]], ...] = ()
    faults: tuple[str, ...] = ()

    def into(self, node: Node) -> "Way":
        """Adds a level: its signals that fit into the frame, and its selectors before those that are pending."""
        if node.is_broken:
            return Way(self.bits, self.signals, self.pending, (*self.faults, UNDECODABLE))
        signals = tuple(signal for signal in node.signals if span(signal)[1] < self.bits)
        multiplexers = tuple(pair for pair in node.multiplexers if span(pair[0])[1] < self.bits)
        return Way(self.bits, self.signals + signals, multiplexers + self.pending, self.faults)

    def choose(self, value: float) -> "Way":
        """On by what the next selector says, cut to an integer as cantools takes it."""
        children = self.pending[0][1]
        chosen = int(value) if math.isfinite(value) else None
        if chosen not in children:
            return self.beyond_selector(UNKNOWN_MUX)
        return self.beyond_selector().into(children[chosen])

    def beyond_selector(self, *faults: str) -> "Way":
        return Way(self.bits, self.signals, self.pending[1:], self.faults + faults)


def span(signal: Signal) -> tuple[int, int]:
    """First and last bit; within a byte, little-endian counts from the lowest bit and big-endian from the highest."""
    first = signal.start
    if signal.byte_order == "big_endian":
        first = 8 * (signal.start // 8) + 7 - signal.start % 8
    return first, first + signal.length - 1


def place(signal: Signal) -> tuple[int, int, int]:
    """First byte, last byte, and how many bits below the signal are not its own."""
    first, last = span(signal)
    shift = first % 8 if signal.byte_order == "little_endian" else 7 - last % 8
    return first // 8, last // 8, shift
