"""What every fault is judged by: what the spool once called stored is in the cloud, once, or was declared lost."""

import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import zstandard

from edge.batcher import Draft, DraftColumn
from edge.delivery import Key
from edge.outbox import Outbox
from edge.spool import Spool
from tests.fake_cloud import FakeCloud
from wire.envelope import Reply, parse_request
from wire.model import Event

VEHICLE = "v1"
NOW_MS = 1_700_000_000_000
MOST_ROUNDS = 10_000


@dataclass(frozen=True)
class Result:
    """Batches. `lost` are those of which nobody will ever hear again; `told` went with the rows that knew of them.

    Of those the event `spool_damaged` says that something is gone, but not what.
    """

    recorded: int
    lost: int
    told: int
    declared: int
    duplicated: int
    wrong: int
    recovery_s: float
    saved: int = 0
    forced: int | None = 0
    """How many had to leave for want of room, by the vehicle's own count; None where damage decides."""

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.duplicated or self.wrong) and self.forced in (None, self.declared)


@dataclass
class Record:
    """What was given to the spool: a number for each batch, and which of them it called stored."""

    drawn: dict[Key, int] = field(default_factory=dict)
    stored: set[Key] = field(default_factory=set)
    evicted: set[Key] | None = None
    """What had to leave for want of room, where that is known; nothing else may be declared then."""

    def note_evicted(self, spool: Spool) -> None:
        """What has left the disk so far."""
        gone = {(stream.stream, seq) for stream in spool.on_disk() for seq in stream.evicted.numbers()}
        self.evicted = (self.evicted or set()) | gone

    def draft(self, dice: Random, *, most_samples: int = 200) -> tuple[int, Draft]:
        """A batch that does not compress well, and its number."""
        number = dice.getrandbits(52)
        count = dice.randint(1, most_samples)
        values = [float(number), *(float(dice.getrandbits(40)) for _ in range(count - 1))]
        events = (Event(t=NOW_MS, kind="fault", data={}),) if dice.random() < 0.1 else ()
        return number, Draft(columns={"N": DraftColumn(list(range(NOW_MS, NOW_MS + count)), values)}, events=events)


async def store(outbox: Outbox, spool: Spool, record: Record, dice: Random, *, most_samples: int = 200) -> list[Key]:
    """One `put` of one to three batches. Which numbers they got shows afterwards: a damaged spool begins a stream."""
    made = [record.draft(dice, most_samples=most_samples) for _ in range(dice.randint(1, 3))]
    await outbox.put([draft for _, draft in made])
    following = next(stream.next for stream in spool.on_disk() if stream.stream == spool.stream)
    keys = [(spool.stream, following - len(made) + index) for index in range(len(made))]
    record.drawn |= {key: number for key, (number, _) in zip(keys, made, strict=True)}
    record.stored.update(keys)
    return keys


async def exchange(outbox: Outbox, cloud: FakeCloud, now_s: float, *, most_batches: int = 64) -> None:
    """One request and its reply, without a network."""
    shipment = await outbox.prepare(now_s, most_batches=most_batches, most_bytes=10**6)
    body = json.loads(zstandard.ZstdDecompressor().decompress(shipment.body))
    reply = Reply.model_validate(cloud.reply(parse_request(body)))
    await outbox.replied(shipment.plan, reply, now_s)


async def recover(path: Path, record: Record, cloud: FakeCloud, *, dice: Random, forced: int | None = 0) -> Result:
    """Open the spool as the next start does, store something, and send until nothing is owed."""
    began = time.perf_counter()
    with closing(Spool.open(path, vehicle=VEHICLE, max_bytes=10**9, now_ms=NOW_MS)) as spool:
        outbox = Outbox(spool)
        await store(outbox, spool, record, dice)
        recovery_s = time.perf_counter() - began
        now_s = 0.0
        for _ in range(MOST_ROUNDS):
            await exchange(outbox, cloud, now_s)
            if outbox.owes_nothing and not outbox.unsettled:
                break
            now_s += 4000.0
        return judge(record, cloud, spool, recovery_s=recovery_s, forced=forced)


def judge(record: Record, cloud: FakeCloud, spool: Spool, *, recovery_s: float, forced: int | None = 0) -> Result:
    """Count what is not as it was to be."""
    arrived = {key: int(batch.signals["N"].v[0]) for key, batch in cloud.batches.items()}
    absent = record.stored - arrived.keys()
    declared = {(stream, seq) for stream, seq in absent if stream in cloud.lost and seq in cloud.lost[stream]}
    if record.evicted is not None:
        declared &= record.evicted
    return Result(
        recorded=len(record.stored),
        lost=len(absent - declared) if spool.repair is None else 0,
        told=0 if spool.repair is None else len(absent - declared),
        declared=len(declared),
        duplicated=len(arrived) - len(set(arrived.values())),
        wrong=sum(record.drawn.get(key, number) != number for key, number in arrived.items()),
        recovery_s=recovery_s,
        saved=0 if spool.repair is None else spool.repair.saved,
        forced=forced,
    )


async def live(path: Path, record: Record, cloud: FakeCloud, dice: Random, *, puts: int, done: float) -> None:
    """A drive: batches are stored, and now and then (`done` of the time) something is settled."""
    with closing(Spool.open(path, vehicle=VEHICLE, max_bytes=10**9, now_ms=NOW_MS)) as spool:
        outbox = Outbox(spool)
        for _ in range(puts):
            await store(outbox, spool, record, dice)
            if dice.random() < done:
                await exchange(outbox, cloud, 0.0, most_batches=dice.randint(1, 8))


def table(results: Sequence[tuple[str, Sequence[Result]]]) -> str:
    """As docs/edge.md has it."""
    lines = [
        "| fault | trials | batches | lost | duplicated | declared lost | told by event | recovery: median, worst |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for fault, trials in results:
        times = sorted(trial.recovery_s for trial in trials)
        names = ("recorded", "lost", "duplicated", "declared", "told")
        sums = [sum(getattr(trial, name) for trial in trials) for name in names]
        counts = " | ".join(f"{number:,}" for number in (len(trials), *sums))
        lines.append(f"| {fault} | {counts} | {_spell(times[len(times) // 2])}, {_spell(times[-1])} |")
    return "\n".join(lines)


def _spell(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:,.0f} min"
