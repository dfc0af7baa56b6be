"""How much is sent at once, and how long an answer is waited for."""

from hypothesis import given
from hypothesis import strategies as st

from edge.ways.request_size import MOST_BATCHES, SLOWEST_BYTES_PER_S, RequestSize
from edge.ways.transport import REQUEST_TIMEOUT_S


def test_failing_link_is_tried_with_one_batch_and_trusted_again_quickly() -> None:
    size = RequestSize()
    for _ in range(6):
        size.unanswered(0.1, 50_000)
    assert size.most_batches == 1
    for _ in range(6):
        size.answered(0.2)
    assert size.most_batches == MOST_BATCHES


def test_slow_link_is_given_time_until_one_batch_passes() -> None:
    size, body_bytes = RequestSize(), 900
    needed_s = (body_bytes + 350) / 10
    for _ in range(20):
        timeout_s = size.timeout_s(body_bytes)
        if size.most_batches == 1 and timeout_s > needed_s:
            break
        size.unanswered(timeout_s, body_bytes)
    assert size.timeout_s(body_bytes) > needed_s
    size.answered(needed_s)
    assert size.most_batches == 1
    assert size.timeout_s(body_bytes) > needed_s


def test_link_that_is_refused_at_once_is_not_waited_for_longer() -> None:
    size = RequestSize()
    for _ in range(50):
        size.unanswered(0.0, 1_000)
    assert size.timeout_s(1_000) == REQUEST_TIMEOUT_S


def test_what_the_cloud_does_not_take_is_approached_slowly() -> None:
    size = RequestSize()
    size.too_large(20)
    assert size.most_batches == 10
    size.answered(0.1)
    assert size.most_batches == 11


@given(st.lists(st.tuples(st.sampled_from(["answered", "unanswered", "too_large"]), st.floats(0, 4000))))
def test_size_and_patience_stay_within_their_bounds(history: list[tuple[str, float]]) -> None:
    size = RequestSize()
    for what, took_s in history:
        if what == "answered":
            size.answered(took_s)
        elif what == "unanswered":
            size.unanswered(took_s, 5_000)
        else:
            size.too_large(size.most_batches)
        assert 1 <= size.most_batches <= MOST_BATCHES
        assert REQUEST_TIMEOUT_S <= size.timeout_s(5_000) <= 120 + 5_000 / SLOWEST_BYTES_PER_S
