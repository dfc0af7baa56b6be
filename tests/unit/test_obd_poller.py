"""What is asked, when, and when not: with controllers that are simulated on a clock that is stepped."""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from typing import Any, cast
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.frame import Frame
from edge.protocols import obd_poller
from edge.protocols.obd_frames import Controller, controller_of
from edge.protocols.obd_poll import PollLoop
from edge.protocols.obd_poller import (
    ANSWER_WITHIN_S,
    MOST_IN_VAIN,
    PENDING_S,
    PROBE_LIMIT_S,
    REDISCOVER_S,
    ObdPoller,
    PollPlan,
)
from edge.protocols.transmit_rules import TooOftenError, TransmitRules
from tests.simulated_ecu import supported

SPEED, LOAD, FUEL = 0x0D, 0x04, 0x2F
ENGINE, GEARBOX = 0x7E8, 0x7E9
ENGINE_ANSWERS = {
    "0100": supported(LOAD, SPEED, 0x20),
    "0120": supported(FUEL, 0x40, first=0x20),
    "0140": supported(first=0x40),
    "0902": bytes.fromhex("490201") + b"WVWZZZ1JZXW000001",
    "0104": bytes([0x41, LOAD, 0x80]),
    "010d": bytes([0x41, SPEED, 50]),
    "012f": bytes([0x41, FUEL, 99]),
    "03": bytes.fromhex("43020123c456"),
    "07": bytes.fromhex("4700"),
    "0a": bytes.fromhex("4a00"),
}


class Stand:
    """A poller, controllers that answer after `takes_s`, and a clock. `asked` is every request and its time."""

    def __init__(self, plan: PollPlan, answers: dict[int, dict[str, bytes]], *, takes_s: float = 0.02) -> None:
        self.poller = ObdPoller(plan)
        self.answers = answers
        self.takes_s = takes_s
        self.now_s = 1000.0
        self.asked: list[tuple[float, str]] = []
        self.flow_controls: Counter[int] = Counter()
        self.rules = TransmitRules(most_per_s=plan.most_per_s, others=[c.request_id for c in plan.controllers])

    def run(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            request = self.poller.next(self.now_s)
            if request is None:
                self.now_s += max(min(self.poller.wait_s(self.now_s), 1.0, end_s - self.now_s), 0.001)
                continue
            self._admit(request)
            payload = request.data[1 : 1 + request.data[0]].hex()
            self.asked.append((self.now_s, payload))
            self.now_s += self.takes_s
            for answer_id, answers in self.answers.items():
                is_extended = answer_id > 0x7FF
                if is_extended == request.is_extended and payload in answers:
                    self._answer(answer_id, is_extended, answers[payload])

    def hear(self, answer_id: int, data: bytes, *, extended: bool = False) -> Frame | None:
        return self.poller.take(Frame(None, "", answer_id, extended, data), self.now_s)

    def counted(self) -> Counter[str]:
        return Counter(payload for _, payload in self.asked)

    def _admit(self, frame: Frame) -> None:
        try:
            self.rules.admit(frame, self.now_s)
        except TooOftenError as error:
            self.now_s += error.wait_s + 1e-6
            self.rules.admit(frame, self.now_s)

    def _answer(self, answer_id: int, is_extended: bool, payload: bytes) -> None:
        if len(payload) < 8:
            self.hear(answer_id, (bytes([len(payload)]) + payload).ljust(8, b"\0"), extended=is_extended)
            return
        flow = self.hear(answer_id, (0x1000 | len(payload)).to_bytes(2, "big") + payload[:6], extended=is_extended)
        assert flow is not None
        self._admit(flow)
        self.flow_controls[answer_id] += 1
        rest, number = payload[6:], 1
        while rest:
            self.now_s += 0.005
            frame = (bytes([0x20 | number & 0xF]) + rest[:7]).ljust(8, b"\0")
            assert self.hear(answer_id, frame, extended=is_extended) is None
            rest, number = rest[7:], number + 1


def plan(**parts) -> PollPlan:
    return PollPlan(**{"pids": {SPEED: 1.0, FUEL: 30.0, 0x5C: 1.0}, "trouble_codes_s": 60.0} | parts)


def test_controllers_and_their_values_are_found_before_anything_else_is_asked() -> None:
    stand = Stand(plan(), {ENGINE: ENGINE_ANSWERS})
    stand.run(2)
    assert [payload for _, payload in stand.asked[:5]] == ["0100", "0120", "0140", "0902", "010d"]
    assert stand.poller.controllers == {ENGINE: Controller(0x7E0, ENGINE)}
    assert "015c" not in stand.counted(), "a value that the vehicle does not have"
    assert stand.flow_controls[ENGINE] == 1


def test_each_value_is_asked_for_as_often_as_it_is_wanted() -> None:
    stand = Stand(plan(), {ENGINE: ENGINE_ANSWERS})
    stand.run(119)
    counted = stand.counted()
    assert 115 <= counted["010d"] <= 119
    assert 4 <= counted["012f"] <= 5
    assert [counted[mode] for mode in ("03", "07", "0a")] == [2, 2, 2]
    counts = stand.poller.counts
    assert counts.requests == counts.answered + counts.in_vain
    assert counts.in_vain == 0


def test_more_than_the_rate_allows_is_shared_evenly() -> None:
    pids = {SPEED: 0.02, LOAD: 0.02, FUEL: 0.02}
    stand = Stand(plan(pids=pids, most_per_s=6, trouble_codes_s=0), {ENGINE: ENGINE_ANSWERS})
    stand.run(60)
    counted = stand.counted()
    shares = [counted[payload] for payload in ("010d", "0104", "012f")]
    assert max(shares) - min(shares) <= 1
    assert 350 <= len(stand.asked) <= 361


def test_answers_of_all_controllers_are_waited_for_and_of_those_that_have_the_value_alone() -> None:
    gearbox = {"0100": supported(SPEED), "010d": bytes([0x41, SPEED, 51]), "03": bytes.fromhex("4300")}
    stand = Stand(plan(), {ENGINE: ENGINE_ANSWERS, GEARBOX: gearbox})
    stand.run(10)
    assert set(stand.poller.controllers) == {ENGINE, GEARBOX}
    speeds = [at_s for at_s, payload in stand.asked if payload == "010d"]
    following = [min(at_s for at_s, _ in stand.asked if at_s > speed_s) - speed_s for speed_s in speeds[:1]]
    assert following[0] < ANSWER_WITHIN_S


def test_vehicle_that_is_silent_is_asked_ever_more_seldom_and_found_when_it_wakes() -> None:
    stand = Stand(plan(), {})
    stand.run(3600)
    probes = [at_s for at_s, payload in stand.asked]
    assert len(probes) <= 2 * (6 + 3600 / PROBE_LIMIT_S + 1), "two widths of identifiers each time"
    assert max(later - earlier for earlier, later in pairwise(probes)) <= PROBE_LIMIT_S + 1
    stand.answers[ENGINE] = ENGINE_ANSWERS
    stand.poller.note_traffic(stand.now_s)
    before = len(stand.asked)
    stand.run(3)
    assert "010d" in [payload for _, payload in stand.asked[before:]], "traffic brings the probe at once"


async def test_traffic_wakes_the_loop_that_waits_for_the_next_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(obd_poller, "PROBE_FIRST_S", 3600.0)
    poller, sent = ObdPoller(plan(widths=("11bit",))), asyncio.Event()

    class Bus:
        name = "can0"

        async def send(self, frame: Frame) -> None:
            sent.set()

    loop = PollLoop(poller, cast(Any, Bus()), cast(Any, Mock()))
    running = asyncio.create_task(loop.run(lambda: 0))
    try:
        async with asyncio.timeout(30):
            await sent.wait()
            while poller.wait_s(time.monotonic()) < 60:  # noqa: ASYNC110  # until nobody has answered
                await asyncio.sleep(0.01)
            sent.clear()
            loop.take([Frame(None, "can0", 0x100, False, bytes(8))])
            await sent.wait()
    finally:
        running.cancel()
        await asyncio.wait([running])


def test_ignition_that_goes_off_ends_the_asking() -> None:
    stand = Stand(plan(), {ENGINE: ENGINE_ANSWERS})
    stand.run(30)
    stand.answers.clear()
    before = len(stand.asked)
    stand.run(600)
    assert len(stand.asked) - before <= MOST_IN_VAIN + 2 * 8
    stand.answers[ENGINE] = ENGINE_ANSWERS
    stand.run(PROBE_LIMIT_S + 10)
    assert stand.asked[-1][1] == "010d"


def test_29_bit_identifiers_are_found() -> None:
    stand = Stand(plan(), {0x18DAF110: ENGINE_ANSWERS})
    stand.run(5)
    assert [payload for _, payload in stand.asked[:3]] == ["0100", "0100", "0120"]
    assert [c.request_id for c in stand.poller.controllers.values()] == [0x18DA10F1]
    assert stand.counted()["010d"] >= 2


def test_pending_answer_is_waited_for_and_the_next_request_too() -> None:
    stand = Stand(plan(trouble_codes_s=0, pids={SPEED: 1.0}), {ENGINE: ENGINE_ANSWERS})
    stand.run(1)
    stand.answers[ENGINE] = {**ENGINE_ANSWERS, "010d": bytes.fromhex("7f0178")}
    stand.run(1)
    before = len(stand.asked)
    stand.now_s += 4.0
    assert stand.poller.next(stand.now_s) is None, "P2* is not over"
    assert len(stand.asked) == before
    stand.hear(ENGINE, bytes([3, 0x41, SPEED, 50, 0, 0, 0, 0]))
    assert stand.poller.next(stand.now_s) is not None
    assert stand.poller.counts.pending == 1
    assert stand.poller.wait_s(stand.now_s) <= PENDING_S


def test_value_that_is_refused_or_never_given_is_left_alone_until_the_next_discovery() -> None:
    answers = {**ENGINE_ANSWERS, "012f": bytes.fromhex("7f0112")}
    del answers["0104"]
    pids = {SPEED: 1.0, FUEL: 1.0, LOAD: 1.0}
    stand = Stand(plan(pids=pids), {ENGINE: answers})
    stand.run(100)
    assert stand.counted()["012f"] == 1
    assert stand.counted()["0104"] == MOST_IN_VAIN
    stand.run(REDISCOVER_S)
    assert stand.counted()["0100"] == 2
    assert stand.counted()["012f"] == 2


def test_uds_asks_each_controller_and_those_that_are_named() -> None:
    other = Controller(0x714, 0x77E)
    answers = {**ENGINE_ANSWERS, "19020d": bytes.fromhex("5902ff0123452f")}
    stand = Stand(plan(uds=True, controllers=(other,)), {ENGINE: answers, 0x77E: {"19020d": bytes.fromhex("5902ff")}})
    stand.run(5)
    assert stand.counted()["19020d"] == 2


def test_bus_that_takes_nothing_is_left_alone_for_a_while() -> None:
    poller = ObdPoller(plan())
    now_s, tried = 1000.0, 0
    for _ in range(2000):
        if poller.next(now_s) is not None:
            tried += 1
            poller.not_sent(now_s)
        now_s += max(min(poller.wait_s(now_s), 1.0), 0.001)
    assert tried == poller.counts.not_sent
    assert tried <= 2 * (8 + (now_s - 1000) / PROBE_LIMIT_S)


def test_bus_that_fails_once_in_the_middle_of_a_discovery_does_not_stop_it() -> None:
    stand = Stand(plan(), {ENGINE: ENGINE_ANSWERS})
    stand.run(0.09)
    assert stand.poller.next(stand.now_s + 1) is not None
    stand.poller.not_sent(stand.now_s + 1)
    stand.run(10)
    assert stand.counted()["010d"] > 3


def test_long_answer_that_breaks_off_holds_up_no_more_than_its_own_request() -> None:
    gearbox = {"0100": supported(LOAD), "0104": bytes([0x41, LOAD, 1])}
    stand = Stand(
        plan(trouble_codes_s=0, pids={SPEED: 0.05}, most_per_s=50), {ENGINE: ENGINE_ANSWERS, GEARBOX: gearbox}
    )
    stand.run(5)
    while stand.poller.next(stand.now_s) is None:
        stand.now_s += 0.01
    assert stand.hear(GEARBOX, bytes.fromhex("1014410d00000000")) is not None
    stand.run(3)
    before = len(stand.asked)
    stand.run(10)
    assert len(stand.asked) - before >= 180


def test_controller_that_is_named_for_uds_is_not_waited_for_by_others() -> None:
    other = Controller(0x714, 0x77E)
    stand = Stand(
        plan(uds=True, trouble_codes_s=5, controllers=(other,)),
        {ENGINE: ENGINE_ANSWERS, 0x77E: {"19020d": bytes.fromhex("5902ff")}},
    )
    stand.run(30)
    assert set(stand.poller.controllers) == {ENGINE}


@pytest.mark.parametrize(
    ("answer_id", "extended", "request_id"),
    [(0x7E8, False, 0x7E0), (0x7EF, False, 0x7E7), (0x18DAF15A, True, 0x18DA5AF1), (0x7E7, False, None)],
)
def test_controller_is_known_by_its_answers(answer_id: int, extended: bool, request_id: int | None) -> None:
    found = controller_of(answer_id, extended)
    assert (found.request_id if found else None) == request_id


@settings(max_examples=200)
@given(
    frames=st.lists(
        st.tuples(
            st.sampled_from([0x7E8, 0x7E9, 0x7DF, 0x18DAF110, 0x77E]),
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from(list(ENGINE_ANSWERS.values())).map(
                    lambda payload: bytes([len(payload[:7])]) + payload[:7]
                ),
                st.sampled_from([bytes.fromhex("037f0178"), bytes.fromhex("037f0111")]),
            ),
            st.floats(0, 10),
        ),
        max_size=60,
    )
)
def test_nonsense_on_the_bus_breaks_neither_the_rules_nor_the_counting(
    frames: list[tuple[int, bytes, float]],
) -> None:
    poller, rules, now_s = ObdPoller(plan(uds=True)), TransmitRules(most_per_s=10), 1000.0
    under_way = 0
    for arbitration_id, data, wait_s in frames:
        request = poller.next(now_s)
        flow = poller.take(Frame(None, "", arbitration_id, arbitration_id > 0x7FF, data), now_s)
        for sent in (request, flow):
            if sent is not None:
                with suppress(TooOftenError):
                    rules.admit(sent, now_s)
        now_s += wait_s
        wait = poller.wait_s(now_s)
        assert 0 <= wait < float("inf")
        counts = poller.counts
        under_way = counts.requests - counts.answered - counts.in_vain - counts.refused - counts.not_sent
        assert under_way in (0, 1)
