"""From frames and fixes to drafts of batches: decode, sample, collect. Pure but for what its parts remember.

This is the hot loop of the agent; a full bus is thousands of frames a second on a small computer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import JsonValue

from edge.batcher import Batcher, Draft
from edge.decoder import Decoder, SignalInfo
from edge.fix import Fix
from edge.fix_signals import FixSignals
from edge.frame import Frame
from edge.heard import Heard
from edge.listener import Listener
from edge.sampler import Sampler, SamplingRule
from wire.catalog import CatalogSignal, catalog_body, catalog_hash, make_catalog

NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Output:
    """What the spool is to keep: catalogs first, for drafts name them."""

    catalogs: Sequence[tuple[str, bytes]]
    drafts: Sequence[Draft]


class Pipeline:
    """One vehicle. Its decoders share `signals`, which grows when a J1939 source is first heard."""

    def __init__(
        self,
        signals: Sequence[SignalInfo],
        rules: Sequence[SamplingRule],
        *,
        max_age_ms: int,
        max_samples: int,
        fix_signals: FixSignals | None = None,
    ) -> None:
        self.frames = 0
        self.decoded = 0
        self.fixes = 0
        self.sampler = Sampler(rules)
        self._signals = signals
        self._names: list[str] = []
        self._batcher = Batcher(self._names, max_age_ms=max_age_ms, max_samples=max_samples)
        self._fix_signals = fix_signals
        self._catalog: str | None = None
        self._catalog_size = 0
        self._learn_signals()

    def take_frames(
        self, decoder: Decoder, frames: Iterable[Frame], now_ns: int, listener: Listener | None = None
    ) -> None:
        """Decode frames of one bus and keep what the sampling asks for. `now_ns` stands in for a missing time.

        What the decoder leaves goes to `listener`.
        """
        decode, offer, add_samples = decoder.decode, self.sampler.offer, self._batcher.add_samples
        watch, reserved = self._fix_signals, decoder.reserved_ids
        signals, known = self._signals, len(self._names)
        count = decoded_count = 0
        for t_ns, _, arbitration_id, is_extended, data in frames:
            count += 1
            decoded = decode(arbitration_id, is_extended, data)
            if decoded is None:
                if arbitration_id in reserved and listener is not None:
                    t_ms = (now_ns if t_ns is None else t_ns) // NS_PER_MS
                    self._keep(listener.take(t_ms, arbitration_id, is_extended, data), t_ms)
                continue
            decoded_count += 1
            indices, values, changed = decoded
            if len(signals) > known:
                self._learn_signals()
                known = len(signals)
            t_ms = (now_ns if t_ns is None else t_ns) // NS_PER_MS
            kept = offer(t_ms, indices, values, changed=changed)
            if kept:
                add_samples(kept, now_ms=t_ms)
            if watch is not None and (fix := watch.offer(t_ms, indices, values)) is not None:
                self.take_fix(fix)
        self.frames += count
        self.decoded += decoded_count

    def take_values(self, t_ms: int, indices: Sequence[int], values: Sequence[float]) -> None:
        """Keep values that come from no frame as the sampling asks for it."""
        kept = self.sampler.offer(t_ms, indices, values)
        if kept:
            self._batcher.add_samples(kept, now_ms=t_ms)

    def take_fix(self, fix: Fix) -> None:
        """Keep a position."""
        self.fixes += 1
        self._batcher.add_fix(fix)

    def take_event(self, t_ms: int, kind: str, data: Mapping[str, JsonValue]) -> None:
        """Keep something that happened."""
        self._batcher.add_event(t_ms, kind, data)

    def tick(self, *, wall_ms: int, monotonic_ms: int) -> None:
        """What is due by the passing of time: changes that waited, batches that are old enough."""
        self._release(self.sampler.due(wall_ms), wall_ms)
        self._batcher.tick(monotonic_ms)

    def finish(self, *, wall_ms: int) -> None:
        """The end of the input: nothing waits any longer."""
        self._release(self.sampler.flush(), wall_ms)
        self._batcher.close()

    @property
    def is_ready(self) -> bool:
        """Whether there is something to take."""
        return self._batcher.has_finished

    def take(self) -> Output:
        """What is ready to be stored, each given once."""
        drafts = self._batcher.take()
        catalogs = [self._make_catalog()] if drafts and len(self._names) > self._catalog_size else []
        return Output(catalogs, [replace(draft, catalog=self._catalog) for draft in drafts])

    def _keep(self, heard: Heard, t_ms: int) -> None:
        """What the listener heard, as `take_frames` does it for a frame."""
        for indices, values, changed in heard.decoded:
            self._learn_signals()
            kept = self.sampler.offer(t_ms, indices, values, changed=changed)
            if kept:
                self._batcher.add_samples(kept, now_ms=t_ms)
            if self._fix_signals is not None and (fix := self._fix_signals.offer(t_ms, indices, values)) is not None:
                self.take_fix(fix)
        for kind, data in heard.events:
            self.take_event(t_ms, kind, data)
        self.decoded += bool(heard.decoded)

    def _release(self, samples: Sequence[tuple[int, int, float]], wall_ms: int) -> None:
        if samples:
            self._batcher.add_samples(samples, now_ms=wall_ms)

    def _learn_signals(self) -> None:
        fresh = self._signals[len(self._names) :]
        if not fresh:
            return
        self._names.extend(info.name for info in fresh)
        self.sampler.add_signals(info.pattern_name for info in fresh)

    def _make_catalog(self) -> tuple[str, bytes]:
        """Of all signals known by now. Not at each new one: a truck has hundreds of sources, heard one by one."""
        body = catalog_body(make_catalog(map(_catalog_signal, self._signals)))
        self._catalog, self._catalog_size = catalog_hash(body), len(self._signals)
        return self._catalog, body


def _catalog_signal(info: SignalInfo) -> CatalogSignal:
    choices = None if info.choices is None else {_key(value): text for value, text in info.choices.items()}
    return CatalogSignal(
        name=info.name, unit=info.unit or None, min=_bound(info.minimum), max=_bound(info.maximum), choices=choices
    )


def _key(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _bound(value: float | None) -> float | None:
    return float(value) if value is not None and abs(value) < float("inf") else None
