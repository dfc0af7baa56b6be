"""What is a condition and what is not, and what is said about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.expression import (
    DEEPEST,
    LONGEST,
    Both,
    Compare,
    Either,
    ExpressionError,
    Name,
    Not,
    Number,
    Operation,
    names_of,
    parse_condition,
)


def test_and_binds_closer_than_or_and_not_closest() -> None:
    a, b, c = (Compare(">", Name(name, at), Number(1.0)) for name, at in (("a", 1), ("b", 14), ("c", 24)))
    assert parse_condition("a > 1 or not b > 1 and c > 1") == Either(a, Both(Not(b), c))
    assert parse_condition("a>1     and (b>1    or c>1)") == Both(a, Either(b, c))


def test_arithmetic_binds_closer_than_comparison() -> None:
    assert parse_condition("a - 2 * b <= -1.5e3 / c") == Compare(
        "<=",
        Operation("-", Name("a", 1), Operation("*", Number(2.0), Name("b", 9))),
        Operation("/", parse_condition("-1.5e3 > 0").left, Name("c", 23)),  # type: ignore[union-attr]
    )


@pytest.mark.parametrize(
    "name", ["speed", "BrakePedal", "EEC1.EngineSpeed", "pt:EEC1.EngineSpeed", "EEC1.EngineSpeed@0B", "b-1:M.S@fF"]
)
def test_name_of_a_signal_is_one_name(name: str) -> None:
    assert [found.text for found in names_of(parse_condition(f"abs({name}) > min({name}, 3)"))] == [name, name]


@pytest.mark.parametrize(
    ("text", "at", "problem"),
    [
        ("", 1, "a signal or a number is needed, not the end"),
        ("a", 1, "this is a number, and a comparison such as '> 0' is needed"),
        ("a > 1 and b", 11, "this is a number, and a comparison"),
        ("a = 1", 3, "'==' compares"),
        ("a > 1 && b > 1", 7, "write 'and'"),
        ("gear == 'D'", 9, "values are numbers"),
        ("1 < a < 3", 7, "joined by 'and'"),
        ("(a > 1", 7, "a ')' is needed for the '(' at 1"),
        ("a > 1)", 6, "does not belong here"),
        ("(a > 1) + 2 > 3", 2, "this is a condition, and a number is needed"),
        ("abs(a, b) > 1", 1, "abs takes one number"),
        ("min(a) > 1", 1, "min takes two numbers or more"),
        ("open('x') > 1", 6, "values are numbers"),
        ("exec(a) > 1", 1, "there is no function 'exec'; there are abs, min, max"),
        ("a.b.c > 1", 4, "is not known here"),
        ("__import__ > 1 and 12abc > 1", 20, "is not known here"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, at: int, problem: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_condition(text)
    assert caught.value.at == at
    assert problem in str(caught.value)


@pytest.mark.parametrize("opening", ["(", "not ", "-", "abs("])
def test_depth_is_bounded(opening: str) -> None:
    with pytest.raises(ExpressionError, match=f"more than {DEEPEST} deep"):
        parse_condition(opening * 60)


def test_length_is_bounded_and_the_longest_chain_can_be_walked() -> None:
    with pytest.raises(ExpressionError, match="at most"):
        parse_condition("a" * (LONGEST + 1))
    chain = "a" + "+a" * ((LONGEST - 3) // 2) + ">1"
    assert len(list(names_of(parse_condition(chain)))) == chain.count("a")


@given(st.text(alphabet="ab1.()<>=!+-*/, @:andortmix\"'&\\\n"))
def test_any_text_is_a_condition_or_an_error_with_a_place(text: str) -> None:
    try:
        parse_condition(text)
    except ExpressionError as error:
        place = error.at
    else:
        place = 1
    assert 1 <= place <= len(text) + 1
