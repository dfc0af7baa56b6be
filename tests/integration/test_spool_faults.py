"""Ten trials of every fault; `python -m tests.faults run` takes as many as there is time for."""

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import pytest

from tests.faults.disk_log import Sync, recording
from tests.faults.rows import ROWS, Impossible
from tests.faults.trial import Result

TRIALS = 10


@pytest.fixture
def trial(tmp_path: Path) -> Callable[[str, int], Awaitable[Result]]:
    async def trial(name: str, seed: int) -> Result:
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            return await ROWS[name].trial(seed, folder)
        except Impossible as missing:
            pytest.skip(str(missing))

    return trial


@pytest.mark.parametrize("name", ROWS)
async def test_nothing_is_lost_doubled_or_wrong(name: str, trial: Callable[[str, int], Awaitable[Result]]) -> None:
    results = [await trial(name, seed) for seed in range(TRIALS)]
    assert all(result.recorded for result in results) or name in {"kill", "power"}
    assert [(result.lost, result.duplicated, result.wrong) for result in results] == [(0, 0, 0)] * TRIALS
    declared = sum(result.declared + result.told for result in results)
    assert declared == 0 or ROWS[name].may_declare


async def test_full_disk_forces_losses_and_they_are_declared(trial: Callable[[str, int], Awaitable[Result]]) -> None:
    result = await trial("full", 1)
    assert result.declared > 0
    assert result.told == 0


def test_disk_log_gives_back_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    with recording() as log:
        connection = sqlite3.connect(tmp_path / "x.db")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (42)")
        connection.commit()
        connection.close()
    log.image(tmp_path / "image", len(log.operations))
    assert any(isinstance(operation, Sync) for operation in log.operations)
    assert (tmp_path / "image" / "x.db").read_bytes() == (tmp_path / "x.db").read_bytes()
    log.image(tmp_path / "image", len(log.operations), dice=Random(1))
    assert (tmp_path / "image" / "x.db").read_bytes() == (tmp_path / "x.db").read_bytes()
