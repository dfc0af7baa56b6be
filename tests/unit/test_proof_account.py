"""The account of a proof: what adds up, and what must not pass as adding up."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.proof.account import IN_MEMORY, Content, Life, Received, Tally, draw_up
from simulator.proof.schedule import KINDS, SECONDS_A_FAULT, draw_faults

TALLY = Tally(frames=(10,), seen=100, kept=30, unchanged=50, deadband=10, min_interval=8, waiting=2, fixes=3)


def life(*, was_killed: bool = True, tally: Tally = TALLY) -> Life:
    stored = {("s", 0): Content(10, 1), ("s", 1): Content(12, 1)}
    return Life(streams=["s"], tally=tally, stored=stored, was_killed=was_killed)


def received(*seqs: int, lost: dict[int, str] | None = None, duplicated: int = 0) -> Received:
    contents = [Content(10, 1), Content(12, 1)]
    rows = {("s", seq): contents[seq] for seq in seqs}
    return Received(rows, {("s", seq): cause for seq, cause in (lost or {}).items()}, duplicated=duplicated)


def test_what_was_in_memory_when_it_was_killed_is_dropped_and_counted() -> None:
    account = draw_up(10, [life()], received(0, 1))
    assert account.is_proven
    assert (account.seen, account.kept, account.dropped) == (100, 22, {IN_MEMORY: 10})
    assert (account.fixes_seen, account.fixes_kept, account.fixes_dropped) == (3, 2, 1)


def test_what_had_to_go_is_dropped_by_its_cause() -> None:
    account = draw_up(10, [life()], received(1, lost={0: "evicted"}))
    assert account.is_proven
    assert account.dropped == {"evicted": 10, IN_MEMORY: 10}
    assert account.declared == 1


def test_batch_that_was_stored_and_is_nowhere_is_lost() -> None:
    account = draw_up(10, [life()], received(0))
    assert account.lost == 1
    assert not account.is_proven


def test_batch_that_arrived_although_nobody_heard_that_it_was_stored_is_kept() -> None:
    unheard = life()
    del unheard.stored["s", 1]
    account = draw_up(10, [unheard], received(0, 1))
    assert account.is_proven
    assert account.kept == 22


@pytest.mark.parametrize(
    ("lives", "played", "result", "word"),
    [
        ([life(was_killed=False)], 10, received(0, 1), "nowhere"),
        ([life()], 11, received(0, 1), "played"),
        ([life()], 10, received(0, 1, duplicated=1), "twice"),
        ([life(tally=replace(TALLY, kept=20, waiting=0))], 10, received(0, 1), "more samples arrived"),
        ([life(tally=replace(TALLY, fixes=1))], 10, received(0, 1), "more fixes arrived"),
        ([life(tally=replace(TALLY, seen=101))], 10, received(0, 1), "does not add up"),
    ],
)
def test_what_does_not_add_up_is_no_proof(lives: list[Life], played: int, result: Received, word: str) -> None:
    account = draw_up(played, lives, result)
    assert not account.is_proven
    assert any(word in problem for problem in account.problems)


@given(st.integers(0, 10**6), st.floats(1, 600), st.sets(st.sampled_from(KINDS), min_size=1))
def test_faults_come_in_order_and_each_kind_comes(seed: int, seconds: float, kinds: set[str]) -> None:
    faults = draw_faults(Random(seed), seconds, [kind for kind in KINDS if kind in kinds])
    assert {fault.kind for fault in faults} == kinds
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
    assert all(0 < fault.at_s < seconds for fault in faults)
    assert len(faults) >= min(seconds / SECONDS_A_FAULT / 2, 1)
    assert faults == draw_faults(Random(seed), seconds, [kind for kind in KINDS if kind in kinds])
