"""Ten trials of every fault; `python -m tests.faults run` takes as many as there is time for."""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from edge.delivery import Key
from edge.spool import Spool
from tests.fake_cloud import FakeCloud
from tests.faults import clock_rows, rows
from tests.faults.disk_log import Sync, Unsynced, recording
from tests.faults.rows import ROWS, Impossible
from tests.faults.trial import NOW_MS, Record, Result, judge
from wire.model import Batch, Column
from wire.ranges import RangeSet

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
    assert [seed for seed, result in enumerate(results) if not result.is_good] == []
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
    log.image(tmp_path / "image", len(log.operations), dice=Random(1))
    assert any(isinstance(operation, Sync) for operation in log.operations)
    assert (tmp_path / "image" / "x.db").read_bytes() == (tmp_path / "x.db").read_bytes()
    log.image(tmp_path / "image", len(log.operations), unsynced=Unsynced.SOME, dice=Random(1))
    assert (tmp_path / "image" / "x.db").read_bytes() == (tmp_path / "x.db").read_bytes()


@pytest.mark.parametrize("operations", [1, 7, 400])
def test_every_cut_of_a_drive_comes_once(operations: int) -> None:
    cuts = [rows.cut_of(number, operations) for number in range(3 * (operations + 1))]
    assert {(at, unsynced) for at, unsynced in cuts} == {
        (at, rest) for at in range(operations + 1) for rest in Unsynced
    }
    with pytest.raises(rows.Exhausted):
        rows.cut_of(len(cuts), operations)
    assert max(at for at, _ in cuts[:10]) - min(at for at, _ in cuts[:10]) >= operations // 2


async def test_clock_that_is_believed_without_evidence_is_found_out(
    trial: Callable[[str, int], Awaitable[Result]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_rows, "TRUST", "system")
    results = [await trial("clock_hour", seed) for seed in range(5)]
    assert sum(result.wrong for result in results) > 0


def test_what_never_arrives_and_was_not_declared_is_lost(tmp_path: Path) -> None:
    with closing(Spool.open(":memory:", vehicle="v1", max_bytes=10**7, now_ms=NOW_MS)) as spool:
        keys = [(spool.stream, seq) for seq in range(3)]
        record = Record({key: seq for seq, key in enumerate(keys)}, set(keys))
        cloud = FakeCloud()
        cloud.lost = {spool.stream: RangeSet.of([2])}
        cloud.batches = {keys[1]: _batch(keys[1], 7)}
        result = judge(record, cloud, spool, recovery_s=0.0)
    assert (result.lost, result.declared, result.wrong, result.is_good) == (1, 1, 1, False)


def test_more_declared_than_the_bound_forced_is_not_good() -> None:
    fair = Result(recorded=9, lost=0, told=0, declared=2, duplicated=0, wrong=0, recovery_s=0.0, forced=2)
    assert fair.is_good
    assert not replace(fair, declared=3).is_good


def _batch(key: Key, number: float) -> Batch:
    stream, seq = key
    return Batch(vehicle="v1", stream=stream, seq=seq, t0=NOW_MS, signals={"N": Column(dt=[0], v=[number])})
