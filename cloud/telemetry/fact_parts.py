"""Parts of facts: those of certain times, at other times, and as a batch again. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic_core import from_json

from cloud.telemetry.facts import FIX_COLUMNS, UNTRUSTED_CLOCK, Facts, Ints
from wire.model import Batch, Column, Event, Fixes, FrameBlock

Bools = npt.NDArray[np.bool_]
Counts = tuple[int, int, int, int]
"""Samples, fixes, events, frames."""

_FLAGS: Final = ~UNTRUSTED_CLOCK


def counts_of(facts: Facts) -> Counts:
    return len(facts.t_ms), len(facts.fix_t_ms), len(facts.events), len(facts.frames)


def rows_where(facts: Facts, holds: Callable[[Ints], Bools]) -> Facts:
    """Those whose times (Unix ms) `holds` is true of, in their order."""
    samples, fixes = holds(facts.t_ms), holds(facts.fix_t_ms)
    ends = np.cumsum((0, *facts.counts))
    left = np.diff(np.concatenate(([0], np.cumsum(samples)))[ends])
    kept = np.flatnonzero(left)
    return replace(
        facts,
        names=tuple(facts.names[index] for index in kept),
        counts=tuple(left[kept].tolist()),
        t_ms=facts.t_ms[samples],
        tie=facts.tie[samples],
        values=facts.values[samples],
        flags=facts.flags[samples],
        fix_t_ms=facts.fix_t_ms[fixes],
        fix_tie=facts.fix_tie[fixes],
        fixes=facts.fixes[:, fixes],
        events=_chosen(facts.events, holds),
        frames=_chosen(facts.frames, holds),
    )


def shifted(facts: Facts, by_ms: int) -> Facts:
    """All of it, so much later."""
    return replace(
        facts,
        t_ms=facts.t_ms + by_ms,
        fix_t_ms=facts.fix_t_ms + by_ms,
        events=tuple(replace(event, t_ms=event.t_ms + by_ms) for event in facts.events),
        frames=tuple(replace(frame, t_ms=frame.t_ms + by_ms) for frame in facts.frames),
    )


def batch_of(facts: Facts, *, vehicle: str, stream: str, seq: int, catalog: str | None) -> Batch:
    """What `cloud.telemetry.facts.facts_of` reads as these facts again."""
    t0 = facts.span_ms[0] if facts.span_ms else 0
    starts = np.cumsum((0, *facts.counts))[:-1]
    untrusted = bool(facts.fix_flag) or bool(np.any(facts.flags & UNTRUSTED_CLOCK))
    return Batch(
        vehicle=vehicle,
        stream=stream,
        seq=seq,
        t0=t0,
        clock="untrusted" if untrusted else "trusted",
        signals={
            name: _column(facts, slice(start, start + count), t0)
            for name, start, count in zip(facts.names, starts.tolist(), facts.counts, strict=True)
        },
        fixes=_fixes(facts, t0) if len(facts.fix_t_ms) else None,
        events=[Event(t=event.t_ms, kind=event.kind, data=from_json(event.data)) for event in facts.events],
        frames=_frames(facts, t0),
        catalog=catalog,
    )


def _chosen(rows: Sequence[Any], holds: Callable[[Ints], Bools]) -> tuple[Any, ...]:
    if not rows:
        return ()
    kept = holds(np.array([row.t_ms for row in rows], np.int64))
    return tuple(row for row, keep in zip(rows, kept.tolist(), strict=True) if keep)


def _column(facts: Facts, rows: slice, t0: int) -> Column:
    flags = (facts.flags[rows] & _FLAGS).tolist()
    return Column(
        dt=(facts.t_ms[rows] - t0).tolist(),
        v=facts.values[rows].tolist(),
        q={index: flag for index, flag in enumerate(flags) if flag} or None,
    )


def _fixes(facts: Facts, t0: int) -> Fixes:
    columns = {
        name: [None if value != value else value for value in values.tolist()]
        for name, values in zip(FIX_COLUMNS, facts.fixes, strict=True)
    }
    columns["sats"] = [None if value is None else int(value) for value in columns["sats"]]
    return Fixes(dt=(facts.fix_t_ms - t0).tolist(), **columns)


def _frames(facts: Facts, t0: int) -> list[FrameBlock]:
    """One block for each stretch of one bus in which time does not fall."""
    blocks: list[list[Any]] = []
    for frame in facts.frames:
        if not blocks or frame.bus != blocks[-1][-1].bus or frame.t_ms < blocks[-1][-1].t_ms:
            blocks.append([])
        blocks[-1].append(frame)
    return [
        FrameBlock(
            bus=block[0].bus,
            dt=[frame.t_ms - t0 for frame in block],
            id=[frame.arbitration_id for frame in block],
            data=[frame.data.hex() for frame in block],
        )
        for block in blocks
    ]
