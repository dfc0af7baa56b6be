"""Load a CAN database with cantools, and say in one line what is wrong with one that cannot be used."""

import re
from pathlib import Path

from cantools.database import load_file
from cantools.database.can import Database
from cantools.database.errors import UnsupportedDatabaseFormatError

from edge.errors import EdgeError

_FORMATS = {".arxml": "arxml", ".cdd": "cdd", ".kcd": "kcd", ".sym": "sym"}  # anything else is read as a DBC
_SYNTAX = re.compile(r"at line (?P<line>\d+), column (?P<column>\d+)")
_MESSAGE_LINE = r"^\s*BO_\s+\d+\s+{}\s*:"
_SIGNAL_LINE = r"^\s*SG_\s+{}\s"
_SECTION_AFTER_NS = re.compile(r"^\s*(BS_|BU_|BO_)\b")


class DbcError(EdgeError):
    """A database that cannot be used. `line` is None where it is not known."""

    def __init__(self, path: Path, problem: str, *, line: int | None = None, advice: str | None = None) -> None:
        where = f"{path}, line {line}" if line is not None else str(path)
        super().__init__(f"{where}: {problem}" + (f" {advice}" if advice else ""))
        self.path = path
        self.line = line
        self.problem = problem
        self.advice = advice


def load_database(path: Path, *, strict: bool = True) -> Database:
    """The database of `path` (DBC, KCD, SYM or ARXML), its signals in cantools' order. Raises DbcError.

    `strict=False` also takes messages whose signals overlap or do not fit; those cannot be decoded.
    """
    try:
        return _load(path, strict=strict)
    except UnsupportedDatabaseFormatError as error:
        raise _explain(path, error, strict=strict) from error


def _load(path: Path, *, strict: bool) -> Database:
    try:
        database = load_file(path, _FORMATS.get(path.suffix.lower(), "dbc"), strict=strict)
    except OSError as error:
        raise DbcError(path, f"cannot be read: {error.strerror}.") from error
    if not isinstance(database, Database):
        raise DbcError(path, "describes diagnostics, not CAN frames.", advice="Name a DBC, KCD, SYM or ARXML file.")
    return database


def _explain(path: Path, error: UnsupportedDatabaseFormatError, *, strict: bool) -> DbcError:
    if error.e_dbc is None:
        return DbcError(path, f"is no CAN database that cantools reads: {error}.")
    problem = str(error.e_dbc)
    lines = path.read_text(encoding="cp1252", errors="replace").splitlines()
    if found := _SYNTAX.search(problem):
        advice = _NS_ADVICE if _ns_without_bs(lines) else "Correct this line."
        problem = _SYNTAX.sub(r"in column \g<column>", problem)
        return DbcError(path, f"{problem}.", line=int(found["line"]), advice=advice)
    if "more than 11 bits" in problem:
        return DbcError(path, problem, line=_line_of(lines, problem), advice=_LONG_ID_ADVICE)
    return DbcError(path, problem, line=_line_of(lines, problem), advice=_loose_advice(path) if strict else None)


_NS_ADVICE = (
    "The file has an NS_ block but no BS_ line after it: add a line 'BS_:' below the block, or delete the NS_ block."
)
_LONG_ID_ADVICE = (
    "A DBC marks a 29 bit identifier by adding 2147483648 (0x80000000) to it: add that to the number behind BO_, "
    "or remove the message; the strict setting does not help here."
)


def _loose_advice(path: Path) -> str | None:
    """What `strict = false` would do, said only where it helps."""
    try:
        _load(path, strict=False)
    except UnsupportedDatabaseFormatError:
        return None
    return "Correct the message, or load the file with strict = false: the message is then left out."


def _ns_without_bs(lines: list[str]) -> bool:
    start = next((number for number, line in enumerate(lines) if re.match(r"\s*NS_\s*:", line)), None)
    if start is None:
        return False
    section = next((found[1] for line in lines[start + 1 :] if (found := _SECTION_AFTER_NS.match(line))), None)
    return section == "BO_"  # cantools finds the block's end by the colon of BS_ or BU_


def _line_of(lines: list[str], problem: str) -> int | None:
    """The line of the message, better of the signal, that cantools' sentence names."""
    message = re.search(r"in message (\w+)", problem)
    if message is None:
        return None
    message_line = _first_match(lines, 0, _MESSAGE_LINE.format(message[1]))
    signal = re.search(r"The signals? (\w+)", problem)
    if message_line is None or signal is None:
        return message_line
    return _first_match(lines, message_line, _SIGNAL_LINE.format(signal[1])) or message_line


def _first_match(lines: list[str], start: int, pattern: str) -> int | None:
    return next((number for number in range(start + 1, len(lines) + 1) if re.match(pattern, lines[number - 1])), None)
