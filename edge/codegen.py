"""Python functions made from a message's layout: one for each way through its multiplexers, compiled when first taken.

The values are those of cantools' `decode(data, decode_choices=False, allow_truncated=True)`, equal in number and type
(int or float), in the same order; value tables do not change the number. Where cantools raises, the rest is given:
an unknown selector value gives what does not depend on it, a level whose signals overlap or do not fit gives nothing.

The source holds numbers and names made here, nothing out of the database.
"""

import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import groupby
from types import CodeType
from typing import cast

from cantools.database.can import Message, Signal
from cantools.database.conversion import (
    BaseConversion,
    IdentityConversion,
    LinearConversion,
    LinearIntegerConversion,
    NamedSignalConversion,
)

from edge.recordings.message_layout import FLOAT_FORMATS, UNKNOWN_MUX, Way, place, root_of, span

Number = int | float
Decoded = tuple[tuple[int, ...], tuple[Number, ...], bool]
Read = Callable[[bytes], Decoded]
Value = Callable[[int], Number]
Change = tuple[int, Number]
Changes = Callable[[bytes, bytes], list[Change]]
"""The signals, by index and new value, whose bits differ between a payload and the one before it."""

_MOST_FUNCTIONS = 2048  # a message with many independent multiplexers starts anew rather than fill the memory
_MOST_SOURCES = 256
_KNOWN_CONVERSIONS = (IdentityConversion, LinearConversion, LinearIntegerConversion, NamedSignalConversion)


class Reader:
    """Reads one message. `indices` gives each signal's index; `report(cause)` is called for each fault of a frame."""

    def __init__(self, message: Message, indices: Mapping[str, int], report: Callable[[str], None]) -> None:
        self.length = message.length
        self.read: Read = self._first_read
        self._message = message
        self._root = root_of(message)
        self._indices = indices
        self._report = report
        self._functions = 0
        self._shorter: dict[int, Read] = {}

    @property
    def name(self) -> str:
        """The message's."""
        return self._message.name

    def way_into(self, length: int) -> Way:
        """Into a frame of so many bytes, as far as no selector has to be read."""
        return Way(8 * length).into(self._root)

    @property
    def signals(self) -> Sequence[Signal]:
        """All that a frame may have."""
        return self._message.signals

    def index_of(self, signal: Signal) -> int:
        """The signal's index."""
        return self._indices[signal.name]

    def read_short(self, data: bytes) -> Decoded:
        """The signals that fit into a frame that is shorter than the message."""
        read = self._shorter.get(len(data))
        if read is None:
            read = self._shorter[len(data)] = self._step(self.way_into(len(data)))
        return read(data.ljust(self.length, b"\xff"))

    @cached_property
    def changes(self) -> Changes | None:
        """Compares two frames of the message's length; None where it depends on the payload which signals there are."""
        if self._root.multiplexers or self._root.is_broken:
            return None
        source = _Source(self.length, {})
        lines = ["found = []"]
        for where, together in groupby(self._root.signals, lambda signal: place(signal)[:2]):
            lines += self._changes_of(source, where, list(together))
        return source.compile_changes([*lines, "return found"], self._root.signals)

    def _changes_of(self, source: "_Source", where: tuple[int, int], signals: list[Signal]) -> list[str]:
        """For neighbours in the same bytes: compare these first, and where they differ each signal's own bits."""
        first, last = where
        lines = []
        indent = ""
        if len(signals) > 1:
            differs = " or ".join(f"b{number} != p{number}" for number in range(first, last + 1))
            lines.append(f"if {differs}:")
            indent = "    "
        for signal in signals:
            lines.append(f"{indent}if {_differs(signal)}:")
            lines.append(f"{indent}    found.append(({self._indices[signal.name]}, {source.scaled(signal)}))")
        return lines

    def _first_read(self, data: bytes) -> Decoded:
        """Stands in for `read`, the function for a frame of the message's length, until one comes."""
        self.read = self._step(self.way_into(self.length))
        return self.read(data)

    def _step(self, way: "Way") -> Read:
        """The function for what is left to do on this way: choose by the next selector, or read all its signals."""
        if self._functions >= _MOST_FUNCTIONS:
            self._functions = 0
            self._shorter.clear()
            self.read = self._first_read
        self._functions += 1
        if not way.pending:
            return self._leaf(way)
        selector, children = way.pending[0]
        branches: dict[int | None, Read] = {}
        otherwise: list[Read] = []

        def open_branch(value: int | None) -> Read:
            if value in children:
                branches[value] = self._step(way.beyond_selector().into(children[value]))
                return branches[value]
            if not otherwise:
                otherwise.append(self._step(way.beyond_selector(UNKNOWN_MUX)))
            return otherwise[0]

        constants: dict[str, object] = {"find": branches.get, "open_branch": open_branch, "selector": _selector}
        expression = _Source(self.length, constants)
        value = expression.scaled(selector)
        if selector.conversion.is_float or not _is_identity(selector.conversion):
            value = f"selector({value})"
        body = [
            f"value = {value}",
            "read = find(value)",
            "if read is None: read = open_branch(value)",
            "return read(data)",
        ]
        return expression.compile(body)

    def _leaf(self, way: "Way") -> Read:
        constants: dict[str, object] = {
            "indices": tuple(self._indices[signal.name] for signal in way.signals),
            "report": self._report,
        }
        expression = _Source(self.length, constants)
        values = "".join(f"{expression.scaled(signal)}, " for signal in way.signals)
        reports = [f"report({cause!r})" for cause in way.faults]
        return expression.compile([*reports, f"return indices, ({values}), True"])


def value_of(signal: Signal) -> Value:
    """The signal's number, as a reader gives it, out of its bits as an unsigned integer."""
    return _Source(0, {}).compile_value(signal)


class _Source:
    """Collects the expressions of one function, and the bytes that they need as local names b0, b1 …"""

    def __init__(self, length: int, constants: dict[str, object]) -> None:
        self._length = length
        self._constants = constants | {"from_bytes": int.from_bytes}
        self._bytes: set[int] = set()

    def scaled(self, signal: Signal) -> str:
        """The physical value."""
        return self.scale(signal.conversion, self._raw(signal))

    def scale(self, conversion: BaseConversion, raw: str) -> str:
        """As cantools' conversion computes it: the operations decide between int and float."""
        if not isinstance(conversion, _KNOWN_CONVERSIONS):
            return f"{self._constant(lambda value: conversion.raw_to_scaled(value, decode_choices=False))}({raw})"
        if _is_identity(conversion):
            return raw
        scale, offset = conversion.scale, conversion.offset
        if float(scale).is_integer() and float(offset).is_integer() and not conversion.is_float:
            scale, offset = int(scale), int(offset)
        product = f"({raw})" if isinstance(scale, int) and scale == 1 else f"({raw}) * {self._number(scale)}"
        # Adding an integer 0 changes nothing but the sign of a negative zero.
        keeps_sign = isinstance(scale, float) and scale > 0 and not conversion.is_float
        if (
            isinstance(offset, int)
            and offset == 0
            and (keeps_sign or (isinstance(scale, int) and not conversion.is_float))
        ):
            return product
        return f"{product} + {self._number(offset)}"

    def compile(self, body: list[str]) -> Read:
        """`def read(data)`."""
        return cast(Read, self._compile("read(data)", [*self._load_bytes(), *body]))

    def compile_value(self, signal: Signal) -> Value:
        """`def value(bits)`."""
        bits = "bits"
        if signal.conversion.is_float:
            bits = self.float_of(signal, bits)
        elif signal.is_signed:
            bits = _signed(bits, signal.length)
        return cast(Value, self._compile("value(bits)", [f"return {self.scale(signal.conversion, bits)}"]))

    def compile_changes(self, body: list[str], signals: Iterable[Signal]) -> Changes:
        """`def changes(data, last)`, with the bytes of `last` as p0, p1 …"""
        for signal in signals:
            first, last, _ = place(signal)
            self._bytes.update(range(first, last + 1))
        loads = [*self._load_bytes(), *self._load_bytes("p", "last")]
        return cast(Changes, self._compile("changes(data, last)", [*loads, *body]))

    def _compile(self, head: str, body: list[str]) -> object:
        source = f"def {head}:\n" + "".join(f"    {line}\n" for line in body)
        exec(_code_of(source), self._constants)
        return self._constants[head.partition("(")[0]]

    def _raw(self, signal: Signal) -> str:
        if signal.conversion.is_float:
            return self._float(signal)
        bits = self._bits(signal)
        return _signed(bits, signal.length) if signal.is_signed else bits

    def _bits(self, signal: Signal) -> str:
        """The signal's bits as an unsigned integer."""
        first, last, shift = place(signal)
        count = last - first + 1
        little = signal.byte_order == "little_endian"
        if count > 4:
            order = "little" if little else "big"
            word = f"from_bytes(data[{first}:{last + 1}], {order!r})"
        else:
            self._bytes.update(range(first, last + 1))
            numbers = range(first, last + 1) if little else range(last, first - 1, -1)
            word = " | ".join(
                f"b{number} << {8 * place}" if place else f"b{number}" for place, number in enumerate(numbers)
            )
            word = f"({word})" if count > 1 else word
        shifted = f"{word} >> {shift}" if shift else word
        if signal.length + shift == 8 * count:
            return f"({shifted})" if shift else shifted
        return f"({shifted} & {(1 << signal.length) - 1})"

    def _float(self, signal: Signal) -> str:
        first, last, shift = place(signal)
        size = signal.length // 8
        order = "<" if signal.byte_order == "little_endian" else ">"
        layout = struct.Struct(order + FLOAT_FORMATS[signal.length])
        if shift == 0 and last - first + 1 == size:
            return f"{self._constant(layout.unpack_from)}(data, {first})[0]"
        return self.float_of(signal, self._bits(signal))

    def float_of(self, signal: Signal, bits: str) -> str:
        """The number whose bits these are."""
        layout = struct.Struct("<" + FLOAT_FORMATS[signal.length])
        return f"{self._constant(layout.unpack)}(({bits}).to_bytes({layout.size}, 'little'))[0]"

    def _number(self, value: Number) -> str:
        return repr(value) if math.isfinite(value) else self._constant(value)

    def _constant(self, value: object) -> str:
        name = f"c{len(self._constants)}"
        self._constants[name] = value
        return name

    def _load_bytes(self, letter: str = "b", payload: str = "data") -> list[str]:
        if len(self._bytes) > 3 and self._length <= 8:  # one unpacking is faster than four look-ups
            names = (f"{letter}{number}" if number in self._bytes else "_" for number in range(self._length))
            return [", ".join(names) + f" = {payload}"]
        return [f"{letter}{number} = {payload}[{number}]" for number in sorted(self._bytes)]


@lru_cache(_MOST_SOURCES)
def _code_of(source: str) -> CodeType:
    """Compiled once for all signals that are computed alike."""
    return compile(source, "<decoder>", "exec")


def _signed(bits: str, length: int) -> str:
    sign = 1 << (length - 1)
    return f"({bits} ^ {sign}) - {sign}"


def _differs(signal: Signal) -> str:
    """Whether the signal's own bits differ between the bytes b0, b1 … and p0, p1 …"""
    first, last = span(signal)
    masks: dict[int, int] = {}
    for bit in range(first, last + 1):
        in_byte = bit % 8 if signal.byte_order == "little_endian" else 7 - bit % 8
        masks[bit // 8] = masks.get(bit // 8, 0) | 1 << in_byte
    return " or ".join(
        f"b{number} != p{number}" if mask == 0xFF else f"(b{number} ^ p{number}) & {mask}"
        for number, mask in masks.items()
    )


def _is_identity(conversion: BaseConversion) -> bool:
    return isinstance(conversion, _KNOWN_CONVERSIONS) and conversion.scale == 1 and conversion.offset == 0


def _selector(value: Number) -> int | None:
    """The selector as cantools takes it, cut to an integer; None where it is none."""
    return int(value) if math.isfinite(value) else None
