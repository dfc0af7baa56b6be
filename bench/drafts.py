"""From a recording to the batches that the agent makes of it: the agent's own pipeline, at full speed."""

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from bench.recordings import Recorded
from edge.batcher import Draft
from edge.decoder import Decoder
from edge.frame import Frame
from edge.pipeline import NS_PER_MS, Pipeline
from edge.sampler import SamplingPolicy, SamplingRule

TICK_MS: Final = 50
MOST_SAMPLES: Final = 1_000_000
"""A batch is closed by its age alone."""

EVERY_CHANGE: Final = SamplingPolicy(min_interval_ms=0)
DEFAULT: Final = SamplingPolicy()


def drafts(recorded: Recorded, policy: SamplingPolicy, *, max_age_ms: int) -> Iterator[Draft]:
    """The batches to be, stamped with the recorded times."""
    decoder = Decoder(recorded.databases)
    rules = [SamplingRule("*", policy)]
    pipeline = Pipeline(decoder.signals, rules, max_age_ms=max_age_ms, max_samples=MOST_SAMPLES)
    now_ms = 0
    for tick, frames in groupby(recorded.frames, _tick):
        pipeline.take_frames(decoder, frames, 0)
        now_ms = (tick + 1) * TICK_MS
        pipeline.tick(wall_ms=now_ms, monotonic_ms=now_ms)
        yield from pipeline.take().drafts
    pipeline.finish(wall_ms=now_ms)
    yield from pipeline.take().drafts


def _tick(frame: Frame) -> int:
    assert frame.t_ns is not None
    return frame.t_ns // NS_PER_MS // TICK_MS
