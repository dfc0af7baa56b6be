"""Faults of the clock: it is wrong, jumps, and is put right, while the agent's own parts record, die and send.

Everything from the stamp to the cloud is the agent's, but for the clocks, which are turned by hand. A sample whose time
the agent calls true and that is not so is wrong; one that it never came to know the time of must be flagged.
"""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from edge.clock.clock_trust import ClockTrust, Reading, Trust
from edge.clock.clock_watch import ClockWatch
from edge.clock.timekeeper import Timekeeper
from edge.decoder import SignalInfo
from edge.outbox import Outbox
from edge.pipeline import Pipeline
from edge.sampler import SamplingPolicy, SamplingRule
from edge.spool import Spool
from edge.uplink import UplinkCounts
from tests.fake_cloud import FakeCloud
from tests.faults.trial import MOST_ROUNDS, NOW_MS, VEHICLE, Result, exchange

HOUR_NS = 3_600_000_000_000
NOW_NS = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()) * 10**9
Y2038_NS = 2**31 * 10**9
TRUE_WITHIN_MS = 20
DEADLINE_S = 600.0
TRUST: Trust = "auto"
EVERY = (SamplingRule("*", SamplingPolicy(min_interval_ms=0, every=True)),)


@dataclass
class TurnedClock:
    """The computer's clocks. NTP holds until someone turns the clock, as in the kernel."""

    boot_id: str
    true_at_boot_ns: int
    wrong_ns: int
    """What the system clock is ahead of the truth."""
    boot_ns: int = 5_000_000_000
    is_synchronised: bool = False
    keeps_time: bool = False

    def read(self) -> Reading:
        return Reading(self.boot_ns, self.true_ns + self.wrong_ns, self.is_synchronised)

    @property
    def true_ns(self) -> int:
        return self.true_at_boot_ns + self.boot_ns

    def turn(self, wall_ns: int) -> None:
        self.wrong_ns = wall_ns - self.true_ns
        self.is_synchronised = False

    def synchronise(self) -> None:
        self.wrong_ns, self.is_synchronised = 0, True


@dataclass
class Truth:
    """What was stored, and when it really was."""

    true_ms: dict[float, int] = field(default_factory=dict)
    stored: set[float] = field(default_factory=set)


async def hour(seed: int, folder: Path) -> Result:
    """The clock jumps by an hour, forward and back, before and after the time is known."""
    return await _trial(seed, folder, begins_ns=NOW_NS, wrong_ns=(0, HOUR_NS, -HOUR_NS), steps_ns=(HOUR_NS, -HOUR_NS))


async def year_1970(seed: int, folder: Path) -> Result:
    """The computer starts in 1970, and falls back to it."""
    return await _trial(seed, folder, begins_ns=NOW_NS, wrong_ns=(-NOW_NS,), to_ns=(0, 86_400 * 10**9))


async def year_2038(seed: int, folder: Path) -> Result:
    """The truth passes the end of 31 bits of seconds, and the clock jumps there and beyond."""
    begins_ns = Y2038_NS - 60 * 10**9
    to_ns = (Y2038_NS - 1, Y2038_NS + HOUR_NS, NOW_NS)
    return await _trial(seed, folder, begins_ns=begins_ns, wrong_ns=(0, -begins_ns, HOUR_NS), to_ns=to_ns)


async def _trial(
    seed: int,
    folder: Path,
    *,
    begins_ns: int,
    wrong_ns: Sequence[int],
    steps_ns: Sequence[int] = (),
    to_ns: Sequence[int] = (),
) -> Result:
    """One to three boots with one to three runs each; in the last the time becomes known at the latest."""
    dice = Random(seed)
    cloud, truth, path = FakeCloud(), Truth(), folder / "spool.db"
    boots = dice.randint(1, 3)
    recovery_s = 0.0
    for boot in range(boots):
        clock = TurnedClock(f"boot-{boot}", begins_ns, dice.choice(wrong_ns))
        lives = dice.randint(1, 3)
        for life in range(lives):
            is_last = (boot, life) == (boots - 1, lives - 1)
            with closing(Spool.open(path, vehicle=VEHICLE, max_bytes=10**9, now_ms=NOW_MS)) as spool:
                run = _Run(spool, clock, truth, cloud, dice)
                await run.begin()
                for _ in range(dice.randint(5, 40)):
                    if dice.random() < 0.1:
                        clock.turn(dice.choice([clock.read().wall_ns + step for step in steps_ns] + list(to_ns)))
                    elif dice.random() < 0.05:
                        clock.synchronise()
                    await run.step()
                if is_last:
                    clock.synchronise()
                    recovery_s = await run.settle()
        begins_ns = clock.true_ns + dice.randint(1, 100) * 10**9
    return _judge(cloud, truth, recovery_s)


class _Run:
    """One run of the agent: what lies between its sources and the cloud."""

    def __init__(self, spool: Spool, clock: TurnedClock, truth: Truth, cloud: FakeCloud, dice: Random) -> None:
        self._clock, self._truth, self._cloud, self._dice = clock, truth, cloud, dice
        self._outbox = Outbox(spool)
        self._pipeline = Pipeline([SignalInfo("N.N", "N", "N")], EVERY, max_age_ms=1_000, max_samples=100)
        trust = ClockTrust(TRUST, keeps_time=clock.keeps_time, known=spool.known_clock(clock.boot_id))
        keeper = Timekeeper(clock.boot_id, clock.read(), trust, deadline_s=DEADLINE_S)
        self._watch = ClockWatch(clock, keeper, self._pipeline, self._outbox, UplinkCounts())
        self._now_s = 0.0

    async def begin(self) -> None:
        await self._watch.settle_earlier_boots()

    async def step(self) -> None:
        """Some samples, as the system clock stamps them; now and then a batch, a look at the clock, a request."""
        for _ in range(self._dice.randint(1, 5)):
            self._clock.boot_ns += self._dice.randint(1, 400) * 1_000_000
            t_ms = self._watch.steady_ms(self._clock.read().wall_ns // 1_000_000)
            value = float(len(self._truth.true_ms))
            self._truth.true_ms[value] = self._clock.true_ns // 1_000_000
            self._pipeline.take_values(t_ms, (0,), (value,))
        self._pipeline.tick(wall_ms=self._watch.now_ms(), monotonic_ms=self._clock.boot_ns // 1_000_000)
        await self._store()
        if self._dice.random() < 0.4:
            await self._watch.settle()
        if self._dice.random() < 0.2:
            await exchange(self._outbox, self._cloud, self._now_s, most_batches=self._dice.randint(1, 8))

    async def settle(self) -> float:
        """Everything that is owed, as the run ends; how long it takes from when the time is told."""
        began = time.perf_counter()
        self._pipeline.finish(wall_ms=self._watch.now_ms())
        await self._store()
        await self._watch.settle()
        for _ in range(MOST_ROUNDS):
            await exchange(self._outbox, self._cloud, self._now_s)
            if self._outbox.owes_nothing and not self._outbox.unsettled:
                break
            self._now_s += 4000.0
        return time.perf_counter() - began

    async def _store(self) -> None:
        drafts = self._pipeline.take().drafts
        await self._outbox.put(drafts)
        for draft in drafts:
            for column in draft.columns.values():
                self._truth.stored.update(map(float, column.v))


def _judge(cloud: FakeCloud, truth: Truth, recovery_s: float) -> Result:
    """Samples, not batches."""
    arrived: Counter[float] = Counter()
    wrong = 0
    for batch in cloud.batches.values():
        for column in batch.signals.values():
            arrived.update(column.v)
            if batch.clock != "untrusted":
                times = zip(column.dt, column.v, strict=True)
                wrong += sum(abs(batch.t0 + dt - truth.true_ms[value]) > TRUE_WITHIN_MS for dt, value in times)
    return Result(
        recorded=len(truth.stored),
        lost=len(truth.stored - arrived.keys()),
        told=0,
        declared=sum(len(lost) for lost in cloud.lost.values()),
        duplicated=sum(count - 1 for count in arrived.values()),
        wrong=wrong,
        recovery_s=recovery_s,
    )
