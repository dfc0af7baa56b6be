"""Ten faults of each kind on the whole cloud: every row as undisturbed. bench.faults runs more; docs/reliability.md."""

from collections.abc import Sequence

import pytest

from bench.faults.on_small_disk import Impossible, run_on_small_disk
from bench.faults.rounds import Round, run_rounds
from bench.faults.rows import ROWS
from bench.faults.verdict import Result

pytestmark = pytest.mark.services

TRIALS = 10
LONG = {"long-postgres": 1, "stop-copy": 2}  # their trials take long
TOGETHER = [
    ("undisturbed", "kill-ingest", "kill-writer", "kill-web", "late", "shuffled", "replayed"),
    ("kill-redis", "restart-redis", "wipe-redis", "full-redis", "kill-postgres", "restart-postgres", "long-postgres"),
    ("stop-writer", "stop-copy", "stop-ingest"),
    ("line-cut", "line-reset", "line-black-hole", "line-half-open", "line-slow", "line-duplicate"),
]


@pytest.mark.parametrize("names", TOGETHER, ids=lambda names: names[0])
async def test_whatever_happens_the_rows_are_those_of_an_undisturbed_run(names: Sequence[str]) -> None:
    results: dict[str, Result] = {}
    rounds = [Round(name, 1, LONG.get(name, TRIALS)) for name in names]
    await run_rounds(rounds, lambda one, result: results.setdefault(one.name, result))
    assert results.keys() == set(names)
    assert {name: result for name, result in results.items() if not result.is_good} == {}
    assert all(result.acknowledged for result in results.values())


async def test_a_full_disk_of_the_cloud_loses_nothing() -> None:
    try:
        result = await run_on_small_disk(Round("full-disk", 1_000_000, TRIALS))
    except Impossible as missing:
        pytest.skip(str(missing))
    assert result.is_good
    assert result.acknowledged


def test_every_fault_is_tried() -> None:
    assert sorted(name for names in TOGETHER for name in names) == sorted(set(ROWS) - {"full-disk"})
