"""What an import sends: always the same batches under the same numbers, each value once, never a queue of its own."""

import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.dbc import load_database
from edge.recordings.import_plan import (
    DatabaseFile,
    ImportRefused,
    Wish,
    check,
    numbered_batches,
    same_recording,
    stream_of,
    survey,
)
from edge.recordings.import_window import BATCHES_AT_ONCE, LEAST_SAMPLES, MOST_SAMPLES, RESEND_S, TARGET_S, ImportWindow
from wire.codec import encode_batch
from wire.envelope import BatchRef, Rejected, Reply, Settled
from wire.ranges import RangeSet

DATA = Path(__file__).parents[3] / "shared" / "data"
STREAM = "01890a5d-ac96-874b-bcce-b302099a8057"
DBC = """VERSION ""
NS_ :
BS_:
BU_:
BO_ 256 Engine: 8 X
 SG_ Speed : 0|16@1+ (0.25,0) [0|16383] "rpm" X
 SG_ Load : 16|8@1+ (1,0) [0|255] "%" X
"""


def write_log(path: Path, *, begin_s: float = 1_700_000_000.0, frames: int = 12_000, channels: int = 1) -> Path:
    lines = (
        f"({begin_s + n / 100:.6f}) can{n % channels} 100#{n % 65536:04X}{n % 200:02X}0000000000\n"
        for n in range(frames)
    )
    path.write_text("".join(lines))
    return path


def wish_for(tmp_path: Path, **more: object) -> Wish:
    dbc = tmp_path / "a.dbc"
    dbc.write_text(DBC)
    return Wish(vehicle="truck-1", databases=(DatabaseFile(None, dbc, load_database(dbc)),), **more)  # type: ignore[arg-type]


def bodies(path: Path, wish: Wish) -> list[bytes]:
    found = survey(path, wish)
    stream = stream_of(found, wish)
    return [
        encode_batch(one.draft.to_batch(vehicle="truck-1", stream=stream, seq=seq))
        for seq, one in enumerate(numbered_batches(found, wish))
    ]


def test_same_import_gives_the_same_batches(tmp_path: Path) -> None:
    path, wish = write_log(tmp_path / "a.log"), wish_for(tmp_path)
    first = bodies(path, wish)
    assert len(first) > 4
    assert bodies(path, wish_for(tmp_path)) == first
    found = survey(path, wish)
    numbered = list(numbered_batches(found, wish))
    assert sum(one.draft.sample_count for one in numbered) == 24_000
    assert all(one.read <= other.read for one, other in pairwise(numbered))
    assert numbered[-1].read == found.units == 12_000


def test_stream_tells_what_is_imported(tmp_path: Path) -> None:
    path, wish = write_log(tmp_path / "a.log", frames=10), wish_for(tmp_path)
    stream = stream_of(survey(path, wish), wish)
    assert (stream[14], stream[19] in "89ab") == ("8", True)
    (tmp_path / "copy.log").write_bytes(path.read_bytes())
    assert stream_of(survey(tmp_path / "copy.log", wish), wish) == stream
    shifted = Wish(wish.vehicle, wish.databases, begin_ms=5)
    other = stream_of(survey(path, shifted), shifted)
    assert (same_recording(other), other == stream) == (same_recording(stream), False)
    for different in (Wish("truck-2", wish.databases), Wish("truck-1", wish.databases)):
        changed = write_log(tmp_path / "b.log", frames=10 if different.vehicle == "truck-2" else 11)
        assert same_recording(stream_of(survey(changed, different), different)) != same_recording(stream)


def test_channels_that_share_identifiers_are_told_apart(tmp_path: Path) -> None:
    path, wish = write_log(tmp_path / "a.log", frames=40, channels=2), wish_for(tmp_path)
    (one,) = numbered_batches(survey(path, wish), wish)
    assert sorted(one.draft.columns) == [
        "can0:Engine.Load",
        "can0:Engine.Speed",
        "can1:Engine.Load",
        "can1:Engine.Speed",
    ]
    alone = Wish("truck-1", (DatabaseFile("can1", wish.databases[0].path, wish.databases[0].database),))
    (one,) = numbered_batches(survey(path, alone), alone)
    assert sorted(one.draft.columns) == ["Engine.Load", "Engine.Speed"]
    assert one.draft.sample_count == 40


def test_recording_without_a_date_needs_its_beginning(tmp_path: Path) -> None:
    path, wish = write_log(tmp_path / "a.log", begin_s=0.0, frames=10), wish_for(tmp_path)
    with pytest.raises(ImportRefused, match="--begin"):
        check(survey(path, wish), wish)
    wish = wish_for(tmp_path, begin_ms=1_700_000_000_000)
    found = survey(path, wish)
    check(found, wish)
    (one,) = numbered_batches(found, wish)
    assert list(one.draft.columns["Engine.Speed"].t_ms)[:3] == [1_700_000_000_000, 1_700_000_000_010, 1_700_000_000_020]


def test_recording_without_a_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="--dbc"):
        survey(write_log(tmp_path / "a.log", frames=10), Wish("truck-1"))


@pytest.mark.parametrize("name", ["haicom-305N", "telit-he910", "ublox-8", "rx210"])
def test_gps_log_gives_its_fixes_at_the_receivers_time(name: str) -> None:
    wish = Wish("truck-1")
    found = survey(DATA / "nmea" / f"{name}.log", wish)
    fixes = [fix for one in numbered_batches(found, wish) for fix in one.draft.fixes]
    assert len(fixes) > 30
    assert all(fix.t_ms == fix.utc_ms for fix in fixes)
    assert (min(fix.t_ms or 0 for fix in fixes), max(fix.t_ms or 0 for fix in fixes)) == (found.first_ms, found.last_ms)


class Cloud:
    """Settles what it was sent, so many samples a second and in order, and may lose its queue."""

    def __init__(self, rng: random.Random, rate: float, *, stored: RangeSet = RangeSet()) -> None:  # noqa: B008
        self._rng, self._rate = rng, rate
        self._queue: list[tuple[float, int]] = []
        self._free_s = 0.0
        self.bus = "a"
        self.stored = stored
        self.received = 0

    def take(self, batches: list[tuple[int, int]], now_s: float, *, lose: bool) -> Reply:
        self.received += len(batches)
        if lose:
            self._queue, self._free_s, self.bus = [], now_s, self.bus + "a"
        for seq, samples in batches:
            if seq not in self.stored and all(seq != other for _, other in self._queue):
                self._free_s = max(self._free_s, now_s) + samples / self._rate
                self._queue.append((self._free_s, seq))
        done = [seq for at_s, seq in self._queue if at_s <= now_s]
        self._queue = [one for one in self._queue if one[0] > now_s]
        self.stored = self.stored | RangeSet.of(done)
        return Reply(
            accepted=tuple(BatchRef(stream=STREAM, seq=seq) for seq, _ in batches),
            settled=(Settled.describe(STREAM, self.stored),),
            bus=self.bus,
            epoch="e",
        )


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    rate=st.sampled_from([20_000.0, 1e6]),
    count=st.integers(1, 40),
    stored=st.sets(st.integers(0, 39), max_size=20),
    losses=st.sampled_from([0.0, 0.02]),
)
def test_all_is_settled_once_whatever_is_lost_and_never_more_under_way_than_allowed(
    seed: int, rate: float, count: int, stored: set[int], losses: float
) -> None:
    rng = random.Random(seed)
    before = RangeSet.of(seq for seq in stored if seq < count)
    cloud, window = Cloud(rng, rate, stored=before), ImportWindow(STREAM)
    window.replied([], cloud.take([], 0.0, lose=False), 0.0)
    now_s, offered, sizes = 0.0, 0, [rng.randint(1, 5_000) for _ in range(count)]
    for _ in range(5_000):
        while offered < count and window.has_room:
            assert window.offer(b"x", sizes[offered]) == (offered not in before)
            offered += 1
        if offered == count and window.is_empty:
            break
        due = window.due(now_s)
        assert len(due) <= BATCHES_AT_ONCE
        assert window.under_way <= MOST_SAMPLES + 5_001
        now_s += rng.uniform(0.01, 0.1)
        sent = [(seq, sizes[seq]) for seq, _ in due]
        reply = cloud.take(sent, now_s, lose=rng.random() < losses)
        if rng.random() >= losses:  # else the answer is lost
            window.replied([seq for seq, _ in sent], reply, now_s)
    assert window.is_empty
    assert cloud.stored == RangeSet([(0, count - 1)])
    assert window.claim().next == count


def test_slow_cloud_is_given_less_and_a_quick_one_more() -> None:
    limits = {}
    for rate in (5_000.0, 1e7):
        cloud, window, now_s = Cloud(random.Random(1), rate), ImportWindow(STREAM), 0.0
        for _ in range(600):
            while window.has_room:
                window.offer(b"x", 1_000)
            due = window.due(now_s)
            now_s += 0.02
            window.replied(
                [seq for seq, _ in due], cloud.take([(seq, 1_000) for seq, _ in due], now_s, lose=False), now_s
            )
        limits[rate] = window.limit
    assert limits[1e7] == MOST_SAMPLES
    assert limits[5_000.0] <= 2 * max(LEAST_SAMPLES, 5_000 * TARGET_S)


def test_what_is_not_settled_is_sent_again_after_a_while_or_at_once_when_the_queue_was_wiped() -> None:
    window = ImportWindow(STREAM)
    for _ in range(3):
        window.offer(b"x", 1)
    reply = Reply(bus="a", epoch="e")
    assert [seq for seq, _ in window.due(0.0)] == [0, 1, 2]
    window.replied([0, 1, 2], reply, 0.0)
    assert window.due(RESEND_S - 0.1) == []
    assert len(window.due(RESEND_S)) == 3
    window.replied([], Reply(bus="b", epoch="e"), 1.0)
    assert len(window.due(1.0)) == 3


def test_refused_batch_is_declared_lost() -> None:
    window = ImportWindow(STREAM)
    window.offer(b"x", 1)
    window.offer(b"y", 1)
    window.replied([0, 1], Reply(rejected=(Rejected(index=1, problem="no"),), bus="a", epoch="e"), 0.0)
    assert window.rejected == {1: "no"}
    assert window.claim().lost == ((1, 1, "rejected"),)
    assert not window.fell_back(Reply(epoch="e"))
    assert window.fell_back(Reply(epoch="f"))
    assert not window.fell_back(Reply(epoch=None))
