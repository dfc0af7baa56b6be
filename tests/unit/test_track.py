"""Looking only at what differs in a frame keeps the very samples that looking at all of it keeps."""

from collections.abc import Sequence
from dataclasses import asdict

import cantools
import pytest
from cantools.database.can import Database
from hypothesis import given
from hypothesis import strategies as st

from edge.batcher import DraftColumn
from edge.decoder import Decoder, SignalTable
from edge.frame import Frame
from edge.pipeline import NS_PER_MS, Pipeline
from edge.sampler import SamplingPolicy, SamplingRule
from edge.track import Tracks

DBC = """VERSION ""
BS_:
BU_: ECU
BO_ 1 Plain: 3 ECU
 SG_ A : 0|4@1+ (1,0) [0|0] "" ECU
 SG_ B : 4|8@1+ (0.5,0) [0|0] "" ECU
 SG_ C : 23|2@0- (1,0) [0|0] "" ECU
BO_ 2 Chosen: 2 ECU
 SG_ Way M : 0|2@1+ (1,0) [0|0] "" ECU
 SG_ One m1 : 8|8@1+ (1,0) [0|0] "" ECU
 SG_ Two m2 : 8|8@1+ (1,0) [0|0] "" ECU
BO_ 3 Real: 4 ECU
 SG_ R : 0|32@1- (1,0) [0|0] "" ECU
BO_ 4 Nothing: 1 ECU
SIG_VALTYPE_ 3 R : 1;
"""
REAL = [bytes.fromhex(text) for text in ("0000803f", "0000c07f", "0000807f", "00000000", "00000080")]

POLICIES = st.builds(
    SamplingPolicy,
    min_interval_ms=st.sampled_from([0, 50, 100]),
    max_interval_ms=st.sampled_from([0, 500]),
    deadband=st.sampled_from([0.0, 1.0]),
    every=st.sampled_from([False, False, False, True]),
    deadband_percent=st.sampled_from([0.0, 50.0]),
) | st.sampled_from(
    [SamplingPolicy(off=True), SamplingPolicy(aggregate=("count", "mean", "last"), window_ms=100)],
)
FEW = st.sampled_from([0x00, 0x01, 0x10, 0x81])
FRAMES = st.one_of(
    st.tuples(st.just(1), st.lists(FEW, min_size=3, max_size=3).map(bytes)),
    st.tuples(st.just(1), st.lists(FEW, min_size=0, max_size=4).map(bytes)),
    st.tuples(st.just(2), st.tuples(st.integers(0, 3), FEW).map(bytes)),
    st.tuples(st.just(3), st.sampled_from(REAL)),
    st.tuples(st.just(4), st.sampled_from([b"\0", b"\1"])),
)
STEPS = st.sampled_from([0, 0, 1, 10, 40, 60, 150, 2_000, -5, -300])


@pytest.fixture(scope="module")
def database() -> Database:
    loaded = cantools.database.load_string(DBC, "dbc")
    assert isinstance(loaded, Database)
    return loaded


@given(policies=st.lists(POLICIES, min_size=7, max_size=7), steps=st.lists(st.tuples(STEPS, FRAMES, st.booleans())))
def test_tracked_frames_keep_what_whole_frames_keep(
    database: Database, policies: Sequence[SamplingPolicy], steps: Sequence[tuple[int, tuple[int, bytes], bool]]
) -> None:
    tracked = Run(database, policies, Tracks.open)
    whole = Run(database, policies, lambda *_: None)
    t_ms = 10_000
    for step, (arbitration_id, data), ticks in steps:
        t_ms += step
        frame = Frame(t_ms * NS_PER_MS, "can0", arbitration_id, False, data)
        for run in (tracked, whole):
            run.take(frame, tick=ticks)
    assert tracked.finish(t_ms) == whole.finish(t_ms)
    counts, wanted = asdict(tracked.pipeline.sampler.counts), asdict(whole.pipeline.sampler.counts)
    for cause in ("seen", "kept", "not_finite", "aggregated", "made"):
        assert counts[cause] == wanted[cause]
    assert sum(counts.values()) == sum(wanted.values())
    assert tracked.decoder.counts == whole.decoder.counts
    assert (tracked.pipeline.frames, tracked.pipeline.decoded) == (whole.pipeline.frames, whole.pipeline.decoded)


def test_frames_that_were_compared_are_not_read(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short way is the one that is taken: what is repeated or changes a little costs no look at the whole."""
    run = Run(database, [SamplingPolicy(min_interval_ms=0)] * 7, Tracks.open)
    run.take(Frame(0, "can0", 1, False, b"\x00\x00\x00"), tick=False)
    monkeypatch.setattr(Decoder, "decode", None)
    changing = ["000000", "010000", "010000", "010800", "011800"]  # the last changes a bit that no signal has
    for t_ns, data in enumerate(map(bytes.fromhex, changing), start=1):
        run.take(Frame(t_ns, "can0", 1, False, data), tick=False)
    assert run.finish(1) == {
        "Plain.A": ([0, 0], [0, 1]),
        "Plain.B": ([0, 0], [0.0, 64.0]),
        "Plain.C": ([0], [0]),
    }


def test_signals_that_two_buses_share_are_looked_at_in_every_frame(database: Database) -> None:
    table = SignalTable()
    decoders = [Decoder([database], table=table) for _ in range(2)]
    pipeline = Pipeline(table.signals, [SamplingRule("*", SamplingPolicy(0, 0))], max_age_ms=1, max_samples=100)
    for t_ms, (bus, data) in enumerate([(0, b"\0\0\0"), (1, b"\1\0\0"), (0, b"\0\0\0"), (0, b"\0\0\0")]):
        pipeline.take_frames(decoders[bus], [Frame(t_ms * NS_PER_MS, "can0", 1, False, data)], 0)
    pipeline.finish(wall_ms=4)
    (draft,) = pipeline.take().drafts
    assert draft.columns["Plain.A"] == DraftColumn([0, 1, 2], [0, 1, 0])


class Run:
    """A pipeline, and how it remembers frames."""

    def __init__(self, database: Database, policies: Sequence[SamplingPolicy], opens: object) -> None:
        self.decoder = Decoder([database])
        names = [info.pattern_name for info in self.decoder.signals]
        rules = [SamplingRule(name, policy) for name, policy in zip(names, policies, strict=True)]
        self.pipeline = Pipeline(self.decoder.signals, rules, max_age_ms=10**9, max_samples=10**9)
        self._opens = opens

    def take(self, frame: Frame, *, tick: bool) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Tracks, "open", self._opens)
            self.pipeline.take_frames(self.decoder, [frame], 0)
        if tick:
            assert frame.t_ns is not None
            self.pipeline.tick(wall_ms=frame.t_ns // NS_PER_MS, monotonic_ms=0)

    def finish(self, t_ms: int) -> dict[str, tuple[list[int], list[float]]]:
        self.pipeline.finish(wall_ms=t_ms)
        kept: dict[str, tuple[list[int], list[float]]] = {}
        for draft in self.pipeline.take().drafts:
            for name, column in draft.columns.items():
                assert isinstance(column, DraftColumn)
                times, values = kept.setdefault(name, ([], []))
                times += column.t_ms
                values += column.v
        return kept
