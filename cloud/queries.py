"""Named SQL: sql/queries/<room>.sql holds blocks `-- name: x`, a line that says what for, and one statement."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

SQL = Path(__file__).parent.parent / "sql"

_BLOCK = re.compile(r"^-- name: *(\w+)[ \t]*\n", re.MULTILINE)


@cache
def load(room: str) -> Mapping[str, str]:
    """The statements of one room by name."""
    return MappingProxyType(parse((SQL / "queries" / f"{room}.sql").read_text(encoding="utf-8")))


def parse(text: str) -> dict[str, str]:
    """Raises ValueError for a name that is there twice or a block without its what-for line."""
    _, *parts = _BLOCK.split(text)
    queries: dict[str, str] = {}
    for name, block in zip(parts[::2], parts[1::2], strict=True):
        if name in queries:
            raise ValueError(f"query {name} is there twice")
        if not block.startswith("-- "):
            raise ValueError(f"query {name} does not say what it is for")
        queries[name] = block.strip().removesuffix(";")
    return queries
