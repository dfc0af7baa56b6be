"""Requests as our agents send them, read in one pass: the judgement of the long way, at a tenth of its cost.

What is not plainly good is None here and read the long way, which says what is wrong with it. So nothing in this
module refuses; it must only never take what `wire.codec.decode_batch` and `cloud.ingest.storable` would not.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Annotated, Any, Final, Literal, cast

import msgspec

from cloud.ingest.reading import Reading, Taken, telling
from cloud.telemetry.facts import MAX_TIME_MS, MIN_TIME_MS
from wire.codec import MAX_SCALE
from wire.envelope import StreamClaim
from wire.model import LATITUDE_LIMIT, LONGITUDE_LIMIT
from wire.names import MAX_SAFE_INTEGER, STREAM_PATTERN

MOST_BYTES: Final = 1_200_000
"""Of a request: what agents send at most, read in some ten ms. Its batches can then not have too many values."""
MOST_BATCHES: Final = 1_000
MOST_STREAMS: Final = 1_000
LONGEST_MS: Final = 86_400_000
"""From `t0` to the last sample of a batch. It can then not lie on too many days."""

_LIMITS: Final = {"lat": LATITUDE_LIMIT, "lon": LONGITUDE_LIMIT}
_NULLABLE: Final = frozenset(("alt", "speed", "course", "hdop"))
_MOST_SATS: Final = 255
_INTEGERS: Final = {int}
_ENVELOPE_NAMES: Final = 2
_CLAIM_NAMES: Final = 3
_BATCH_NAMES: Final = 7

_Safe = Annotated[int, msgspec.Meta(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER)]
_Natural = Annotated[int, msgspec.Meta(ge=0, le=MAX_SAFE_INTEGER)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
_Column = list[_Safe | float | None]


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    v: Literal[1]
    dense: Literal[1]
    vehicle: str
    stream: str
    seq: _Natural
    t0: _Safe
    clock: Literal["trusted", "relabelled", "untrusted"]
    catalog: str | None = None
    times: list[list[_Natural]] | None = None
    signals: dict[_Name, _Column] | None = None
    fixes: dict[str, _Natural | _Column] | None = None


class _Claim(msgspec.Struct, forbid_unknown_fields=True):
    stream: str
    next: _Natural
    lost: Annotated[list[None], msgspec.Meta(max_length=0)]


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    batches: list[msgspec.Raw]
    streams: list[_Claim]


_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_decode_batch: Final = msgspec.json.Decoder(_Batch).decode
_is_stream: Final = re.compile(STREAM_PATTERN[:-1]).fullmatch
_is_hash: Final = re.compile("[0-9a-f]{64}").fullmatch


def read_quickly(plain: bytes, vehicle: str, frame: bytes | None = None) -> Reading | None:
    """A request's JSON: dense batches of `vehicle`, without events, frames, flags, losses or escapes. None else.

    `frame` is the whole as it came, packed: one batch is handed on like that.
    """
    if len(plain) > MOST_BYTES or b"\\" in plain:
        return None
    taken = []
    try:
        envelope = _decode_envelope(plain)
        if len(envelope.batches) > MOST_BATCHES or len(envelope.streams) > MOST_STREAMS:
            return None
        names = _ENVELOPE_NAMES + _CLAIM_NAMES * len(envelope.streams)
        for raw in envelope.batches:
            body = bytes(raw)
            batch = _decode_batch(body)
            samples = _samples(batch)
            if samples is None or batch.vehicle != vehicle:
                return None
            names += _names(batch)
            alone_in = frame if len(envelope.batches) == 1 else None
            taken.append(Taken(batch.stream, batch.seq, batch.catalog, samples, body, alone_in))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    # As many colons as names that were kept: none was there twice in one object, where only the last would count.
    if plain.count(b":") != names or None in [_is_stream(claim.stream) for claim in envelope.streams]:
        return None
    claims = [StreamClaim(stream=one.stream, next=one.next) for one in telling(envelope.streams, taken)]
    return Reading(tuple(taken), tuple(claims))


def _samples(batch: _Batch) -> int | None:
    """How many samples it carries; None when it is not plainly good."""
    times = batch.times or ()
    span_ms = max(map(sum, times), default=0)
    if (
        not MIN_TIME_MS <= batch.t0 <= batch.t0 + span_ms <= MAX_TIME_MS
        or span_ms > LONGEST_MS
        or not _is_stream(batch.stream)
        or (batch.catalog is not None and not _is_hash(batch.catalog))
    ):
        return None
    lengths = [len(dt) for dt in times]
    samples = 0
    whole: list[list[Any]] = []  # columns of integers
    columns: Iterable[list[Any]] = (batch.signals or {}).values()
    for column in columns:
        # In line, for there are twenty of them in a batch. What cannot be compared or used as an index is not good.
        try:
            index, scale, step = column[0], column[1], column[2]
            length = lengths[index]
            if scale is None:
                if len(column) != length + 2 or column.count(None) != 1 or index < 0:
                    return None
            elif len(column) != length + 3 or not 0 <= scale <= MAX_SCALE or step < 1 or index < 0:
                return None
            else:
                whole.append(column)
        except (TypeError, IndexError):
            return None
        samples += length
    try:
        if type(sum(map(sum, whole))) is not int:  # one value that is none makes the sum another's type
            return None
    except TypeError:
        return None
    return samples if batch.fixes is None or _are_fixes(batch.fixes, lengths) else None


def _length(column: _Column) -> int | None:
    """How many values `[scale, step, k0, …]` or `[null, v0, …]` has; None when it is not plainly good."""
    length = len(column) - 2
    if length < 0:
        return None
    scale, step = column[0], column[1]
    if scale is None:
        return length + 1 if column.count(None) == 1 else None
    if step is None or step < 1 or not 0 <= scale <= MAX_SCALE or set(map(type, column)) != _INTEGERS:
        return None
    return length


def _are_fixes(fixes: dict[str, int | _Column], lengths: Sequence[int]) -> bool:
    index = fixes.get("dt")
    if not isinstance(index, int) or index >= len(lengths) or not _LIMITS.keys() <= fixes.keys():
        return False
    return all(
        name == "dt" or (isinstance(column, list) and _is_fix_column(name, column, lengths[index]))
        for name, column in fixes.items()
    )


def _is_fix_column(name: str, column: _Column, length: int) -> bool:
    if name in _NULLABLE:
        return _length(column) == length or (column[:1] == [None] and len(column) == length + 1)
    if _length(column) != length:
        return False
    values = _values(column)
    if name == "sats":
        return all(type(value) is int and 0 <= value <= _MOST_SATS for value in values)
    return name in _LIMITS and all(-_LIMITS[name] <= value <= _LIMITS[name] for value in values)


def _values(column: _Column) -> list[float]:
    """What a plainly good column says; whole numbers where its scale is 0."""
    if column[0] is None:
        return [value for value in column if value is not None]
    scale, step, *differences = cast(list[int], column)
    sums = accumulate(differences)
    return [one * step / 10**scale for one in sums] if scale else [one * step for one in sums]


def _names(batch: _Batch) -> int:
    """How many names its objects have, and colons that stand in its texts."""
    names = _BATCH_NAMES + batch.vehicle.count(":")
    names += sum(part is not None for part in (batch.catalog, batch.times, batch.signals, batch.fixes))
    if batch.signals:
        names += len(batch.signals) + "".join(batch.signals).count(":")
    return names + len(batch.fixes or ())
