"""Guessing passwords gets slower and slower; the right one is never far."""

from cloud.access.login_throttle import FREE_FAILURES, LONGEST_S, MAX_KEYS, LoginThrottle

KEYS = ("name:admin", "address:1.2.3.4")


def test_first_mistakes_are_free_then_waits_double_up_to_a_bound() -> None:
    throttle, waits = LoginThrottle(), []
    for _ in range(FREE_FAILURES + 8):
        waits.append(throttle.wait_s(KEYS, 0.0))
        throttle.failed(KEYS, 0.0)
    assert waits == [0.0] * FREE_FAILURES + [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_success_and_time_forgive() -> None:
    throttle = LoginThrottle()
    for _ in range(FREE_FAILURES):
        throttle.failed(KEYS, 0.0)
    assert throttle.wait_s(KEYS, 1.0) == 0.0
    assert throttle.wait_s(KEYS, 0.5) == 0.5
    throttle.succeeded(KEYS)
    assert throttle.wait_s(KEYS, 0.5) == 0.0


def test_other_names_from_the_same_address_wait_too() -> None:
    throttle = LoginThrottle()
    for number in range(FREE_FAILURES):
        throttle.failed((f"name:{number}", "address:1.2.3.4"), 0.0)
    assert throttle.wait_s(("name:other", "address:1.2.3.4"), 0.0) > 0
    assert throttle.wait_s(("name:other", "address:5.6.7.8"), 0.0) == 0


def test_memory_is_bounded() -> None:
    throttle = LoginThrottle()
    for number in range(MAX_KEYS + FREE_FAILURES):
        throttle.failed((f"name:{number}",), 0.0)
    assert len(throttle._records) == MAX_KEYS
    assert LONGEST_S < 60
