"""Several uplinks: the cheapest that works, the next at once when it fails, and back again."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.ways import uplink_ways
from edge.ways.transport import Answer
from edge.ways.uplink_way import is_interface_up
from edge.ways.uplink_ways import OVERHEAD_BYTES, Way, Ways
from edge.ways.way_choice import PAUSE_LIMIT_S, WayChoice

GOOD = Answer(200, json.dumps({"accepted": [], "rejected": [], "settled": []}).encode())
DEAD = Answer(problem="cannot connect", is_sent=False)
SILENT = Answer(problem="no answer in time")


class Line:
    """A transport that answers what it is told to."""

    def __init__(self, answer: Answer = GOOD, *, wait: Callable[[], None] = lambda: None) -> None:
        self.answer = answer
        self.bodies: list[bytes] = []
        self._wait = wait

    async def send(self, body: bytes, *, timeout_s: float | None = None) -> Answer:
        self.bodies.append(body)
        self._wait()
        return self.answer

    async def send_catalog(self, name: str, body: bytes) -> Answer:
        return await self.send(body)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def wait(self, seconds: float) -> Callable[[], None]:
        """What lets so long pass."""

        def wait() -> None:
            self.now_s += seconds

        return wait


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(uplink_ways, "_now_s", lambda: clock.now_s)
    return clock


def ways_of(*lines: Line) -> Ways:
    names = ("wifi", "lte", "satellite")
    return Ways([Way(name, f"https://{name}", line) for name, line in zip(names, lines, strict=False)], dice=Random(1))


async def test_next_way_carries_the_request_at_once_and_the_first_gets_it_back(clock: Clock) -> None:
    wifi, lte = Line(), Line()
    ways = ways_of(wifi, lte)
    await ways.send(b"1")
    wifi.answer = DEAD
    assert await ways.send(b"2") == GOOD
    assert ways.present == 1
    for _ in range(5):
        await ways.send(b"3")
    assert wifi.bodies == [b"1", b"2"], "a dead way is left alone for a while"
    wifi.answer = GOOD
    clock.now_s += PAUSE_LIMIT_S
    await ways.send(b"4")
    assert ways.present == 0
    assert wifi.bodies[-1] == b"4"
    assert lte.bodies[-1] == b"3"


@pytest.mark.parametrize("status", [413, 429, 503])
async def test_what_the_cloud_itself_says_is_an_answer(status: int, clock: Clock) -> None:
    wifi, lte = Line(Answer(status, b"{}")), Line()
    assert (await ways_of(wifi, lte).send(b"x")).status == status
    assert lte.bodies == []


@pytest.mark.parametrize("answer", [Answer(200, b"<html>"), Answer(302), Answer(403, b"log in"), Answer(500), SILENT])
async def test_what_a_captive_portal_says_is_none(answer: Answer, clock: Clock) -> None:
    wifi, lte = Line(answer), Line()
    assert await ways_of(wifi, lte).send(b"x") == GOOD


async def test_refused_credential_is_told_before_a_dead_line(clock: Clock) -> None:
    assert (await ways_of(Line(DEAD), Line(Answer(401)), Line(SILENT)).send(b"x")).status == 401
    assert await ways_of(Line(DEAD)).send(b"x") == DEAD


async def test_answer_says_how_long_it_took_without_the_ways_before_it(clock: Clock) -> None:
    dead, quick = Line(SILENT, wait=clock.wait(30)), Line(wait=clock.wait(0.25))
    assert (await ways_of(dead, quick).send(b"x")).took_s == 0.25


async def test_of_dead_lines_the_one_that_was_waited_for_longest_is_told(clock: Clock) -> None:
    refused, silent = Line(DEAD, wait=clock.wait(1)), Line(SILENT, wait=clock.wait(30))
    answer = await ways_of(refused, silent).send(b"x")
    assert (answer, answer.took_s) == (SILENT, 30)


async def test_interface_that_is_down_is_not_tried(clock: Clock) -> None:
    wifi, lte = Line(), Line()
    ways = Ways([Way("wifi", "", wifi, is_up=lambda: False), Way("lte", "", lte)])
    await ways.send(b"x")
    assert (len(wifi.bodies), len(lte.bodies)) == (0, 1)
    answer = await Ways([Way("wifi", "", wifi, is_up=lambda: False)]).send(b"x")
    assert answer.problem == "no uplink is up: wifi"


async def test_bytes_are_counted_by_way_where_they_left(clock: Clock) -> None:
    ways = ways_of(Line(DEAD), Line(SILENT), Line())
    await ways.send(b"12345")
    overhead = OVERHEAD_BYTES + 5
    assert ways.take_used() == {"lte": overhead, "satellite": overhead + len(GOOD.body)}
    assert ways.take_used() == {}


@given(
    steps=st.lists(st.tuples(st.floats(0, 1000), st.lists(st.booleans(), min_size=3, max_size=3)), max_size=60),
    seed=st.integers(),
)
def test_order_is_that_of_cost_and_no_way_is_given_up(steps: list[tuple[float, list[bool]]], seed: int) -> None:
    choice, now_s = WayChoice(3, Random(seed)), 0.0
    failed_s: dict[int, float] = {}
    for wait_s, usable in steps:
        now_s += wait_s
        order = choice.order(now_s, usable)
        assert order == sorted(order)
        assert bool(order) == any(usable)
        assert all(usable[place] for place in order)
        overdue = {place for place in range(3) if usable[place] and now_s - failed_s.get(place, -1e9) > PAUSE_LIMIT_S}
        assert overdue <= set(order)
        if order:
            choice.failed(order[0], now_s)
            failed_s[order[0]] = now_s
        if len(order) > 1:
            choice.worked(order[1])
            failed_s.pop(order[1], None)


def test_interface_is_up_as_the_kernel_says(tmp_path: Path) -> None:
    for name, state in (("wlan0", "up"), ("wwan0", "unknown"), ("eth0", "down")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "operstate").write_text(f"{state}\n")
    assert [is_interface_up(name, net=tmp_path) for name in ("wlan0", "wwan0", "eth0", "eth1")] == [
        True,
        True,
        False,
        False,
    ]
