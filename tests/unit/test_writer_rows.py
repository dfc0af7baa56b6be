"""Arrays that the writer makes of batches: COPY bytes, newest values, spans."""

import struct
from itertools import pairwise, permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cloud.telemetry.copy_format import HEADER, TRAILER, Column, fixed_rows, loose_rows
from cloud.telemetry.facts import facts_of
from cloud.telemetry.latest import Newest, Position, newer
from cloud.telemetry.rows import Fresh, LatestRow, Vehicle, latest_columns, sorted_samples
from cloud.telemetry.spans import joined
from wire.model import Batch, Event, Fixes
from wire.model import Column as SignalColumn

Row = tuple[int | None, float | None]


def parsed(copy: bytes) -> list[Row]:
    """Rows of an int4 and a float8, read back."""
    assert copy.startswith(HEADER)
    assert copy.endswith(TRAILER)
    rows, at = [], len(HEADER)
    while at < len(copy) - len(TRAILER):
        (count,) = struct.unpack_from(">h", copy, at)
        at += 2
        values: list[float | None] = []
        for form in [">i", ">d"][:count]:
            (length,) = struct.unpack_from(">i", copy, at)
            at += 4
            values.append(None if length < 0 else struct.unpack_from(form, copy, at)[0])
            at += max(length, 0)
        rows.append((values[0], values[1]))
    return rows


@given(st.lists(st.tuples(st.none() | st.integers(-(2**31), 2**31 - 1), st.none() | st.floats(allow_nan=False))))
def test_copy_bytes_say_every_row(rows: list[Row]) -> None:
    columns = [
        Column(
            np.array([0 if row[i] is None else row[i] for row in rows], dtype),
            np.array([row[i] is None for row in rows], bool),
        )
        for i, dtype in ((0, np.int32), (1, np.float64))
    ]
    found = parsed(b"".join(fixed_rows(columns)))
    assert sorted(found, key=repr) == sorted(rows, key=repr)


@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=50))
def test_rows_without_nulls_keep_their_order(values: list[int]) -> None:
    columns = [Column(np.array(values, np.int32)), Column(np.array(values, np.float64))]
    assert [row[0] for row in parsed(b"".join(fixed_rows(columns)))] == values


def test_packed_values_stand_behind_their_length() -> None:
    assert b"".join(loose_rows([(b"ab", b"")])) == HEADER + b"\0\2\0\0\0\2ab\0\0\0\0" + TRAILER


samples = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(0, 5), st.floats(-9, 9)), min_size=1, max_size=40
)


def newest_of(rows: list[tuple[int, int, int, float]]) -> Newest:
    vehicles, signals, t_ms, values = (np.array(column) for column in zip(*rows, strict=True))
    order = np.lexsort((t_ms, signals, vehicles))
    return Newest.of_sorted(vehicles[order], signals[order], t_ms[order], values[order])


@given(samples, st.randoms())
def test_newest_is_the_last_and_of_those_the_highest_however_it_is_split(rows: list, random) -> None:  # type: ignore[no-untyped-def]
    expected: dict[tuple[int, int], tuple[int, float]] = {}
    for vehicle, signal, t_ms, value in rows:
        expected[vehicle, signal] = max(expected.get((vehicle, signal), (-1, 0.0)), (t_ms, value))
    shuffled = random.sample(rows, len(rows))
    cut = random.randrange(1, len(rows) + 1)
    merged = newest_of(shuffled[:cut])
    if shuffled[cut:]:
        merged = merged.merged(newest_of(shuffled[cut:]))
    found = {}
    for vehicle in (1, 2, 3):
        for signal, t_ms, value in zip(*merged.of_vehicle(vehicle), strict=True):
            found[vehicle, signal] = (t_ms, value)
    assert found == expected


def test_newest_position_does_not_depend_on_order() -> None:
    positions = [
        Position(1, 9, 9, None, None, None),
        Position(2, 1, 1, None, None, None),
        Position(2, 1, 1, None, 5.0, None),
    ]
    for order in permutations(positions):
        found = None
        for position in order:
            found = newer(found, position)
        assert found == positions[2]


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 20))), st.integers(0, 10))
def test_joined_spans_cover_the_same_and_lie_apart(raw: list[tuple[int, int]], slack_ms: int) -> None:
    spans = [(low, low + length) for low, length in raw]
    found = joined(spans, slack_ms=slack_ms)
    assert all(any(low <= a and b <= high for low, high in found) for a, b in spans)
    assert all(b + slack_ms < c for (_, b), (c, _) in pairwise(found))


def test_facts_lie_signal_by_signal_with_absolute_times() -> None:
    batch = Batch(
        vehicle="a",
        stream="01890a5d-ac96-774b-bcce-b302099a8057",
        seq=0,
        t0=1000,
        signals={"x": SignalColumn(dt=[0, 5], v=[1.0, 2.0], q={1: 4}), "y": SignalColumn(dt=[-3], v=[3.0])},
        events=[Event(t=7000, kind="k")],
    )
    facts = facts_of(batch)
    assert (facts.names, facts.counts) == (("x", "y"), (2, 1))
    assert facts.t_ms.tolist() == [1000, 1005, 997]
    assert facts.values.tolist() == [1.0, 2.0, 3.0]
    assert facts.flags.tolist() == [0, 4, 0]
    assert facts.span_ms == (997, 7000)


def test_facts_of_one_millisecond_are_numbered_in_their_order() -> None:
    signals = {
        "x": SignalColumn(dt=[0, 0, 0, 5], v=[3.0, 1.0, 2.0, 4.0]),
        "none": SignalColumn(dt=[], v=[]),
        "y": SignalColumn(dt=[5] * 1001, v=[0.0] * 1001),
    }
    fixes = Fixes(dt=[0, 0], lat=[1.0, 2.0], lon=[3.0, 4.0])
    batch = Batch(vehicle="a", stream="01890a5d-ac96-774b-bcce-b302099a8057", seq=0, t0=0, signals=signals, fixes=fixes)
    facts = facts_of(batch)
    assert facts.tie.tolist() == [0, 1, 2, 0, *range(1000), 999]
    assert facts.fix_tie.tolist() == [0, 1]


def test_empty_batch_has_no_span() -> None:
    facts = facts_of(Batch(vehicle="a", stream="01890a5d-ac96-774b-bcce-b302099a8057", seq=0, t0=0))
    assert facts.span_ms is None


columns = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from("xyz"), st.integers(0, 30), st.lists(st.integers(0, 3), max_size=4)),
    min_size=1,
    max_size=12,
)


@given(columns)
def test_samples_are_sorted_however_batches_overlap(made: list[tuple[int, str, int, list[int]]]) -> None:
    fresh, expected = [], []
    for number, (vehicle, name, t0, steps) in enumerate(made):
        dt = np.cumsum(steps).tolist()
        values = [number + index / 100 for index in range(len(dt))]
        batch = Batch(
            vehicle="a",
            stream="01890a5d-ac96-774b-bcce-b302099a8057",
            seq=number,
            t0=t0,
            signals={name: SignalColumn(dt=dt, v=values)},
        )
        facts = facts_of(batch)
        fresh.append(Fresh(Vehicle(vehicle, 1), facts))
        expected += zip([vehicle] * len(dt), ["zyx".index(name)] * len(dt), facts.t_ms, facts.tie, values, strict=True)
    found = sorted_samples(fresh, {(1, name): index for index, name in enumerate("zyx")})
    rows = list(zip(found.vehicles, found.signals, found.t_ms, found.ties, found.values, strict=True))
    assert [row[:4] for row in rows] == sorted(row[:4] for row in expected)
    assert sorted(rows) == sorted(expected)


def test_latest_values_of_all_vehicles_lie_behind_one_another() -> None:
    stream = "01890a5d-ac96-774b-bcce-b302099a8057"
    signals = {"x": SignalColumn(dt=[0, 5], v=[1.0, 2.0]), "y": SignalColumn(dt=[0], v=[3.0])}
    with_both = facts_of(Batch(vehicle="a", stream=stream, seq=0, t0=100, signals=signals))
    fixes = Fixes(dt=[0], lat=[1.0], lon=[2.0])
    with_fix = facts_of(Batch(vehicle="b", stream=stream, seq=0, t0=200, fixes=fixes))
    fresh = [Fresh(Vehicle(7, 1), with_both), Fresh(Vehicle(5, 1), with_fix)]
    known = [LatestRow(5, None, [], [], [], None), LatestRow(7, 300, [1, 2], [90, 300], [9.0, 9.5], None)]
    newest = sorted_samples(fresh, {(1, "x"): 1, (1, "y"): 2}).newest()
    ids, t_ms, values, *by_vehicle = latest_columns(known, fresh, newest)
    assert (ids, t_ms, values) == ([1, 2], [105, 300], [2.0, 9.5])
    assert list(zip(*by_vehicle, strict=True)) == [
        (5, 1, 0, 200, 200, 1.0, 2.0, None, None, None),
        (7, 1, 2, 300, None, None, None, None, None, None),
    ]
