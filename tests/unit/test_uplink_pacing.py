"""When the uplink speaks next."""

from random import Random

import pytest

from edge.ways.pacing import Pacing, Timings

TIMINGS = Timings()


class Highest(Random):
    def uniform(self, a: float, b: float) -> float:
        return b


def pacing() -> Pacing:
    return Pacing(TIMINGS, Highest())


def test_it_speaks_at_once_at_the_start() -> None:
    assert pacing().wait_s(100.0, due_s=None, owes=False) == 0.0


def test_idle_vehicle_sends_heartbeats() -> None:
    subject = pacing()
    subject.answered(100.0, progress=False)
    assert subject.wait_s(103.0, due_s=None, owes=False) == 7.0


def test_fresh_data_is_sent_at_once() -> None:
    subject = pacing()
    subject.answered(100.0, progress=True)
    assert subject.wait_s(100.1, due_s=0.0, owes=True) == 0.0


def test_unsettled_data_is_asked_for_soon_then_less_often() -> None:
    subject = pacing()
    now_s, waits = 100.0, []
    subject.answered(now_s, progress=True)
    for _ in range(5):
        wait_s = subject.wait_s(now_s, due_s=30.0, owes=True)
        waits.append(wait_s)
        now_s += wait_s
        subject.answered(now_s, progress=False)
    assert waits == [1.0, 2.0, 4.0, 8.0, 10.0]


def test_failures_back_off_and_success_forgets_them() -> None:
    subject = pacing()
    assert [subject.failed(100.0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert subject.wait_s(100.0, due_s=0.0, owes=True) == 60
    subject.answered(200.0, progress=True)
    assert subject.failed(200.0) == 1


def test_jitter_is_full() -> None:
    subject = Pacing(TIMINGS, Random(1))
    waits = [subject.failed(0.0) for _ in range(200)][10:]
    assert min(waits) < 3
    assert max(waits) > 57


def test_cloud_that_names_a_time_is_left_alone_until_then() -> None:
    subject = pacing()
    subject.failed(100.0, retry_after_s=30.0)
    assert subject.wait_s(100.0, due_s=0.0, owes=True) == 31.0


def test_refused_credential_is_tried_seldom() -> None:
    subject = Pacing(TIMINGS, Random(2))
    waits = [subject.refused(0.0) for _ in range(20)]
    assert min(waits) >= 60
    assert max(waits) == pytest.approx(960, abs=120)


def test_sparing_vehicle_says_seldom_that_it_is_there_and_sends_at_once_all_the_same() -> None:
    subject = Pacing(Timings(heartbeat_s=10), Random(1))
    subject.answered(100.0, progress=False)
    assert subject.wait_s(100.0, due_s=None, owes=False, heartbeat_s=300.0) == 300.0
    assert subject.wait_s(100.0, due_s=None, owes=False, heartbeat_s=5.0) == 10.0
    assert subject.wait_s(100.0, due_s=0.0, owes=False, heartbeat_s=300.0) == 0.0
