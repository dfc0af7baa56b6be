"""Reading a request by the model alone, which says what is wrong with it."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from pydantic_core import to_json

from cloud.ingest import admission
from cloud.ingest.quick import MOST_BATCHES, MOST_STREAMS
from cloud.ingest.reading import Reading, Taken, telling
from cloud.ingest.storable import problem_of
from cloud.problem import Problem
from wire.codec import CodecError, parse_json
from wire.envelope import Rejected, parse_request

_SHOWN: Final = 100


def read_json(plain: bytes) -> Any:
    """Strict JSON, in which no object has a name twice. Raises Problem 400."""
    try:
        value = parse_json(plain)
    except CodecError as error:
        raise Problem(400, error.problem) from error
    if (name := _repeated_name(plain)) is not None:
        raise Problem(400, f"the name {name[:_SHOWN]!r} stands twice in one object, and only one of them can be meant")
    return value


def judge(batches: Sequence[Any], vehicle: str) -> tuple[tuple[Taken, ...], tuple[Rejected, ...]]:
    """Each batch by itself. Raises Problem 403 for a batch of another vehicle."""
    try:
        judged = admission.admit(batches, vehicle)
    except admission.ForeignVehicle as error:
        raise Problem(403, str(error)) from error
    taken, rejected = [], list(judged.rejected)
    for batch, index in zip(judged.admitted, judged.indices, strict=True):
        body = to_json(batches[index])
        if problem := problem_of(batch, body):
            rejected.append(Rejected(index=index, problem=problem, stream=batch.stream, seq=batch.seq))
        else:
            taken.append(Taken(batch.stream, batch.seq, batch.catalog, batch.sample_count, body))
    return tuple(taken), tuple(sorted(rejected, key=lambda one: one.index))


def read_thoroughly(plain: bytes, vehicle: str) -> Reading:
    """By the model alone. Raises Problem 400, 403, 413 or 422."""
    value = read_json(plain)
    for name, most in (("batches", MOST_BATCHES), ("streams", MOST_STREAMS)):
        if isinstance(value, dict) and isinstance(several := value.get(name), list) and len(several) > most:
            raise Problem(413, f"{len(several):,} {name}; at most {most:,} at once: send half")
    try:
        request = parse_request(value)
    except CodecError as error:
        raise Problem(422, error.problem) from error
    taken, rejected = judge(request.batches, vehicle)
    return Reading(taken, tuple(telling(request.streams, taken)), rejected)


class _Repeated(Exception):
    def __init__(self, name: str) -> None:
        self.name = name


def _repeated_name(plain: bytes) -> str | None:
    """A name that one object of JSON has twice. Raises Problem 400."""
    try:
        json.loads(plain, object_pairs_hook=_refuse_repeats)
    except _Repeated as repeated:
        return repeated.name
    except ValueError as error:
        raise Problem(400, f"not JSON: {error}") from error
    return None


def _refuse_repeats(pairs: list[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise _Repeated(Counter(names).most_common(1)[0][0])
