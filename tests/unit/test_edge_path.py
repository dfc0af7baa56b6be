"""From frames to the cloud: all that is seen is kept, filtered or dropped with its cause, in any order and cuts."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cantools
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.batcher import Draft
from edge.campaigns.frame_ring import FrameRing
from edge.campaigns.selection import Selection
from edge.decoder import Decoder, SignalTable
from edge.frame import Frame
from edge.outbox import Outbox
from edge.pipeline import NS_PER_MS, Pipeline
from edge.sampler import SamplingPolicy, SamplingRule
from edge.spool import Spool
from tests.fake_cloud import FakeCloud
from wire.campaign import Capture
from wire.envelope import Reply, parse_request
from wire.ranges import EMPTY

T0_MS = 1_700_000_000_000
DBC = """VERSION ""
BS_:
BU_: ECU
BO_ 1 Plain: 2 ECU
 SG_ A : 0|4@1+ (1,0) [0|0] "" ECU
 SG_ B : 4|8@1+ (0.5,0) [0|0] "" ECU
BO_ 2 Chosen: 2 ECU
 SG_ Way M : 0|2@1+ (1,0) [0|0] "" ECU
 SG_ One m1 : 8|8@1+ (1,0) [0|0] "" ECU
BO_ 3 Real: 4 ECU
 SG_ R : 0|32@1- (1,0) [0|0] "" ECU
SIG_VALTYPE_ 3 R : 1;
"""
DATABASE = cantools.database.load_string(DBC, "dbc")
BUSES = ("x", "y")
PATTERNS = ("Plain.A", "Plain.B", "Chosen.*", "Real.R")
REAL = [bytes.fromhex(text) for text in ("0000803f", "0000c07f", "0000807f", "00000000")]
CAPTURES = (
    Capture(name="a", when="x:Plain.A == 1", before_s=0.2, after_s=0.3, cooldown_s=0.5),
    Capture(name="b", when="x:Plain.B > 0", before_s=0.3, after_s=0.4, cooldown_s=0),
)

POLICIES = st.one_of(
    st.builds(
        SamplingPolicy,
        min_interval_ms=st.sampled_from([0, 50]),
        max_interval_ms=st.sampled_from([0, 500]),
        deadband=st.sampled_from([0.0, 1.0]),
        deadband_percent=st.sampled_from([0.0, 50.0]),
        every=st.booleans(),
    ),
    st.just(SamplingPolicy(off=True)),
    st.just(SamplingPolicy(aggregate=("count", "min", "mean", "last"), window_ms=100)),
)
SELECTIONS = st.lists(POLICIES, min_size=len(PATTERNS), max_size=len(PATTERNS)).map(
    lambda policies: Selection(
        [SamplingRule(pattern, policy) for pattern, policy in zip(PATTERNS, policies, strict=True)],
        captures=CAPTURES,
        known=frozenset({"x:Plain.A", "x:Plain.B"}),
        campaign=("c", 1),
    )
)
FEW = st.sampled_from([0x00, 0x01, 0x10, 0x81])
CONTENTS = st.one_of(
    st.tuples(st.just(1), st.lists(FEW, min_size=0, max_size=3).map(bytes)),
    st.tuples(st.just(2), st.tuples(st.integers(0, 3), FEW).map(bytes)),
    st.tuples(st.just(3), st.sampled_from(REAL)),
    st.tuples(st.just(99), st.just(b"?")),
)
ARRIVALS = st.lists(st.tuples(st.sampled_from([0, 0, 1, 10, 60, 400]), st.sampled_from(BUSES), CONTENTS), max_size=60)

MANY = st.lists(
    st.tuples(st.sampled_from([0, 1, 10, 60, 400]), st.sampled_from(BUSES), CONTENTS), min_size=20, max_size=60
)


def frames_of(arrivals: Iterable[tuple[int, str, tuple[int, bytes]]]) -> list[Frame]:
    t_ms, frames = T0_MS, []
    for step, bus, (number, data) in arrivals:
        t_ms += step
        frames.append(Frame(t_ms * NS_PER_MS, bus, number, False, data))
    return frames


class Vehicle:
    """A pipeline of two buses that share nothing but the numbering of their signals."""

    def __init__(self, selection: Selection) -> None:
        table = SignalTable()
        self.decoders = {bus: Decoder([DATABASE], bus=bus, table=table) for bus in BUSES}
        self.pipeline = Pipeline(table.signals, [], max_age_ms=200, max_samples=20, ring=FrameRing(10_000_000))
        self.pipeline.apply(selection, wall_ms=T0_MS)

    def take(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            self.pipeline.take_frames(self.decoders[frame.channel], [frame], 0)

    def take_portion(self, frames: Sequence[Frame]) -> None:
        """As a bus's reader hands them on: those of one bus that follow one another at once."""
        begin = 0
        for end in range(1, len(frames) + 1):
            if end == len(frames) or frames[end].channel != frames[begin].channel:
                self.pipeline.take_frames(self.decoders[frames[begin].channel], list(frames[begin:end]), 0)
                begin = end

    def tick(self, t_ns: int) -> None:
        self.pipeline.tick(wall_ms=t_ns // NS_PER_MS, monotonic_ms=t_ns // NS_PER_MS)

    def drafts(self) -> Sequence[Draft]:
        return self.pipeline.take().drafts

    def finish(self) -> Sequence[Draft]:
        self.pipeline.finish(wall_ms=T0_MS + 10**7)
        return self.drafts()


@dataclass
class Kept:
    """What drafts hold together: samples by signal in their order, captured frames, captures."""

    samples: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    frames: Counter[Frame] = field(default_factory=Counter)
    events: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    def of(cls, drafts: Iterable[Draft]) -> "Kept":
        kept = cls()
        for draft in drafts:
            for name, column in draft.columns.items():
                kept.samples[name] += zip(column.t_ms, column.v, strict=True)
            kept.frames.update(draft.frames)
            kept.events += [(event.t, str(event.data["capture"])) for event in draft.events]
        return kept


@settings(deadline=None, max_examples=60)
@given(SELECTIONS, MANY, st.permutations([(bus, number) for bus in BUSES for number in (1, 2, 3, 99)]), st.data())
def test_neither_the_cuts_nor_the_order_of_what_is_simultaneous_matters(
    selection: Selection,
    arrivals: list[tuple[int, str, tuple[int, bytes]]],
    order: list[tuple[str, int]],
    data: st.DataObject,
) -> None:
    """Frames of one kind keep their order; those of others within the same millisecond come in any."""
    frames = frames_of(arrivals)
    one, other = Vehicle(selection), Vehicle(selection)
    for frame in frames:
        one.take([frame])
        one.tick(frame.t_ns or 0)
    mixed = sorted(frames, key=lambda frame: (frame.t_ns, order.index((frame.channel, frame.arbitration_id))))
    cuts = data.draw(st.lists(st.booleans(), min_size=len(mixed), max_size=len(mixed)))
    portion: list[Frame] = []
    for frame, cut in zip(mixed, cuts, strict=True):
        portion.append(frame)
        if cut:
            other.take_portion(portion)
            other.tick(frame.t_ns or 0)
            portion = []
    other.take_portion(portion)
    kept, wanted = Kept.of(other.finish()), Kept.of(one.finish())
    assert kept.samples == wanted.samples
    assert kept.frames == wanted.frames
    assert sorted(kept.events) == sorted(wanted.events)
    counts = one.pipeline.sampler.counts, other.pipeline.sampler.counts
    assert [(c.seen, c.kept, c.made, c.aggregated, c.not_finite) for c in counts[:1]] == [
        (c.seen, c.kept, c.made, c.aggregated, c.not_finite) for c in counts[1:]
    ]


SENDING = st.sampled_from(["arrives", "arrives", "request lost", "reply lost", "queue wiped", "waits"])
STEPS = st.lists(st.tuples(ARRIVALS, SENDING, st.none() | SELECTIONS), max_size=8)


@settings(deadline=None, max_examples=60)
@given(SELECTIONS, STEPS, st.sampled_from([30_000, 10_000_000]))
def test_everything_seen_is_kept_filtered_or_dropped_with_its_cause(
    selection: Selection,
    steps: list[tuple[list[tuple[int, str, tuple[int, bytes]]], str, Selection | None]],
    spool_bytes: int,
) -> None:
    asyncio.run(_conserves(selection, steps, spool_bytes))


async def _conserves(
    selection: Selection,
    steps: list[tuple[list[tuple[int, str, tuple[int, bytes]]], str, Selection | None]],
    spool_bytes: int,
) -> None:
    vehicle, cloud = Vehicle(selection), FakeCloud()
    cloud.settles = False
    spool = Spool.open(":memory:", vehicle="v", max_bytes=spool_bytes, now_ms=T0_MS)
    outbox, stored, offered = Outbox(spool), list[Draft](), list[Frame]()
    now_s, t_ms = 0.0, 0

    async def store(drafts: Sequence[Draft]) -> None:
        stored.extend(drafts)
        await outbox.put(drafts)

    async def exchange(fate: str) -> None:
        nonlocal now_s
        now_s += 100.0
        shipment = await outbox.prepare(now_s, most_batches=3, most_bytes=10**6)
        if fate == "request lost":
            return
        request = parse_request(json.loads(zstandard.ZstdDecompressor().decompress(shipment.body)))
        reply = Reply.model_validate(cloud.reply(request))
        if fate == "queue wiped":
            cloud.lose_queue()
        else:
            cloud.commit()
        if fate != "reply lost":
            await outbox.replied(shipment.plan, reply, now_s)

    for arrivals, fate, another in steps:
        frames = frames_of(arrivals)
        frames = [frame._replace(t_ns=(frame.t_ns or 0) + t_ms * NS_PER_MS) for frame in frames]
        t_ms += 60 * 400
        offered += frames
        vehicle.take_portion(frames)
        vehicle.tick((T0_MS + t_ms) * NS_PER_MS)
        await store(vehicle.drafts())
        if fate != "waits":
            await exchange(fate)
        if another is not None:
            vehicle.pipeline.apply(another, wall_ms=T0_MS + t_ms)
    await store(vehicle.finish())
    for _ in range(10 * len(stored) + 10):
        if outbox.owes_nothing:
            break
        await exchange("arrives")
    assert outbox.owes_nothing
    _account(vehicle, offered, stored, cloud, spool.stream)
    spool.close()


def _account(
    vehicle: Vehicle, offered: Sequence[Frame], stored: Sequence[Draft], cloud: FakeCloud, stream: str
) -> None:
    pipeline, counts = vehicle.pipeline, vehicle.pipeline.sampler.counts
    independent = {bus: Decoder([DATABASE], bus=bus) for bus in BUSES}
    decoded = [independent[frame.channel].decode(frame.arbitration_id, False, frame.data) for frame in offered]
    assert pipeline.frames == len(offered)
    assert pipeline.frames - pipeline.decoded == sum(one is None for one in decoded)
    assert counts.seen == sum(len(one[0]) for one in decoded if one is not None)

    filtered = counts.unchanged + counts.deadband + counts.min_interval + counts.not_finite + counts.not_selected
    assert pipeline.sampler.waiting == 0
    assert counts.seen == counts.kept + filtered + counts.aggregated
    assert sum(draft.sample_count for draft in stored) == counts.kept + counts.made
    of_windows = [column.v for draft in stored for name, column in draft.columns.items() if name.endswith(":count")]
    assert sum(map(sum, of_windows)) == counts.aggregated
    assert sum(len(draft.frames) for draft in stored) == pipeline.captures.frames
    assert len({id(frame) for draft in stored for frame in draft.frames}) == pipeline.captures.frames

    received = {seq: batch for (_, seq), batch in cloud.batches.items()}
    lost = {seq for seq in cloud.lost.get(stream, EMPTY).numbers() if seq not in received}
    assert received.keys() | lost == set(range(len(stored))), "each batch is in the cloud, or declared lost"
    for seq, batch in received.items():
        assert batch == stored[seq].to_batch(vehicle="v", stream=stream, seq=seq)
