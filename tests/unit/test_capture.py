"""The ring of raw frames, and what captures take out of it."""

from collections.abc import Iterator
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from edge.campaigns.capture import Capturer
from edge.campaigns.frame_ring import PORTION, FrameRing
from edge.frame import Frame
from wire.campaign import Capture

T_NS = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
FRAMES = st.builds(
    Frame,
    st.integers(0, 2**62),
    st.sampled_from(["can0", "can1", "body"]),
    st.integers(0, 0x1FFFFFFF),
    st.booleans(),
    st.binary(max_size=64),
)


def frame(at_s: float, number: int = 0, channel: str = "can0") -> Frame:
    return Frame(T_NS + round(at_s * SECOND), channel, 0x100 + number % 5, False, number.to_bytes(8, "big"))


def stream(seconds: float, rate: int = 100) -> Iterator[list[Frame]]:
    """Lists of a tenth of a second."""
    for tenth in range(round(seconds * 10)):
        yield [frame(tenth / 10 + n / rate, tenth * rate // 10 + n) for n in range(rate // 10)]


def capture(**more: object) -> Capture:
    return Capture.model_validate({"name": "c", "when": "a > 1", "before_s": 2.0, "after_s": 3.0, **more})


@given(st.lists(st.lists(FRAMES, max_size=40), max_size=10), st.integers(1, 50))
def test_ring_gives_back_what_it_was_given(lists: list[list[Frame]], times: int) -> None:
    ring = FrameRing(10_000_000)
    for frames in lists * times:
        ring.add(frames, 0)
    assert list(chain.from_iterable(ring)) == list(chain.from_iterable(lists * times))


def test_ring_is_bounded_and_the_oldest_go_first() -> None:
    ring = FrameRing(60_000)
    for frames in stream(600):
        ring.add(frames, 0)
    assert ring.bytes <= 60_000
    held = list(chain.from_iterable(ring))
    assert [int.from_bytes(one.data, "big") for one in held] == list(range(ring.first, 60_000))
    assert PORTION <= len(held) < 50_000


def test_frame_without_a_time_gets_the_present_one() -> None:
    ring = FrameRing(1_000)
    ring.add([frame(0)._replace(t_ns=None)], T_NS)
    assert list(ring) == [[frame(0)]]


def run(capturer: Capturer, ring: FrameRing, seconds: float, starts: dict[float, int]) -> list[Frame]:
    collected: list[Frame] = []
    waiting = sorted(starts.items())
    for frames in stream(seconds):
        ring.add(frames, 0)
        while waiting and T_NS + round(waiting[0][0] * SECOND) <= frames[-1].t_ns:
            at_s, number = waiting.pop(0)
            capturer.start(number, T_NS + round(at_s * SECOND))
        collected += capturer.collect(frames[-1].t_ns)
    return collected


def test_capture_takes_what_came_before_and_comes_after() -> None:
    ring = FrameRing(1_000_000)
    capturer = Capturer(ring, [capture()])
    ring.add([], 0)
    collected = run(capturer, ring, 60, {30.0: 0})
    assert collected[0] == frame(28.0, 2_800)
    assert [int.from_bytes(one.data, "big") for one in collected] == list(range(2_800, 3_301))
    assert not capturer.is_active
    assert capturer.counts.frames == len(collected)


def test_capture_out_of_packed_portions_takes_the_same() -> None:
    ring = FrameRing(10_000_000)
    capturer = Capturer(ring, [capture(before_s=50.0, after_s=40.0)])
    collected = run(capturer, ring, 120, {60.0: 0})
    collected += capturer.finish(T_NS + 120 * SECOND)
    assert sorted(int.from_bytes(one.data, "big") for one in collected) == list(range(1_000, 10_001))


def test_captures_that_overlap_take_each_frame_once() -> None:
    ring = FrameRing(10_000_000)
    captures = [capture(before_s=0.0, after_s=5.0), capture(name="d", before_s=10.0, after_s=1.0)]
    collected = run(Capturer(ring, captures), ring, 60, {30.0: 0, 32.0: 1})
    assert sorted(int.from_bytes(one.data, "big") for one in collected) == list(range(2_200, 3_501))


def test_what_the_ring_no_longer_holds_is_not_taken() -> None:
    ring = FrameRing(30_000)
    capturer = Capturer(ring, [capture(before_s=600.0, after_s=0.0)])
    collected = run(capturer, ring, 600, {590.0: 0}) + capturer.finish(T_NS + 600 * SECOND)
    numbers = [int.from_bytes(one.data, "big") for one in collected]
    assert numbers == list(range(numbers[0], 59_001))
    assert numbers[0] > 30_000


def test_silent_bus_ends_a_capture() -> None:
    ring = FrameRing(1_000_000)
    capturer = Capturer(ring, [capture()])
    ring.add([frame(0)], 0)
    assert capturer.start(0, T_NS)
    assert capturer.collect(T_NS) == [frame(0)]
    assert capturer.is_active
    assert capturer.collect(T_NS + 5 * SECOND) == []
    assert not capturer.is_active


def test_capture_rests_and_is_bounded_a_day_and_what_was_not_taken_is_counted() -> None:
    ring = FrameRing(1_000)
    capturer = Capturer(ring, [capture(cooldown_s=60.0, most_per_day=2)])
    hour = 3600
    asked = (0, 1, 3.5, 64, 200, 26 * hour, 26 * hour + 1)
    taken = [capturer.start(0, T_NS + round(at_s * SECOND)) for at_s in asked]
    assert taken == [True, False, False, True, False, True, False]
    assert capturer.counts.not_taken == {"running": 2, "cooldown": 1, "most_per_day": 1}
    assert capturer.start(0, T_NS - 100 * hour * SECOND), "a clock that goes back silences nothing"
