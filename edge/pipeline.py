"""From frames and fixes to drafts of batches: decode, sample, collect. Pure but for what its parts remember.

This is the hot loop of the agent; a full bus is thousands of frames a second on a small computer.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from pydantic import JsonValue

from edge.batcher import Batcher, Bounds, Draft
from edge.campaigns.aggregator import NAMED, SampleNames
from edge.campaigns.capture import CaptureCounts
from edge.campaigns.capture_watch import CaptureWatch
from edge.campaigns.frame_ring import FrameRing
from edge.campaigns.selection import Selection
from edge.clock.clock_label import ClockLabel
from edge.codegen import Decoded
from edge.decoder import Decoder, SignalInfo
from edge.fix import Fix
from edge.fix_signals import FixSignals
from edge.flagged import Flagged
from edge.frame import Frame
from edge.protocols.code_watch import DeviceEvent
from edge.protocols.heard import Heard
from edge.protocols.listener import Listener
from edge.sampler import Sampler, SamplingRule, policy_for
from edge.track import NEVER_NS, Track, Tracks
from wire.campaign import Aggregate
from wire.catalog import CatalogSignal, catalog_body, catalog_hash, make_catalog

NS_PER_MS = 1_000_000
STALE_LOOK_MS = 500
CLOCK_STEP_MS = 5_000


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
        ring: FrameRing | None = None,
    ) -> None:
        """Without a `ring` there are no captures."""
        self.frames = 0
        self.decoded = 0
        self.fixes = 0
        self.sampler = Sampler(rules)
        self._signals = signals
        self._tracks: dict[Decoder, Tracks] = {}
        self._looked_ms = 0
        self._bounds: dict[int, Bounds] = {}
        self._names = SampleNames()
        self._batcher = Batcher(self._names, max_age_ms=max_age_ms, max_samples=max_samples, bounds=self._bounds)
        self._fix_signals = fix_signals
        self.ring = ring
        self.captures = CaptureCounts()
        self.selection = Selection(rules)
        self._captures: CaptureWatch | None = None
        self._catalog: str | None = None
        self._catalog_size = 0
        self._ready_catalogs: list[tuple[str, bytes]] = []
        self._ready_drafts: list[Draft] = []
        self._learn_signals()

    def apply(self, selection: Selection, *, wall_ms: int) -> None:
        """Sample and capture as `selection` says from here on. What waited goes out; a capture that runs ends."""
        self._release(self.sampler.flush(), wall_ms)
        if self._captures is not None:
            self._batcher.add_frames(self._captures.finish(wall_ms * NS_PER_MS))
        self._batcher.finish()
        self._name_catalog()
        known = self._signals[: len(self._names)]
        sparing_ms = self.sampler.least_interval_ms
        self.sampler = Sampler(selection.rules, (info.pattern_name for info in known), counts=self.sampler.counts)
        self.sampler.least_interval_ms = sparing_ms
        self._tracks.clear()  # every frame is looked at whole once, for what it says to the new selection
        self.selection = selection
        self._catalog_size = 0
        self._captures = None
        if self.ring is not None and selection.captures:
            self._captures = CaptureWatch(selection, self.ring, self.captures)
            for index, info in enumerate(known):
                self._captures.learn(index, info.name)

    def take_frames(
        self, decoder: Decoder, frames: Iterable[Frame], now_ns: int, listener: Listener | None = None
    ) -> None:
        """Decode frames of one bus and keep what the sampling asks for. `now_ns` stands in for a missing time.

        What the decoder leaves goes to `listener`.
        """
        if self.ring is not None:
            frames = frames if isinstance(frames, list) else list(frames)
            self.ring.add(frames, now_ns)
        captures = self._captures
        tracks = self._tracks.get(decoder) or self._tracks.setdefault(decoder, Tracks(decoder))
        standard, extended = tracks.standard, tracks.extended
        offer_changes, add_samples = self.sampler.offer_changes, self._batcher.add_samples
        count = left = unchanged = 0
        for frame in frames:
            t_ns, _, arbitration_id, is_extended, data = frame
            count += 1
            if t_ns is None:
                t_ns = now_ns
            track = (extended if is_extended else standard).get(arbitration_id)
            if track is not None and track.seen_ns <= t_ns < track.until_ns:
                if data == track.payload:
                    unchanged += track.width
                    track.seen_ns = t_ns
                    continue
                if track.changes is not None and len(data) == track.length:
                    changes = track.changes(data, track.payload)
                    unchanged += track.width - len(changes)
                    track.payload = data
                    track.seen_ns = t_ns
                    if changes:
                        t_ms = t_ns // NS_PER_MS
                        kept, due_ms = offer_changes(t_ms, changes)
                        if kept:
                            add_samples(kept, now_ms=t_ms)
                        if captures is not None:
                            self._take_events(t_ms, captures.offer(t_ms, changes))
                        if due_ms * NS_PER_MS < track.until_ns:
                            track.until_ns = due_ms * NS_PER_MS
                    continue
            if not self._take_whole(tracks, track, frame, t_ns, listener):
                left += 1
        self.frames += count
        self.decoded += count - left
        self.sampler.count_unchanged(unchanged)
        self._collect(now_ns)

    def take_values(self, t_ms: int, indices: Sequence[int], values: Sequence[float]) -> None:
        """Keep values that come from no frame as the sampling asks for it."""
        kept = self.sampler.offer(t_ms, indices, values)
        if kept:
            self._batcher.add_samples(kept, now_ms=t_ms)
        if self._captures is not None:
            self._take_events(t_ms, self._captures.offer(t_ms, zip(indices, values, strict=True)))

    def take_fix(self, fix: Fix) -> None:
        """Keep a position."""
        self.fixes += 1
        self._batcher.add_fix(fix)
        if self._captures is not None and fix.t_ms is not None:
            self._take_events(fix.t_ms, self._captures.offer_fix(fix.t_ms, fix))

    def take_event(self, t_ms: int, kind: str, data: Mapping[str, JsonValue]) -> None:
        """Keep something that happened."""
        self._batcher.add_event(t_ms, kind, data)

    def set_clock(self, label: ClockLabel) -> None:
        """What the times are from now on; no batch mixes two labels."""
        if label != self._batcher.clock:
            self._batcher.finish()
            self._batcher.clock = label

    def tick(self, *, wall_ms: int, monotonic_ms: int) -> None:
        """What is due by the passing of time: changes that waited, batches that are old enough."""
        self._release(self.sampler.due(wall_ms), wall_ms)
        if not 0 <= wall_ms - self._looked_ms < STALE_LOOK_MS:
            self._look_for_stale(wall_ms)
        self._collect(wall_ms * NS_PER_MS)
        self._batcher.tick(monotonic_ms)

    def be_sparing(self, *, batch_age_ms: int, interval_ms: int) -> None:
        """From now on batches without events are that old at least, and samples that far apart; 0 is no limit."""
        self._batcher.least_age_ms = batch_age_ms
        self.sampler.least_interval_ms = interval_ms

    def finish(self, *, wall_ms: int) -> None:
        """The end of the input: nothing waits any longer."""
        self._release(self.sampler.flush(), wall_ms)
        if self._captures is not None:
            self._batcher.add_frames(self._captures.finish(wall_ms * NS_PER_MS))
        self._batcher.finish()

    @property
    def draft_count(self) -> int:
        """How many drafts were ever finished, taken or not."""
        return self._batcher.finished_count

    @property
    def is_ready(self) -> bool:
        """Whether there is something to take."""
        return self._batcher.has_finished or bool(self._ready_drafts)

    def take(self) -> Output:
        """What is ready to be stored, each given once."""
        self._name_catalog()
        output = Output(self._ready_catalogs, self._ready_drafts)
        self._ready_catalogs, self._ready_drafts = [], []
        return output

    def _name_catalog(self) -> None:
        """Finished drafts become ready with the catalog of what they were recorded under."""
        drafts = self._batcher.take()
        if drafts and len(self._names) > self._catalog_size:
            self._ready_catalogs.append(self._make_catalog())
        self._ready_drafts += [replace(draft, catalog=self._catalog) for draft in drafts]

    def _take_whole(
        self, tracks: Tracks, track: Track | None, frame: Frame, t_ns: int, listener: Listener | None
    ) -> bool:
        """A frame of which every signal is looked at; whether the decoder found it to have any."""
        _, _, arbitration_id, is_extended, data = frame
        t_ms = t_ns // NS_PER_MS
        decoded = tracks.decoder.decode(arbitration_id, is_extended, data)
        if decoded is None:
            if arbitration_id in tracks.decoder.reserved_ids and listener is not None:
                self._keep(listener.take(t_ms, arbitration_id, is_extended, data), t_ms)
            return False
        if decoded[2]:
            slot = tracks.decoder.slot(arbitration_id, is_extended)
            if slot is not None and (flags := slot.quality(data)):
                decoded = (decoded[0], tuple(Flagged(value, flags) for value in decoded[1]), True)
        self._offer(t_ms, decoded)
        if track is None:
            track = tracks.open(arbitration_id, is_extended)
        if track is not None:
            self._remember(track, t_ns, decoded, data)
        return True

    def _remember(self, track: Track, t_ns: int, decoded: Decoded, data: bytes) -> None:
        """For how long it is enough to look at what differs from this frame."""
        indices, values, changed = decoded
        track.seen_ns, track.until_ns = t_ns, NEVER_NS
        track.payload, track.width = data if track.is_remembered(data) else b"", len(indices)
        if not track.payload or (self._fix_signals is not None and self._fix_signals.watches(indices)):
            return
        if not changed or track.changes is not None:
            track.until_ns = self.sampler.calm_until_ms(indices, values) * NS_PER_MS

    def _offer(self, t_ms: int, decoded: Decoded) -> None:
        """Keep what the sampling asks for of the signals of a frame, and the fix that they make."""
        if len(self._signals) > len(self._names):
            self._learn_signals()
        indices, values, _ = decoded
        kept = self.sampler.offer(t_ms, indices, values)
        if kept:
            self._batcher.add_samples(kept, now_ms=t_ms)
        if self._fix_signals is not None and (fix := self._fix_signals.offer(t_ms, indices, values)) is not None:
            self.take_fix(fix)
        if self._captures is not None and not self._captures.watched.isdisjoint(indices):
            self._take_events(t_ms, self._captures.offer(t_ms, zip(indices, values, strict=True)))

    def _look_for_stale(self, wall_ms: int) -> None:
        """Say of messages that stay away that their values are old. After a step of the clock, look the next time."""
        was_stepped = not 0 <= wall_ms - self._looked_ms < CLOCK_STEP_MS
        self._looked_ms = wall_ms
        if was_stepped:
            return
        for track in chain.from_iterable(self._tracks.values()):
            if track.becomes_stale(wall_ms * NS_PER_MS):
                indices, values, _ = track.slot.reader.read(track.payload)
                self._release(self.sampler.make_stale(wall_ms, indices, values), wall_ms)

    def _keep(self, heard: Heard, t_ms: int) -> None:
        """What the listener heard, as `take_frames` does it for a frame."""
        for decoded in heard.decoded:
            self._offer(t_ms, decoded)
        self._take_events(t_ms, heard.events)
        self.decoded += bool(heard.decoded)

    def _take_events(self, t_ms: int, events: Iterable[DeviceEvent]) -> None:
        for kind, data in events:
            self.take_event(t_ms, kind, data)

    def _collect(self, now_ns: int) -> None:
        if self._captures is not None and self._captures.is_active:
            self._batcher.add_frames(self._captures.collect(now_ns))

    def _release(self, samples: Sequence[tuple[int, int, float]], wall_ms: int) -> None:
        if samples:
            self._batcher.add_samples(samples, now_ms=wall_ms)

    def _learn_signals(self) -> None:
        fresh = self._signals[len(self._names) :]
        if not fresh:
            return
        first = len(self._names)
        self._names.extend(info.name for info in fresh)
        self.sampler.add_signals(info.pattern_name for info in fresh)
        for index, info in enumerate(fresh, start=first):
            if info.minimum is not None and info.maximum is not None and info.minimum < info.maximum:
                self._bounds[index] = (info.minimum, info.maximum)
        if self._captures is not None:
            for index, info in enumerate(fresh, start=first):
                self._captures.learn(index, info.name)

    def _make_catalog(self) -> tuple[str, bytes]:
        """Of all signals known by now. Not at each new one: a truck has hundreds of sources, heard one by one."""
        body = catalog_body(make_catalog(chain.from_iterable(map(self._described, self._signals))))
        self._catalog, self._catalog_size = catalog_hash(body), len(self._signals)
        return self._catalog, body

    def _described(self, info: SignalInfo) -> Iterator[CatalogSignal]:
        yield _catalog_signal(info)
        wanted = policy_for(info.pattern_name, self.selection.rules).aggregate
        yield from (_catalog_aggregate(info, which) for which in NAMED if which in wanted)


def _catalog_signal(info: SignalInfo) -> CatalogSignal:
    choices = None if info.choices is None else {_key(value): text for value, text in info.choices.items()}
    return CatalogSignal(
        name=info.name, unit=info.unit or None, min=_bound(info.minimum), max=_bound(info.maximum), choices=choices
    )


def _catalog_aggregate(info: SignalInfo, which: Aggregate) -> CatalogSignal:
    """A number without texts: a mean is between them."""
    if which == "count":
        return CatalogSignal(name=f"{info.name}:count", min=0)
    return _catalog_signal(info).model_copy(update={"name": f"{info.name}:{which}", "choices": None})


def _key(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _bound(value: float | None) -> float | None:
    return float(value) if value is not None and abs(value) < float("inf") else None
