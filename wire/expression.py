"""The language of conditions: `speed > 80 and (BrakePedal == 1 or EEC1.EngineSpeed >= 2500)`.

    condition := and ("or" and)*        and := not ("and" not)*        not := "not" not | comparison | "(" condition ")"
    comparison := number (< | <= | > | >= | == | !=) number
    number := term ((+ | -) term)*      term := factor ((* | /) factor)*
    factor := 12.5 | name | - factor | abs(number) | min(number, …) | max(number, …) | "(" number ")"

A name is a signal: `Signal`, `Message.Signal`, `bus:Message.Signal`, each with `@SA` for one J1939 source; or, of the
newest position, `lat`, `lon`, `alt`, `speed`, `course`, `hdop`, `sats`. It is text until a vehicle says what it
has. Numbers and conditions are told apart here, so that what was parsed can be evaluated. Nothing is ever run as code.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

LONGEST: Final = 500
"""Characters. A chain of operators is as deep as it is long, and this bounds it."""
DEEPEST: Final = 40

Comparison = Literal["<", "<=", ">", ">=", "==", "!="]
Arithmetic = Literal["+", "-", "*", "/"]
FUNCTIONS: Final = ("abs", "min", "max")

_TOKEN: Final = re.compile(
    r"""\s*(?:
    (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<name>(?:[A-Za-z0-9_][A-Za-z0-9_-]{0,31}:)?[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?(?:@[0-9A-Fa-f]{2}(?!\w))?)
    |(?P<sign><=|>=|==|!=|[<>()+\-*/,])
    |(?P<end>$)
    )""",
    re.VERBOSE | re.ASCII,
)
_WORDS: Final = frozenset({"and", "or", "not"})
_COMPARISONS: Final = frozenset({"<", "<=", ">", ">=", "==", "!="})
_ADVICE: Final = {
    "=": "'==' compares",
    "&": "write 'and'",
    "|": "write 'or'",
    "!": "write 'not', or '!=' to compare",
    "'": "values are numbers; a value table's text is not known here",
    '"': "values are numbers; a value table's text is not known here",
}


class ExpressionError(ValueError):
    """What is no condition. `at` counts characters from 1."""

    def __init__(self, problem: str, *, at: int) -> None:
        super().__init__(f"at character {at}: {problem}")
        self.problem = problem
        self.at = at


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Name:
    """A signal, as it is written; `at` counts characters from 1."""

    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Negation:
    of: "Value"


@dataclass(frozen=True, slots=True)
class Operation:
    sign: Arithmetic
    left: "Value"
    right: "Value"


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple["Value", ...]


@dataclass(frozen=True, slots=True)
class Compare:
    sign: Comparison
    left: "Value"
    right: "Value"


@dataclass(frozen=True, slots=True)
class Not:
    of: "Condition"


@dataclass(frozen=True, slots=True)
class Both:
    """`and`."""

    left: "Condition"
    right: "Condition"


@dataclass(frozen=True, slots=True)
class Either:
    """`or`."""

    left: "Condition"
    right: "Condition"


Value = Number | Name | Negation | Operation | Call
Condition = Compare | Not | Both | Either
Node = Value | Condition


def parse_condition(text: str) -> Condition:
    """Raises ExpressionError, which says what is wrong and where."""
    if len(text) > LONGEST:
        raise ExpressionError(f"a condition has at most {LONGEST:,} characters", at=LONGEST + 1)
    parser = _Parser(text)
    condition = parser.condition(parser.either())
    parser.expect_end()
    return condition


def names_of(node: Node) -> Iterator[Name]:
    """Every name in it, from left to right, repeats too."""
    match node:
        case Name():
            yield node
        case Number():
            return
        case Negation(of) | Not(of):
            yield from names_of(of)
        case Call(_, arguments):
            for argument in arguments:
                yield from names_of(argument)
        case Operation(_, left, right) | Compare(_, left, right) | Both(left, right) | Either(left, right):
            yield from names_of(left)
            yield from names_of(right)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else f"'{self.text}'"


@dataclass(frozen=True, slots=True)
class _Part:
    """A node, and where it begins, for the messages."""

    node: Node
    at: int


class _Parser:
    """Recursive descent; each method takes one rule of the module's grammar."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._place = 0
        self._depth = 0

    def either(self) -> _Part:
        return self._joined(self._both, "or", Either)

    def condition(self, part: _Part) -> Condition:
        if not isinstance(part.node, Compare | Not | Both | Either):
            raise ExpressionError("this is a number, and a comparison such as '> 0' is needed", at=part.at)
        return part.node

    def expect_end(self) -> None:
        token = self._next
        if token.kind != "end":
            if token.text in _COMPARISONS:
                raise ExpressionError("comparisons are joined by 'and': a < b and b < c", at=token.at)
            raise ExpressionError(f"{token} does not belong here; conditions are joined by 'and', 'or'", at=token.at)

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self, *texts: str) -> _Token | None:
        token = self._next
        if token.text not in texts:
            return None
        self._place += 1
        return token

    def _joined(self, part: Callable[[], _Part], word: str, join: Callable[[Condition, Condition], Node]) -> _Part:
        left = part()
        while self._take(word):
            left = _Part(join(self.condition(left), self.condition(part())), left.at)
        return left

    def _both(self) -> _Part:
        return self._joined(self._not, "and", Both)

    def _not(self) -> _Part:
        if token := self._take("not"):
            with _Deeper(self, token.at):
                return _Part(Not(self.condition(self._not())), token.at)
        return self._comparison()

    def _comparison(self) -> _Part:
        left = self._sum()
        if token := self._take(*_COMPARISONS):
            sign: Comparison = token.text  # type: ignore[assignment]
            return _Part(Compare(sign, self._value(left), self._value(self._sum())), left.at)
        return left

    def _sum(self) -> _Part:
        return self._operations(self._term, "+", "-")

    def _term(self) -> _Part:
        return self._operations(self._factor, "*", "/")

    def _operations(self, part: Callable[[], _Part], *signs: str) -> _Part:
        left = part()
        while token := self._take(*signs):
            sign: Arithmetic = token.text  # type: ignore[assignment]
            left = _Part(Operation(sign, self._value(left), self._value(part())), left.at)
        return left

    def _factor(self) -> _Part:
        token = self._next
        self._place += token.kind != "end"
        if token.kind == "number":
            return _Part(Number(float(token.text)), token.at)
        if token.kind == "name" and token.text not in _WORDS:
            return _Part(self._call(token) if self._next.text == "(" else Name(token.text, token.at), token.at)
        with _Deeper(self, token.at):
            if token.text == "-":
                return _Part(Negation(self._value(self._factor())), token.at)
            if token.text == "(":
                inner = self.either()
                self._close(token)
                return inner
        raise ExpressionError(f"a signal or a number is needed, not {token}", at=token.at)

    def _call(self, name: _Token) -> Call:
        if name.text not in FUNCTIONS:
            raise ExpressionError(f"there is no function '{name.text}'; there are {', '.join(FUNCTIONS)}", at=name.at)
        opened = self._next
        self._place += 1
        with _Deeper(self, name.at):
            arguments = [self._value(self._sum())]
            while self._take(","):
                arguments.append(self._value(self._sum()))
        self._close(opened)
        if (name.text == "abs") != (len(arguments) == 1):
            wanted = "one number" if name.text == "abs" else "two numbers or more"
            raise ExpressionError(f"{name.text} takes {wanted}", at=name.at)
        return Call(name.text, tuple(arguments))

    def _close(self, opened: _Token) -> None:
        if not self._take(")"):
            raise ExpressionError(f"a ')' is needed for the '(' at {opened.at}, not {self._next}", at=self._next.at)

    def _value(self, part: _Part) -> Value:
        if isinstance(part.node, Compare | Not | Both | Either):
            raise ExpressionError("this is a condition, and a number is needed", at=part.at)
        return part.node


class _Deeper:
    """Counts how deep the parser is, so that no text makes it recurse without bound."""

    def __init__(self, parser: _Parser, at: int) -> None:
        self._parser = parser
        self._at = at

    def __enter__(self) -> None:
        self._parser._depth += 1
        if self._parser._depth > DEEPEST:
            raise ExpressionError(f"nested more than {DEEPEST} deep", at=self._at)

    def __exit__(self, *exc_info: object) -> None:
        self._parser._depth -= 1


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    while True:
        match = _TOKEN.match(text, place)
        if match is None:
            place += len(text[place:]) - len(text[place:].lstrip())
            advice = _ADVICE.get(text[place])
            raise ExpressionError(f"'{text[place]}' is not known here{f'; {advice}' if advice else ''}", at=place + 1)
        kind = str(match.lastgroup)
        yield _Token(kind, match[kind], match.start(kind) + 1)
        if kind == "end":
            return
        place = match.end()
