"""Which samples are kept: per signal a shortest and a longest interval and a deadband.

Pure; times are ms and come from the caller. A change beyond the deadband is never lost: within `min_interval_ms` of the
last kept sample it waits, the newest such change replaces an older one, and it is kept, with the time at which it was
seen, when the interval ends. A value that has not changed is repeated once per `max_interval_ms` as long as frames
bring it. A signal that is told by windows (`edge.campaigns.aggregator`) has no samples of its own but those that its
policy asks for. Whatever is not kept is counted by cause: seen = kept + unchanged + deadband + min_interval +
not_finite + not_selected + aggregated + waiting.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from edge.campaigns.aggregator import Aggregator
from edge.flagged import Flagged
from wire.campaign import Aggregate
from wire.quality import STALE

Sample = tuple[int, int, float]
"""A kept value: the index of its signal, the time in ms, the number."""

NEVER_MS: Final = 2**63
_INFINITY: Final = float("inf")


@dataclass(frozen=True, slots=True)
class SamplingPolicy:
    """How one signal is sampled. `every` keeps all, `off` nothing; `max_interval_ms` 0 never repeats what is unchanged.

    The deadband is `deadband` or `deadband_percent` of the value kept last, whichever is wider. With `aggregate` only
    that is kept, of each window of `window_ms`.
    """

    min_interval_ms: int = 100
    max_interval_ms: int = 10_000
    deadband: float = 0.0
    every: bool = False
    deadband_percent: float = 0.0
    off: bool = False
    aggregate: tuple[Aggregate, ...] = ()
    window_ms: int = 10_000

    @property
    def is_aside(self) -> bool:
        """Whether no value of the signal is compared with the one kept last."""
        return self.off or bool(self.aggregate)

    def band(self, value: float) -> float:
        """How far from `value`, kept last, another one is no change."""
        return max(self.deadband, self.deadband_percent / 100 * abs(value)) if self.deadband_percent else self.deadband


@dataclass(frozen=True, slots=True)
class SamplingRule:
    """A policy for the signals whose `Message.Signal` matches the pattern (fnmatch, case counts)."""

    match: str
    policy: SamplingPolicy


@dataclass(slots=True)
class SamplerCounts:
    """What became of the samples seen."""

    seen: int = 0
    kept: int = 0
    unchanged: int = 0  # equal to the last one kept, or with the bits that it had in the frame before
    deadband: int = 0  # different from the last one kept, but within the deadband
    min_interval: int = 0  # a change that a newer one replaced before its interval ended
    not_finite: int = 0
    not_selected: int = 0  # the policy is off; bits that are repeated count as unchanged
    aggregated: int = 0  # went into a window
    made: int = 0  # not seen, but made of windows, or of a message that stays away: what goes out is kept + made


def policy_for(signal: str, rules: Sequence[SamplingRule]) -> SamplingPolicy:
    """The first rule that matches `Message.Signal`."""
    return next((rule.policy for rule in rules if fnmatchcase(signal, rule.match)), SamplingPolicy())


class Sampler:
    """Samples signals, which are known by their index."""

    def __init__(
        self, rules: Sequence[SamplingRule], signals: Iterable[str] = (), *, counts: SamplerCounts | None = None
    ) -> None:
        """`signals` are the `Message.Signal` names in the order of their indices; `counts` go on from another one's."""
        self.counts = counts or SamplerCounts()
        self._aggregator = Aggregator()
        self.least_interval_ms = 0
        """How far samples of a signal are apart at least, whatever its policy says: the vehicle is sparing."""
        self._rules = rules
        self._policies: list[SamplingPolicy] = []
        self._value: list[float | None] = []  # the last one kept, None before the first
        self._t_ms: list[int] = []
        self._band: list[float] = []
        self._window_end_ms: list[int] = []
        self._quiet_until_ms: list[int] = []  # before it an unchanged value is not repeated
        self._waiting: dict[int, Sample] = {}
        self._all_every = True
        self.add_signals(signals)

    def add_signals(self, signals: Iterable[str]) -> None:
        """Signals that come behind the known ones: a new J1939 source has been heard."""
        for signal in signals:
            policy = policy_for(signal, self._rules)
            self._all_every &= policy.every
            self._policies.append(policy)
            self._value.append(None)
            self._t_ms.append(0)
            self._band.append(0.0)
            self._window_end_ms.append(0)
            self._quiet_until_ms.append(_quiet_at_first_ms(policy))

    @property
    def signal_count(self) -> int:
        """How many signals it knows."""
        return len(self._policies)

    @property
    def waiting(self) -> int:
        """How many changes wait for the end of their interval."""
        return len(self._waiting)

    def offer(self, t_ms: int, indices: Sequence[int], values: Sequence[float]) -> Sequence[Sample]:
        """What is to be kept of one frame."""
        self.counts.seen += len(indices)
        if self._all_every and not self.least_interval_ms:
            return self._take_every(t_ms, indices, values)
        kept: list[Sample] = []
        lasts, since, quiet_until, waiting = self._value, self._t_ms, self._quiet_until_ms, self._waiting
        unchanged = 0
        for index, value in zip(indices, values, strict=True):
            if value == lasts[index] and since[index] <= t_ms < quiet_until[index] and index not in waiting:
                unchanged += 1  # as _offer finds it, too; most values are of this kind
            elif value - value != 0:  # NaN and the infinities
                self.counts.not_finite += 1
            else:
                self._offer(index, t_ms, value, kept)
        self.counts.unchanged += unchanged
        return kept

    def offer_changes(self, t_ms: int, changes: Sequence[tuple[int, float]]) -> tuple[Sequence[Sample], int]:
        """What is to be kept of the signals that changed, and the earliest time at which one of them is due.

        For a frame that comes before `calm_until_ms`; the samples that did not change go to `count_unchanged`.
        """
        kept: list[Sample] = []
        due_ms = NEVER_MS
        lasts, since, ends, waiting = self._value, self._t_ms, self._window_end_ms, self._waiting
        replaced = 0
        for index, value in changes:
            if index in waiting and since[index] <= t_ms < ends[index]:
                last = lasts[index]
                if last is not None and self._band[index] < abs(value - last) < _INFINITY:
                    replaced += 1  # as _wait does it; a busy signal has many changes within its interval
                    if waiting[index][2] != value:
                        waiting[index] = (index, t_ms, value)
                    continue
            if value - value != 0:
                self.counts.not_finite += 1
                due_ms = -NEVER_MS
            else:
                self._offer(index, t_ms, value, kept)
                due_ms = min(due_ms, self._due_ms(index))
        self.counts.seen += len(changes)
        self.counts.min_interval += replaced
        return kept, due_ms

    def calm_until_ms(self, indices: Sequence[int], values: Sequence[float]) -> int:
        """Until when a repetition of the frame just offered can change nothing."""
        if not all(value - value == 0 for value in values):  # each one that is not finite is to be counted
            return -NEVER_MS
        return min(map(self._due_ms, indices), default=NEVER_MS)

    def make_stale(self, t_ms: int, indices: Sequence[int], values: Sequence[float]) -> list[Sample]:
        """Samples that say that these signals' message stays away. What comes next of them is kept, whatever it is."""
        made: list[Sample] = []
        for index, value in zip(indices, values, strict=True):
            if value - value == 0 and not self._policies[index].is_aside and index not in self._waiting:
                made.append((index, t_ms, Flagged(value, STALE)))
                self._value[index] = None
        return self._made(made)

    def count_unchanged(self, count: int) -> None:
        """Note samples whose frame, or whose bits in it, are those of the frame before."""
        self.counts.seen += count
        self.counts.unchanged += count

    def due(self, now_ms: int) -> list[Sample]:
        """The changes whose interval has ended by now."""
        ended = [index for index in self._waiting if self._window_end_ms[index] <= now_ms]
        return [*(self._release(index) for index in ended), *self._made(self._aggregator.due(now_ms))]

    def flush(self) -> list[Sample]:
        """Every change that still waits and every window that is open, at the end of the run."""
        return [*(self._release(index) for index in list(self._waiting)), *self._made(self._aggregator.flush())]

    def _take_every(self, t_ms: int, indices: Sequence[int], values: Sequence[float]) -> list[Sample]:
        kept = [(index, t_ms, value) for index, value in zip(indices, values, strict=True) if value - value == 0]
        self.counts.kept += len(kept)
        self.counts.not_finite += len(values) - len(kept)
        return kept

    def _offer(self, index: int, t_ms: int, value: float, kept: list[Sample]) -> None:
        policy = self._policies[index]
        went_back = t_ms < self._t_ms[index]
        if index in self._waiting and (went_back or t_ms >= self._window_end_ms[index]):
            kept.append(self._release(index))
        last = self._value[index]
        if last is None and policy.is_aside:
            self._set_aside(index, t_ms, value, kept)
        elif last is None or went_back or (policy.every and not self.least_interval_ms):
            kept.append(self._keep(index, t_ms, value))
        elif abs(value - last) > self._band[index]:
            if t_ms >= self._window_end_ms[index]:
                kept.append(self._keep(index, t_ms, value))
            else:
                self._wait(index, t_ms, value)
        else:
            self._settle_back(index)
            if 0 < policy.max_interval_ms <= t_ms - self._t_ms[index]:
                kept.append(self._keep(index, t_ms, value))
            elif value == last:
                self.counts.unchanged += 1
            else:
                self.counts.deadband += 1

    def _set_aside(self, index: int, t_ms: int, value: float, kept: list[Sample]) -> None:
        policy = self._policies[index]
        if policy.off:
            self.counts.not_selected += 1
            return
        self.counts.aggregated += 1
        kept += self._made(self._aggregator.add(index, t_ms, value, policy.aggregate, window_ms=policy.window_ms))

    def _made(self, samples: list[Sample]) -> list[Sample]:
        self.counts.made += len(samples)
        return samples

    def _due_ms(self, index: int) -> int:
        return self._window_end_ms[index] if index in self._waiting else self._quiet_until_ms[index]

    def _keep(self, index: int, t_ms: int, value: float) -> Sample:
        policy = self._policies[index]
        self._value[index] = value
        self._band[index] = policy.band(value)
        self._t_ms[index] = t_ms
        self._quiet_until_ms[index] = _quiet_until_ms(policy, t_ms)
        self._window_end_ms[index] = t_ms + max(policy.min_interval_ms, self.least_interval_ms)
        self.counts.kept += 1
        return (index, t_ms, value)

    def _wait(self, index: int, t_ms: int, value: float) -> None:
        waiting = self._waiting.get(index)
        if waiting is None:
            self._waiting[index] = (index, t_ms, value)
            return
        self.counts.min_interval += 1
        if waiting[2] != value:
            self._waiting[index] = (index, t_ms, value)

    def _settle_back(self, index: int) -> None:
        """The value is back where it was before its interval ended: the change between is the interval's price."""
        if self._waiting.pop(index, None) is not None:
            self.counts.min_interval += 1

    def _release(self, index: int) -> Sample:
        """Keep what waited. The next interval follows the last one without a pause, so the rate never exceeds 1/min."""
        sample = self._waiting.pop(index)
        policy = self._policies[index]
        self._t_ms[index], self._value[index] = sample[1:]
        self._band[index] = policy.band(sample[2])
        self._quiet_until_ms[index] = _quiet_until_ms(policy, sample[1])
        self._window_end_ms[index] += max(policy.min_interval_ms, self.least_interval_ms)
        self.counts.kept += 1
        return sample


def _quiet_at_first_ms(policy: SamplingPolicy) -> int:
    """Of a signal that is off nothing is ever due; each value of one that is aggregated counts."""
    if policy.off:
        return NEVER_MS
    return -NEVER_MS if policy.aggregate else 0


def _quiet_until_ms(policy: SamplingPolicy, t_ms: int) -> int:
    """When a value that was kept at `t_ms` and did not change since is kept again."""
    if policy.every:
        return -NEVER_MS
    return t_ms + policy.max_interval_ms if policy.max_interval_ms else NEVER_MS
