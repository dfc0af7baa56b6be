"""When conditions become true."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.campaigns.conditions import FIX_NAMES, Conditions, Operand, UnknownSignal, resolve
from edge.fix import Fix
from wire.expression import Name, parse_condition

KNOWN = frozenset({"pt:EEC1.EngineSpeed", "pt:Brakes.BrakePedal", "body:Doors.Open", "pt:Doors.Open", *FIX_NAMES})


def conditions(*texts: str) -> Conditions:
    made = Conditions([parse_condition(text) for text in texts], KNOWN)
    for index, name in enumerate(["pt:EEC1.EngineSpeed", "pt:Brakes.BrakePedal", "pt:EEC1.EngineSpeed@0B"]):
        made.learn(index, name)
    return made


@pytest.mark.parametrize(
    ("text", "operand"),
    [
        ("EngineSpeed", Operand("pt:EEC1.EngineSpeed")),
        ("EEC1.EngineSpeed@0b", Operand("pt:EEC1.EngineSpeed", "0B")),
        ("pt:EEC1.EngineSpeed", Operand("pt:EEC1.EngineSpeed")),
        ("body:Doors.Open", Operand("body:Doors.Open")),
        ("speed", Operand("Fix.speed")),
    ],
)
def test_name_is_found_by_as_much_of_it_as_is_needed(text: str, operand: Operand) -> None:
    assert resolve(Name(text, 1), KNOWN) == operand


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("EngnSpeed", "at character 5: this vehicle has no signal 'EngnSpeed'; did you mean 'EngineSpeed'?"),
        ("Open", "'Open' may be body:Doors.Open or pt:Doors.Open: write which"),
        ("EEC2.EngineSpeed", "did you mean 'pt:EEC1.EngineSpeed'?"),
        ("speed@0B", "may be Fix.speed"),
    ],
)
def test_name_that_is_not_one_signal_is_refused(text: str, problem: str) -> None:
    with pytest.raises(UnknownSignal) as caught:
        resolve(Name(text, 5), KNOWN)
    assert problem in str(caught.value)


def test_condition_fires_when_it_becomes_true_and_not_while_it_is() -> None:
    subject = conditions("EngineSpeed > 80 and BrakePedal == 1")
    fired = [
        subject.offer(zip((0, 1), values, strict=True))
        for values in ((90.0, 0), (90.0, 1), (95.0, 1), (95.0, 0), (10.0, 1), (81.0, 1))
    ]
    assert fired == [[], [0], [], [], [], [0]]


def test_what_is_not_known_yet_decides_nothing() -> None:
    either, negated, differs = "EngineSpeed > 1 or BrakePedal > 1", "not BrakePedal > 1", "BrakePedal != 3"
    subject = conditions(either, negated, differs)
    assert subject.offer([(0, 2.0)]) == [0]
    assert subject.offer([(1, 0.0)]) == [1, 2]
    assert conditions("EngineSpeed > 1 and BrakePedal > 1").offer([(0, 2.0)]) == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_value_that_is_not_finite_is_not_known(value: float) -> None:
    assert conditions("not EngineSpeed > 1").offer([(0, value)]) == []


def test_division_by_zero_is_not_known() -> None:
    subject = conditions("EngineSpeed / BrakePedal > 2")
    assert [subject.offer(enumerate(values)) for values in ((10, 0), (10, 2), (10, 0), (10, 2))] == [
        [],
        [0],
        [],
        [0],
    ]


def test_any_source_counts_unless_one_is_named() -> None:
    subject = conditions("EngineSpeed > 1", "EngineSpeed@0B > 1")
    assert subject.offer([(0, 2.0)]) == [0]
    assert subject.offer([(2, 3.0)]) == [1]
    assert subject.values(1) == {"pt:EEC1.EngineSpeed@0B": 3.0}


def test_position_is_watched_too() -> None:
    subject = conditions("speed > 80 and lat > 60")
    assert subject.offer_fix(Fix(0, 61.0, 20.0)) == []
    assert subject.offer_fix(Fix(0, 61.0, 20.0, speed=90.0)) == [0]
    assert subject.watches_fixes
    assert not subject.watched


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5).map(float)


@given(NUMBERS, NUMBERS, st.sampled_from(["+", "-", "*", "/"]), st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
def test_numbers_are_compared_as_python_compares_them(a: float, b: float, sign: str, comparison: str) -> None:
    subject = conditions(f"(EngineSpeed {sign} BrakePedal) * 1 {comparison} max(EngineSpeed, abs(BrakePedal), -3)")
    fired = subject.offer([(0, a), (1, b)])
    try:
        left = {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else math.nan}[sign]
    except OverflowError:
        left = math.inf
    right = max(a, abs(b), -3)
    wanted = (
        math.isfinite(left)
        and {
            "<": left < right,
            "<=": left <= right,
            ">": left > right,
            ">=": left >= right,
            "==": left == right,
            "!=": left != right,
        }[comparison]
    )
    assert bool(fired) == wanted
