"""When a replay sends: in the recording's own time, without drift, under the ceiling."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge.recordings.timeline import AFTER_A_JUMP_NS, NS_PER_S, TOLERATED_STEP_BACK_NS, UNTIMED_STEP_NS, Timeline
from simulator.pacer import BURST_S, UNLIMITED, Pacer


def due(times_ns: list[int | None], *, longest_gap_s: float = 600) -> tuple[list[int], Timeline]:
    timeline = Timeline(longest_gap_s=longest_gap_s)
    return [timeline.due_ns(t_ns) for t_ns in times_ns], timeline


@given(st.lists(st.none() | st.integers(-(2**62), 2**62)), st.floats(0, 1e6))
def test_due_times_begin_at_zero_and_never_fall(times_ns: list[int | None], longest_gap_s: float) -> None:
    found, timeline = due(times_ns, longest_gap_s=longest_gap_s)
    assert found == sorted(found)
    assert all(t_ns >= 0 for t_ns in found)
    gap_ns = max(round(longest_gap_s * NS_PER_S), UNTIMED_STEP_NS)
    assert all(b - a <= gap_ns for a, b in pairwise(found))
    assert timeline.counts.untimed == times_ns.count(None)


@given(st.integers(-(2**60), 2**60), st.lists(st.integers(0, 10**9)))
def test_a_clean_recording_keeps_its_own_time(start_ns: int, steps_ns: list[int]) -> None:
    times_ns = [start_ns]
    for step_ns in steps_ns:
        times_ns.append(times_ns[-1] + step_ns)
    found, timeline = due(list(times_ns))
    assert found == [t_ns - start_ns for t_ns in times_ns]
    assert timeline.counts == type(timeline.counts)()


def test_a_small_step_back_is_sent_at_once_and_changes_nothing_after_it() -> None:
    found, timeline = due([0, 50, 30, 60])
    assert found == [0, 50, 50, 60]
    assert timeline.counts.backwards == 1


def test_a_clock_set_back_goes_on_from_there() -> None:
    far = 10 * TOLERATED_STEP_BACK_NS
    found, timeline = due([far, far + 7, 0, 5])
    assert found == [0, 7, 7, 12]
    assert timeline.counts.restarts == 1


def test_a_clock_set_forward_is_not_waited_for() -> None:
    year_ns = 365 * 86_400 * NS_PER_S
    found, timeline = due([0, 7, year_ns, year_ns + 5])
    assert found == [0, 7, 7 + AFTER_A_JUMP_NS, 12 + AFTER_A_JUMP_NS]
    assert timeline.counts.gaps == 1


def test_a_frame_without_a_time_follows_the_one_ahead() -> None:
    assert due([None, 5, None, 9])[0] == [
        UNTIMED_STEP_NS,
        UNTIMED_STEP_NS,
        2 * UNTIMED_STEP_NS,
        2 * UNTIMED_STEP_NS,
    ]


def test_a_new_round_begins_where_it_is_told_to() -> None:
    timeline = Timeline(longest_gap_s=600)
    assert [timeline.due_ns(t_ns) for t_ns in (100, 150)] == [0, 50]
    timeline.begin(80)
    assert [timeline.due_ns(t_ns) for t_ns in (100, 150)] == [80, 130]


@given(st.lists(st.tuples(st.integers(0, 10**9), st.floats(0, 0.5))), st.floats(0.1, 50))
def test_delays_do_not_add_up(steps: list[tuple[int, float]], speed: float) -> None:
    pacer = Pacer(speed=speed, max_rate=UNLIMITED, started_s=100.0)
    now_s, due_ns = 100.0, 0
    for step_ns, delay_s in steps:
        due_ns += step_ns
        now_s = max(now_s, now_s + pacer.wait_s(due_ns, now_s))
        pacer.sent(now_s)
        assert now_s >= 100.0 + due_ns / NS_PER_S / speed - 1e-6
        now_s += delay_s
    behind_s = pacer.behind_s(due_ns, now_s)
    assert behind_s <= sum(delay_s for _, delay_s in steps) + 1e-6


@given(st.floats(1, 10_000), st.integers(2, 300), st.sampled_from([0.0, 1.0]))
def test_no_more_than_the_ceiling_goes_out(max_rate: float, frames: int, speed: float) -> None:
    pacer = Pacer(speed=speed, max_rate=max_rate, started_s=0.0)
    now_s = 0.0
    for _ in range(frames):
        now_s = max(now_s, now_s + pacer.wait_s(0, now_s))
        pacer.sent(now_s)
    assert now_s >= (frames - 1) / max_rate - BURST_S - 1e-9
