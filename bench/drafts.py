"""From a recording to the batches that the agent makes of it: its own decoder, sampler and batcher, at full speed."""

from collections.abc import Iterator
from typing import Final

from bench.recordings import Recorded
from edge.batcher import Batcher, Draft
from edge.decoder import Decoder
from edge.sampler import Sampler, SamplingPolicy, SamplingRule

NS_PER_MS: Final = 1_000_000
MOST_SAMPLES: Final = 1_000_000
"""A batch is closed by its age alone."""

EVERY_CHANGE: Final = SamplingPolicy(min_interval_ms=0)
DEFAULT: Final = SamplingPolicy()


def drafts(recorded: Recorded, policy: SamplingPolicy, *, max_age_ms: int) -> Iterator[Draft]:
    """The batches to be, stamped with the recorded times."""
    decoder = Decoder(recorded.databases)
    sampler = Sampler([SamplingRule("*", policy)])
    names: list[str] = []
    batcher = Batcher(names, max_age_ms=max_age_ms, max_samples=MOST_SAMPLES)
    t_ms = 0
    for frame in recorded.frames:
        assert frame.t_ns is not None
        t_ms = frame.t_ns // NS_PER_MS
        batcher.tick(t_ms)
        yield from batcher.take()
        decoded = decoder.decode(frame.arbitration_id, frame.is_extended, frame.data)
        kept = sampler.due(t_ms)
        if decoded is not None:
            if len(names) < len(decoder.signals):
                fresh = decoder.signals[len(names) :]
                names += (signal.name for signal in fresh)
                sampler.add_signals(signal.pattern_name for signal in fresh)
            indices, values, changed = decoded
            kept += sampler.offer(t_ms, indices, values, changed=changed)
        if kept:
            batcher.add_samples(kept, now_ms=t_ms)
    batcher.add_samples(sampler.flush(), now_ms=t_ms)
    batcher.close()
    yield from batcher.take()
