"""The agent on a computer whose clock begins in 1970, is told the time, and is stepped: what arrives, and when."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import reduce
from operator import xor
from pathlib import Path

import can
import pytest

from edge.clock.clock_trust import Reading
from edge.config import load_edge_config
from edge.service.status import AgentStatus
from fleetwire.edge_status import render
from tests.fake_cloud import FakeCloud, serve
from tests.running_agent import running_agent, until_status, virtual, write_vehicle
from wire.model import Batch

PATIENCE_S = 120
HOUR_NS = 3600 * 10**9
CLOCK = """[clock]
trust = "strict"
deadline_s = {deadline_s}
"""


class TurnedClock:
    """This computer's clock, turned by `ahead_ns`, for everybody in this process; what it was before is the truth."""

    keeps_time = False

    def __init__(self) -> None:
        self.boot_id = "boot-1"
        self.true_ns = time.time_ns
        self.synchronised = False
        self.ahead_ns = -self.true_ns() + 1000 * 10**9

    def time_ns(self) -> int:
        return self.true_ns() + self.ahead_ns

    def read(self) -> Reading:
        return Reading(time.clock_gettime_ns(time.CLOCK_BOOTTIME), self.time_ns(), self.synchronised)

    def tell_the_time(self) -> None:
        """As NTP does it."""
        self.ahead_ns, self.synchronised = 0, True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> TurnedClock:
    clock = TurnedClock()
    monkeypatch.setattr(time, "time_ns", clock.time_ns)
    monkeypatch.setattr(time, "time", lambda: clock.time_ns() / 1e9)
    return clock


class Stand:
    """A vehicle's folder, its bus, and the true time at which each frame was sent."""

    def __init__(self, home: Path, cloud: FakeCloud, url: str, clock: TurnedClock) -> None:
        self.home = home
        self.cloud = cloud
        self.clock = clock
        self.sent_ms: list[int] = []
        self._url = url

    @asynccontextmanager
    async def agent(self, *, deadline_s: float = 1000, more: str = "") -> AsyncIterator[None]:
        more = CLOCK.format(deadline_s=deadline_s) + more
        self.config = load_edge_config(write_vehicle(self.home, self._url, bus=virtual(self.home.name), more=more))
        async with running_agent(self.config, clock=self.clock):
            yield

    async def send(self, count: int) -> None:
        """Frames that say how many were sent before."""
        with can.Bus(self.home.name, "virtual") as bus:
            for _ in range(count):
                data = len(self.sent_ms).to_bytes(4, "little") + bytes(4)
                self.sent_ms.append(self.clock.true_ns() // 1_000_000)
                bus.send(can.Message(arbitration_id=0x100, is_extended_id=False, data=data))
                await asyncio.sleep(0.002)

    async def stored(self, batches: int = 1) -> None:
        """Until the agent has stored some more."""
        await self.status(lambda status: status.spool.batches + status.settled >= batches)

    async def status(self, condition: Callable[[AgentStatus], object]) -> list[str]:
        status = await until_status(self.config, condition)
        return list(render(status, status))

    async def opened(self) -> None:
        """Until the agent reads its bus."""
        await self.status(lambda status: True)

    def values(self) -> list[tuple[int, int, str]]:
        """Number, time and clock of every value in the cloud, as the batches come."""
        return [
            (int(value), batch.t0 + dt, batch.clock)
            for batch in self.batches()
            if "Engine.Count" in batch.signals
            for dt, value in zip(batch.signals["Engine.Count"].dt, batch.signals["Engine.Count"].v, strict=True)
        ]

    def batches(self) -> list[Batch]:
        return [batch for _, batch in sorted(self.cloud.batches.items())]

    def events(self) -> list[str]:
        """What was told of the clock."""
        kinds = [event.kind for batch in self.batches() for event in batch.events]
        return [kind for kind in kinds if kind.startswith("clock_")]

    async def arrived(self, count: int) -> None:
        await self.cloud.until(lambda: len(self.values()) >= count)

    def assert_true_times(self) -> None:
        """A frame is stamped when it is sent, within the jitter of this computer."""
        for number, t_ms, _ in self.values():
            assert self.sent_ms[number] - 5 <= t_ms <= self.sent_ms[number] + 30_000


@pytest.fixture
async def stand(tmp_path: Path, clock: TurnedClock) -> AsyncIterator[Stand]:
    cloud = FakeCloud()
    async with serve(cloud) as url:
        yield Stand(tmp_path, cloud, url, clock)


async def test_what_was_recorded_in_1970_arrives_with_its_true_time_once_that_is_known(stand: Stand) -> None:
    async with stand.agent():
        await stand.opened()
        await stand.send(20)
        lines = await stand.status(
            lambda status: status.clock.waiting and status.uplink.last_reply_ms and status.samples_seen == 20
        )
        assert any("clock: NOT KNOWN" in line and "wait for NTP or GPS" in line for line in lines)
        assert stand.cloud.requests
        assert not stand.cloud.batches
        stand.clock.tell_the_time()
        await stand.arrived(20)
        await stand.send(20)
        await stand.arrived(40)
        lines = await stand.status(lambda status: status.clock.source == "ntp" and not status.clock.waiting)
        assert "clock: told by NTP, stepped 1 times" in lines
    values = stand.values()
    assert [number for number, _, _ in values] == list(range(40))
    assert {clock for number, _, clock in values if number < 20} == {"relabelled"}
    assert {clock for number, _, clock in values if number >= 20} == {"trusted"}
    assert [t_ms for _, t_ms, _ in values] == sorted(t_ms for _, t_ms, _ in values)
    stand.assert_true_times()
    assert sorted(stand.events()) == ["clock_step", "clock_trusted"]


async def test_an_earlier_run_in_the_same_boot_is_relabelled_and_an_earlier_boot_is_flagged(stand: Stand) -> None:
    async with stand.agent():
        await stand.opened()
        await stand.send(10)
        await stand.stored()
    assert not stand.cloud.batches
    stand.clock.boot_id = "boot-2"
    async with stand.agent():
        await stand.arrived(10)
        assert {clock for _, _, clock in stand.values()} == {"untrusted"}
        await stand.send(10)
        await stand.status(lambda status: status.clock.waiting)
    assert len(stand.values()) == 10
    stand.clock.tell_the_time()
    async with stand.agent():
        await stand.arrived(20)
    assert [(number, clock) for number, _, clock in stand.values()] == [
        *((number, "untrusted") for number in range(10)),
        *((number, "relabelled") for number in range(10, 20)),
    ]
    later = [(number, t_ms) for number, t_ms, clock in stand.values() if clock == "relabelled"]
    assert all(stand.sent_ms[number] - 5 <= t_ms <= stand.sent_ms[number] + 30_000 for number, t_ms in later)


async def test_what_is_known_holds_across_a_restart_whoever_turns_the_clock(stand: Stand) -> None:
    stand.clock.tell_the_time()
    async with stand.agent():
        await stand.opened()
        await stand.send(5)
        await stand.arrived(5)
    stand.clock.ahead_ns, stand.clock.synchronised = -HOUR_NS, False
    async with stand.agent():
        await stand.opened()
        await stand.send(5)
        await stand.arrived(10)
    assert {clock for _, _, clock in stand.values()} == {"trusted"}
    stand.assert_true_times()


async def test_nothing_is_moved_by_steps_while_it_runs(stand: Stand) -> None:
    stand.clock.tell_the_time()
    async with stand.agent():
        await stand.opened()
        stand.clock.synchronised = False
        elsewhere = (-HOUR_NS, HOUR_NS, -stand.clock.true_ns(), 2**31 * 10**9 - stand.clock.true_ns())
        for number, ahead_ns in enumerate(elsewhere, 1):
            await stand.send(5)
            stand.clock.ahead_ns = ahead_ns
            await stand.send(5)
            await stand.arrived(10 * number)
        await stand.cloud.until(lambda: len(stand.events()) == 4)
        lines = await stand.status(lambda status: status.clock.steps == 4)
        assert any("the system clock is" in line and "ahead" in line for line in lines)
    values = stand.values()
    assert [number for number, _, _ in values] == list(range(40))
    assert {clock for _, _, clock in values} == {"trusted"}
    stand.assert_true_times()
    assert stand.events() == ["clock_step"] * 4


async def test_after_the_deadline_all_arrives_flagged(stand: Stand) -> None:
    async with stand.agent(deadline_s=0.5):
        await stand.opened()
        await stand.send(10)
        await stand.arrived(10)
        await stand.send(10)
        await stand.arrived(20)
        lines = await stand.status(lambda status: status.clock.waits_s is None)
        assert any("sent as untrusted" in line for line in lines)
    assert {clock for _, _, clock in stand.values()} == {"untrusted"}
    assert "clock_untrusted" in stand.events()


async def test_receiver_tells_the_time_where_there_is_no_ntp(stand: Stand) -> None:
    with receiver(stand.clock) as device:
        async with stand.agent(more=f'[gps]\ndevice = "{device}"\n'):
            await stand.opened()
            await stand.send(10)
            await stand.arrived(10)
            await stand.status(lambda status: status.clock.source == "gps")
            await stand.cloud.until(lambda: any(batch.fixes for batch in stand.batches()))
    assert "clock_trusted" in stand.events()
    for number, t_ms, _ in stand.values():
        assert abs(t_ms - stand.sent_ms[number]) < 30_000


@contextmanager
def receiver(clock: TurnedClock) -> Iterator[str]:
    """It knows the time, to the second that is over."""
    ours, theirs = os.openpty()
    loop = asyncio.get_running_loop()

    def send() -> None:
        nonlocal timer
        now_s = clock.true_ns() / 1e9
        now = datetime.fromtimestamp(int(now_s), UTC)
        body = f"GPRMC,{now:%H%M%S}.00,A,4807.0380,N,01131.0000,E,10.0,084.4,{now:%d%m%y},,,A"
        os.write(ours, f"${body}*{reduce(xor, body.encode()):02X}\r\n".encode())
        timer = loop.call_later(1.0 - now_s % 1, send)

    timer = loop.call_soon(send)
    yield os.ttyname(theirs)
    timer.cancel()
    os.close(ours)
    os.close(theirs)
