"""Which catalogs are known to be there: remembered up to a bound, and asked for anew beyond it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from cloud.database import Pool
from cloud.ingest import catalogs
from cloud.ingest.catalogs import Catalogs

FLEET_ID = 7


class Database:
    """Has all of `there`, and counts what it was asked for."""

    def __init__(self, there: set[str]) -> None:
        self.asked: list[str] = []
        self._there = there

    @asynccontextmanager
    async def acquire(self, *, timeout: float) -> AsyncIterator["Database"]:
        yield self

    async def fetch(self, _: str, __: int, hashes: Sequence[str]) -> list[dict[str, Any]]:
        self.asked += hashes
        return [{"hash": hash} for hash in hashes if hash in self._there]


async def test_what_is_known_is_not_asked_for_again() -> None:
    database = Database({"a"})
    known = Catalogs(cast(Pool, database), now_s=lambda: 0.0)
    for _ in range(3):
        assert await known.lacking(FLEET_ID, ["a"]) == ()
    assert database.asked == ["a"]


async def test_memory_of_catalogs_is_bounded_and_none_is_told_lacking_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogs, "REMEMBERED", 10)
    hashes = [f"{number}" for number in range(25)]
    database = Database(set(hashes))
    known = Catalogs(cast(Pool, database), now_s=lambda: 0.0)
    for hash in hashes:
        assert await known.lacking(FLEET_ID, [hash]) == ()
        assert await known.lacking(FLEET_ID, [hash]) == ()
    assert database.asked == hashes
    assert await known.lacking(FLEET_ID, hashes[:5]) == ()
    assert sorted(database.asked[25:]) == hashes[:5], "they were forgotten"
    assert await known.lacking(FLEET_ID, ["absent"]) == ("absent",)
