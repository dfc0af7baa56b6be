"""What is recorded gets its true time, whatever happens to the clock meanwhile: the parts together, a clock of ours."""

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.clock.clock_trust import ClockTrust, Reading
from edge.clock.clock_watch import ClockWatch
from edge.clock.steady_clock import SteadyClock
from edge.clock.timekeeper import Timekeeper
from edge.decoder import SignalInfo
from edge.fix import Fix
from edge.frame import Frame
from edge.outbox import Outbox
from edge.pipeline import Pipeline
from edge.sampler import SamplingPolicy, SamplingRule
from edge.spool import Spool
from edge.uplink import UplinkCounts
from wire.codec import decode_batch
from wire.model import Batch

MS = 1_000_000
S = 1000 * MS
DEADLINE_S = 600
NOW_MS = 1_800_000_000_000
SIGNALS = [SignalInfo(name="M.A", message="M", signal="A")]
HOUR_MS = 3_600_000


@dataclass
class World:
    """A computer's clocks, and the truth. All in ms: `truth` and `system` are ahead of boot time."""

    boot: int = 0
    boot_ms: int = 5_000
    truth_ms: int = NOW_MS
    system_ms: int = 86_400_000 * 365
    synchronised: bool = False
    keeps_time: bool = False

    @property
    def boot_id(self) -> str:
        return f"boot-{self.boot}"

    def read(self) -> Reading:
        return Reading(self.boot_ms * MS, (self.boot_ms + self.system_ms) * MS, self.synchronised)

    def restart(self) -> None:
        """The battery is empty: the clock begins at a fixed date, hours after the last boot's end."""
        self.truth_ms += self.boot_ms + 5 * HOUR_MS
        self.boot, self.boot_ms, self.system_ms, self.synchronised = self.boot + 1, 5_000, 86_400_000 * 365, False


@dataclass
class Vehicle:
    """The agent's parts that deal with time, around a real spool."""

    world: World
    path: Path
    trust: Any = "strict"
    recorded: dict[float, tuple[str, int]] = field(default_factory=dict)
    """By value: the boot, and the true time."""
    known: set[str] = field(default_factory=set)
    given_up: set[str] = field(default_factory=set)

    def start(self) -> None:
        world = self.world
        self.spool = Spool.open(self.path, vehicle="v", max_bytes=50_000_000, now_ms=world.read().wall_ns // MS)
        self.outbox = Outbox(self.spool)
        self.uplink = UplinkCounts()
        self.pipeline = Pipeline(
            SIGNALS, [SamplingRule("*", SamplingPolicy(every=True))], max_age_ms=10_000, max_samples=50
        )
        trust = ClockTrust(self.trust, keeps_time=world.keeps_time, known=self.spool.known_clock(world.boot_id))
        self.keeper = Timekeeper(world.boot_id, world.read(), trust, deadline_s=DEADLINE_S)
        self.watch = ClockWatch(world, self.keeper, self.pipeline, self.outbox, self.uplink)

    async def settle(self) -> None:
        self.watch.look()
        self.pipeline.finish(wall_ms=self.watch.now_ms())
        await self.store()
        await self.watch.settle_earlier_boots()
        await self.watch.settle()
        if self.keeper.known is not None:
            self.known.add(self.world.boot_id)

    async def store(self) -> None:
        await self.outbox.put(self.pipeline.take().drafts)

    def record(self, *, then: Any = None) -> None:
        """A value is stamped; something happens; 50 ms later the pipeline gets it."""
        world, value = self.world, float(len(self.recorded))
        stamp_ms = world.boot_ms + world.system_ms
        self.recorded[value] = (world.boot_id, world.boot_ms + world.truth_ms)
        if then is not None:
            then()
        world.boot_ms += 50
        frames, _ = self.watch.stamp([Frame(stamp_ms * MS, "can0", 1, False, b"")])
        assert frames[0].t_ns is not None
        self.pipeline.take_values(frames[0].t_ns // MS, (0,), (value,))

    def batches(self) -> list[Batch]:
        keys = [(stream.stream, seq) for stream in self.spool.on_disk() for seq in stream.held.numbers()]
        loaded = self.spool.load(keys, max_bytes=10**9)
        assert not loaded.damaged
        return [decode_batch(payload) for _, payload in loaded.batches]

    def stop(self) -> None:
        self.spool.close()


def step(world: World, to_ms: int) -> None:
    """Somebody sets the clock."""
    world.system_ms, world.synchronised = to_ms, False


def told(batches: list[Batch]) -> list[tuple[float, int, str]]:
    """Value, time and clock of every sample, in order."""
    return [
        (value, batch.t0 + dt, batch.clock)
        for batch in batches
        for column in batch.signals.values()
        for dt, value in zip(column.dt, column.v, strict=True)
    ]


ELSEWHERE = st.sampled_from([0, 2**31 * 1000, NOW_MS - HOUR_MS, NOW_MS + HOUR_MS, NOW_MS - 60_000, NOW_MS + 10**11])
ACTIONS = st.lists(
    st.one_of(
        st.just(("record",)),
        st.tuples(st.just("step while recording"), ELSEWHERE),
        st.tuples(st.just("step"), ELSEWHERE),
        st.tuples(st.just("pass"), st.integers(1, 100_000)),
        st.sampled_from([("ntp",), ("ntp lost",), ("gps",), ("liar",), ("settle",), ("restart",), ("reboot",)]),
        st.just(("online",)),
    ),
    max_size=40,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(ACTIONS)
def test_relabelled_times_are_the_true_times_and_the_order_stays(actions: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live_through(actions, Path(folder)))


async def live_through(actions: list[tuple[Any, ...]], folder: Path) -> None:
    world = World()
    vehicle = Vehicle(world, folder / "spool.db")
    vehicle.start()
    for name, *arguments in actions:
        await act(vehicle, name, *arguments)
    await vehicle.settle()
    samples = told(vehicle.batches())
    withheld = {(stream.stream, seq) for stream in vehicle.spool.on_disk() for seq in stream.withheld.numbers()}
    vehicle.stop()

    assert sorted(value for value, _, _ in samples) == sorted(vehicle.recorded)
    for value, t_ms, clock in samples:
        boot, truth_ms = vehicle.recorded[value]
        if clock == "untrusted":
            assert boot not in vehicle.known or boot in vehicle.given_up
        else:
            assert boot in vehicle.known
            assert t_ms == truth_ms
    for boot in {boot for boot, _ in vehicle.recorded.values()}:
        ours = [(value, t_ms) for value, t_ms, clock in samples if vehicle.recorded[value][0] == boot]
        if boot in vehicle.known and boot not in vehicle.given_up:
            assert sorted(ours) == sorted(ours, key=lambda sample: (sample[1], sample[0]))
    if not vehicle.keeper.label.waits:
        assert not withheld


async def act(vehicle: Vehicle, name: str, argument: Any = None) -> None:
    world = vehicle.world
    match name:
        case "record":
            vehicle.record()
        case "step while recording":
            vehicle.record(then=lambda: step(world, argument))
        case "step":
            step(world, argument)
            vehicle.watch.look()  # as the agent does it twenty times a second
        case "pass":
            world.boot_ms += argument
        case "ntp":
            world.system_ms, world.synchronised = world.truth_ms, True
            await vehicle.settle()
        case "ntp lost":
            world.synchronised = False
        case "gps" | "liar":
            for _ in range(6):
                vehicle.watch.look()
                utc_ms = world.boot_ms + world.truth_ms if name == "gps" else 315_964_800_000 + world.boot_ms
                vehicle.watch.stamp_fix(Fix(world.boot_ms + world.system_ms, 1.0, 2.0, utc_ms=utc_ms))
                world.boot_ms += 1000
            await vehicle.settle()
        case "settle":
            await vehicle.settle()
        case "restart" | "reboot":
            await vehicle.settle()
            vehicle.stop()
            if name == "reboot":
                world.restart()
            vehicle.start()
        case "online":
            vehicle.uplink.last_reply_ms = 1
            for _ in range(DEADLINE_S):
                vehicle.watch.look()
                world.boot_ms += 1000
            vehicle.watch.look()
            if vehicle.keeper.known is None:
                vehicle.given_up.add(world.boot_id)


@pytest.fixture
def vehicle(tmp_path: Path) -> Any:
    vehicle = Vehicle(World(), tmp_path / "spool.db")
    vehicle.start()
    yield vehicle
    vehicle.stop()


def events(batches: list[Batch], kind: str) -> list[tuple[int, dict[str, Any]]]:
    return [(event.t, event.data) for batch in batches for event in batch.events if event.kind == kind]


async def test_what_waits_is_not_sent_and_is_frozen_before_it_is(vehicle: Vehicle) -> None:
    vehicle.record()
    await vehicle.settle()
    assert (vehicle.outbox.withheld, vehicle.outbox.unsettled) == (1, 1)
    shipment = await vehicle.outbox.prepare(0.0, most_batches=10, most_bytes=10**6)
    assert shipment.plan.batches == ()
    assert [claim.next for claim in shipment.plan.claims] == [1]

    vehicle.world.system_ms, vehicle.world.synchronised = vehicle.world.truth_ms, True
    await vehicle.settle()
    assert vehicle.outbox.withheld == 0
    shipment = await vehicle.outbox.prepare(0.0, most_batches=10, most_bytes=10**6)
    assert len(shipment.plan.batches) == 2, "the other one tells of the step"
    before = vehicle.batches()
    step(vehicle.world, NOW_MS + HOUR_MS)
    await vehicle.settle()
    assert vehicle.batches()[: len(before)] == before
    assert [batch.clock for batch in before] == ["relabelled", "trusted"]


async def test_earlier_boot_whose_time_was_known_is_relabelled_after_a_power_cut(vehicle: Vehicle) -> None:
    """It is put right some batches at a time, so that the power can fail between the first and the last."""
    for _ in range(40):
        vehicle.record()
        await vehicle.settle()
    world = vehicle.world
    world.system_ms, world.synchronised = world.truth_ms, True
    vehicle.watch.look()
    known = vehicle.keeper.known
    assert known is not None
    await vehicle.outbox.keep_clock(world.boot_id, known)
    vehicle.spool.relabel(world.boot_id, known)
    vehicle.stop()
    world.restart()
    vehicle.start()
    assert 0 < vehicle.outbox.withheld < 40
    await vehicle.watch.settle_earlier_boots()
    assert vehicle.outbox.withheld == 0
    samples = told(vehicle.batches())
    assert {clock for _, _, clock in samples} == {"relabelled"}
    assert [t_ms for _, t_ms, _ in samples] == [vehicle.recorded[value][1] for value, _, _ in samples]


async def test_step_is_an_event_and_moves_nothing_once_the_time_is_known(vehicle: Vehicle) -> None:
    world = vehicle.world
    world.system_ms, world.synchronised = world.truth_ms, True
    vehicle.record()
    at_ms = world.boot_ms + world.truth_ms
    vehicle.record(then=lambda: step(world, world.truth_ms - HOUR_MS))
    vehicle.record()
    await vehicle.settle()
    samples = told(vehicle.batches())
    assert [t_ms for _, t_ms, _ in samples] == [truth_ms for _, truth_ms in vehicle.recorded.values()]
    assert {clock for _, _, clock in samples} == {"trusted"}
    (first, second) = events(vehicle.batches(), "clock_step")
    assert first[1]["delta_ms"] == world.truth_ms - 86_400_000 * 365
    assert second == (at_ms + 50, {"from": at_ms + 50, "to": at_ms + 50 - HOUR_MS, "delta_ms": -HOUR_MS})
    assert vehicle.keeper.off_ms == -HOUR_MS


async def test_after_the_deadline_online_all_is_sent_flagged(vehicle: Vehicle) -> None:
    vehicle.record()
    await vehicle.settle()
    vehicle.world.boot_ms += 10 * HOUR_MS
    await vehicle.settle()
    assert vehicle.outbox.withheld == 1, "offline it waits for ever"
    await act(vehicle, "online")
    vehicle.record()
    await vehicle.settle()
    assert vehicle.outbox.withheld == 0
    batches = vehicle.batches()
    assert {clock for _, _, clock in told(batches)} == {"untrusted"}
    assert len(events(batches, "clock_untrusted")) == 1

    vehicle.world.system_ms, vehicle.world.synchronised = vehicle.world.truth_ms, True
    vehicle.record()
    await vehicle.settle()
    assert vehicle.batches()[: len(batches)] == batches, "what may have been sent is frozen"
    assert told(vehicle.batches())[-1][2] == "trusted"


async def test_time_asleep_does_not_count_against_the_deadline(vehicle: Vehicle) -> None:
    vehicle.uplink.last_reply_ms = 1
    vehicle.watch.look()
    vehicle.world.boot_ms += 24 * HOUR_MS
    vehicle.watch.look()
    assert vehicle.keeper.waits_s == DEADLINE_S - 5


async def test_untrusted_times_follow_the_system_clock_and_no_batch_mixes_two(vehicle: Vehicle) -> None:
    world = vehicle.world
    vehicle.record()
    step(world, NOW_MS + HOUR_MS)
    vehicle.record()
    await vehicle.settle()
    first, second = (batch for batch in vehicle.batches() if batch.signals)
    assert first.t0 < 86_400_000 * 366
    assert second.t0 > NOW_MS
    assert {first.clock, second.clock} == {"untrusted"}


def test_frames_are_the_very_same_as_long_as_the_clock_is_not_stepped() -> None:
    clock = SteadyClock(Reading(10 * S, 500 * S))
    frames = [Frame(n, "can0", 1, False, b"") for n in range(3)]
    clock.look(Reading(11 * S, 501 * S))
    assert clock.steady(frames) is frames
    clock.look(Reading(12 * S, 602 * S))
    assert [
        frame.t_ns for frame in clock.steady([Frame(602 * S, "can0", 1, False, b""), frames[0]._replace(t_ns=None)])
    ] == [502 * S, None]
    clock.look(Reading(1000 * S, 1590 * S))
    assert clock.steady_ms(1_590_000) == 1_490_000
