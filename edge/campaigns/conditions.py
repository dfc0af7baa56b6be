"""When a campaign's conditions become true, over the newest values of the signals that they name.

Pure. A condition is true, false, or unknown where a value that decides it has not come yet (or is not finite, or is
divided by zero): `a > 1 or b > 1` is true as soon as one of them is. It fires when it becomes true, not while it is.
"""

import math
from collections.abc import Callable, Iterable, KeysView, Mapping, Sequence
from difflib import get_close_matches
from typing import Final, NamedTuple

from edge.fix import Fix
from wire.expression import (
    Both,
    Call,
    Compare,
    Condition,
    Either,
    Name,
    Negation,
    Not,
    Number,
    Operation,
    Value,
    names_of,
)

FIX_FIELDS: Final = ("lat", "lon", "alt", "speed", "course", "hdop", "sats")
FIX_NAMES: Final = tuple(f"Fix.{field}" for field in FIX_FIELDS)

Values = list[float | None]
_Number = Callable[[Values], float | None]
_Truth = Callable[[Values], bool | None]


class Operand(NamedTuple):
    """What a name means on this vehicle: `bus:Message.Signal` or `Fix.speed`; and the J1939 source, if one counts."""

    name: str
    source: str | None = None


class UnknownSignal(ValueError):
    """A name that this vehicle does not have, or has more than once."""


def resolve(name: Name, known: Iterable[str]) -> Operand:
    """Raises UnknownSignal. `known` are full names without a source, those of FIX_NAMES where there are positions."""
    wanted, _, source = name.text.partition("@")
    known = frozenset(known)
    found = sorted(full for full in known if _ends_with(full, wanted))
    if len(found) == 1 and not (source and found[0] in FIX_NAMES):
        return Operand(found[0], source.upper() or None)
    if found:
        raise UnknownSignal(f"at character {name.at}: {name.text!r} may be {' or '.join(found[:5])}: write which")
    near = get_close_matches(wanted, sorted(known | {_short(full) for full in known}), n=1, cutoff=0.0)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UnknownSignal(f"at character {name.at}: this vehicle has no signal {name.text!r}{hint}")


class Conditions:
    """All of a campaign's. `watched` are the indices of signals that they need, as far as these are known."""

    def __init__(self, conditions: Sequence[Condition], known: Iterable[str]) -> None:
        """Raises UnknownSignal."""
        known = frozenset(known)
        self._slots: dict[Operand, int] = {}
        self._values: Values = []
        self._truths: list[_Truth] = []
        self._was: list[bool | None] = [None] * len(conditions)
        self._of_slot: list[list[int]] = []
        self._slots_of_index: dict[int, list[int]] = {}
        for number, condition in enumerate(conditions):
            slots = {name.text: self._slot(resolve(name, known)) for name in names_of(condition)}
            for slot in sorted(set(slots.values())):
                self._of_slot[slot].append(number)
            self._truths.append(_truth(condition, slots))
        self._fix_slots = [
            (field, self._slots[operand])
            for field, name in zip(FIX_FIELDS, FIX_NAMES, strict=True)
            if (operand := Operand(name)) in self._slots
        ]

    @property
    def watched(self) -> KeysView[int]:
        return self._slots_of_index.keys()

    @property
    def watches_fixes(self) -> bool:
        return bool(self._fix_slots)

    def learn(self, index: int, name: str) -> None:
        """There is a signal of this full name, which may have a source behind it."""
        base, _, source = name.partition("@")
        slots = [
            slot
            for operand, slot in self._slots.items()
            if operand.name == base and operand.source in (None, source.upper())
        ]
        if slots:
            self._slots_of_index[index] = slots

    def offer(self, values: Iterable[tuple[int, float]]) -> Sequence[int]:
        """Take the values of signals, by index; gives the numbers of the conditions that became true."""
        touched: set[int] = set()
        for index, value in values:
            if (slots := self._slots_of_index.get(index)) is not None:
                for slot in slots:
                    self._set(slot, value, touched)
        return self._fired(touched)

    def offer_fix(self, fix: Fix) -> Sequence[int]:
        """Take a position; gives the numbers of the conditions that became true."""
        touched: set[int] = set()
        for field, slot in self._fix_slots:
            self._set(slot, getattr(fix, field), touched)
        return self._fired(touched)

    def values(self, number: int) -> dict[str, float | None]:
        """What a condition's names stand at."""
        return {
            operand.name if operand.source is None else f"{operand.name}@{operand.source}": self._values[slot]
            for operand, slot in self._slots.items()
            if number in self._of_slot[slot]
        }

    def _slot(self, operand: Operand) -> int:
        slot = self._slots.setdefault(operand, len(self._values))
        if slot == len(self._values):
            self._values.append(None)
            self._of_slot.append([])
        return slot

    def _set(self, slot: int, value: float | None, touched: set[int]) -> None:
        number = None if value is None or not math.isfinite(value) else float(value)
        if number != self._values[slot]:
            self._values[slot] = number
            touched.update(self._of_slot[slot])

    def _fired(self, touched: Iterable[int]) -> Sequence[int]:
        fired = []
        for number in sorted(touched):
            was, self._was[number] = self._was[number], self._truths[number](self._values)
            if self._was[number] and not was:
                fired.append(number)
        return fired


def _ends_with(full: str, wanted: str) -> bool:
    return full == wanted or full.endswith((f":{wanted}", f".{wanted}"))


def _short(full: str) -> str:
    return full.rpartition(".")[2]


def _truth(node: Condition, slots: Mapping[str, int]) -> _Truth:
    match node:
        case Not(of):
            inner = _truth(of, slots)
            return lambda values: None if (truth := inner(values)) is None else not truth
        case Both(left, right):
            return _joined(_truth(left, slots), _truth(right, slots), decides=False)
        case Either(left, right):
            return _joined(_truth(left, slots), _truth(right, slots), decides=True)
        case Compare(sign, left, right):
            one, other, compare = _number(left, slots), _number(right, slots), _COMPARE[sign]

            def compared(values: Values) -> bool | None:
                a, b = one(values), other(values)
                return None if a is None or b is None else compare(a, b)

            return compared


def _joined(left: _Truth, right: _Truth, *, decides: bool) -> _Truth:
    """`or` where a true part decides, `and` where a false one does."""

    def joined(values: Values) -> bool | None:
        a = left(values)
        if a is decides:
            return decides
        b = right(values)
        return b if b is decides or a is not None else None

    return joined


def _number(node: Value, slots: Mapping[str, int]) -> _Number:
    match node:
        case Number(value):
            return lambda _: value
        case Name(text, _):
            slot = slots[text]
            return lambda values: values[slot]
        case Negation(of):
            inner = _number(of, slots)
            return lambda values: None if (value := inner(values)) is None else -value
        case Operation(sign, left, right):
            one, other, operate = _number(left, slots), _number(right, slots), _OPERATE[sign]

            def operated(values: Values) -> float | None:
                a, b = one(values), other(values)
                return None if a is None or b is None else _finite(operate(a, b))

            return operated
        case Call(function, arguments):
            parts, call = [_number(argument, slots) for argument in arguments], _CALL[function]

            def called(values: Values) -> float | None:
                numbers = [part(values) for part in parts]
                known = [number for number in numbers if number is not None]
                return call(known) if len(known) == len(numbers) else None

            return called


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
_OPERATE: Final[Mapping[str, Callable[[float, float], float | None]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b if b else None,
}
_CALL: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "abs": lambda numbers: abs(numbers[0]),
    "min": min,
    "max": max,
}
