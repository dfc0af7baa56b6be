"""The spool: what is stored survives, the bound holds, and what leaves is accounted for."""

import _sqlite3
import ctypes
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pytest

from edge.batcher import Draft, DraftColumn
from edge.delivery import Outcome
from edge.disk.spool_contents import MOST_QUARANTINED
from edge.disk.spool_file import CACHE_BYTES, WAL_BYTES
from edge.disk.spool_room import LEAST_BYTES
from edge.errors import SpoolError
from edge.spool import Spool
from wire.codec import decode_batch
from wire.model import Event
from wire.ranges import EMPTY, RangeSet

NOW_MS = 1_700_000_000_000
MB = 10**6


def draft(samples: int = 3, *, start: int = 0) -> Draft:
    """A draft whose values do not compress well."""
    values = [float(value) for value in random.Random(start).sample(range(2**31), samples)]
    return Draft(columns={"M.A": DraftColumn(list(range(NOW_MS, NOW_MS + samples)), values)})


class OpenSpool(Protocol):
    def __call__(self, *, now_ms: int = ..., max_bytes: int = ..., vehicle: str = ...) -> Spool: ...


@pytest.fixture
def open_spool(tmp_path: Path) -> Iterator[OpenSpool]:
    opened: list[Spool] = []

    def open_spool(*, now_ms: int = NOW_MS, max_bytes: int = 16 * MB, vehicle: str = "v1") -> Spool:
        opened.append(Spool.open(tmp_path / "spool.db", vehicle=vehicle, max_bytes=max_bytes, now_ms=now_ms))
        return opened[-1]

    yield open_spool
    for spool in opened:
        spool.close()


def outcome(**parts) -> Outcome:
    return Outcome(**{"done": {}, "reopened": {}, "lost": (), "rejected": (), "overtaken": (), "forgotten": ()} | parts)


def seqs(*numbers: int) -> RangeSet:
    return RangeSet.of(numbers)


def test_stored_batch_survives_and_the_next_opening_has_its_own_stream(open_spool: OpenSpool) -> None:
    spool = open_spool()
    stored = spool.put([draft(), draft()])
    assert list(stored.seqs) == [0, 1]
    assert list(spool.put([draft()]).seqs) == [2]
    spool.close()

    again = open_spool(now_ms=NOW_MS + 1_000)
    assert again.stream > stored.stream
    old, fresh = again.on_disk()
    assert (old.stream, old.next, old.held) == (stored.stream, 3, RangeSet([(0, 2)]))
    assert (fresh.stream, fresh.next, fresh.held) == (again.stream, 0, EMPTY)
    (key, payload), *_ = again.load([(stored.stream, 1)], max_bytes=MB).batches
    batch = decode_batch(payload)
    assert key == (batch.stream, batch.seq) == (stored.stream, 1)
    assert (batch.vehicle, batch.sample_count) == ("v1", 3)
    again.close()


def test_process_that_dies_in_a_transaction_leaves_what_was_stored(open_spool: OpenSpool) -> None:
    spool = open_spool()
    spool.put([draft()])
    broken = Draft(columns={"": DraftColumn([0], [1.0])})
    with pytest.raises(ValueError, match="at least 1 character"):
        spool.put([draft(), broken])
    spool.close()
    old, _ = open_spool().on_disk()
    assert (old.next, old.held) == (1, seqs(0))


def begun_with_a_wrong_clock(open_spool: OpenSpool) -> tuple[str, str]:
    """Two streams that were stored to, the newer one begun while the clock stood at 1970."""
    streams = []
    for now_ms in (NOW_MS, 5_000):
        spool = open_spool(now_ms=now_ms)
        streams.append(spool.put([draft(5_000, start=now_ms + number) for number in range(20)]).stream)
        spool.close()
    old, new = streams
    assert old > new
    return old, new


def test_streams_come_as_they_were_begun_whatever_the_clock_said(open_spool: OpenSpool) -> None:
    old, new = begun_with_a_wrong_clock(open_spool)
    spool = open_spool(now_ms=6_000)
    assert [stream.stream for stream in spool.on_disk()] == [old, new, spool.stream]


def test_oldest_stream_is_evicted_first_whatever_the_clock_said(open_spool: OpenSpool) -> None:
    old, _ = begun_with_a_wrong_clock(open_spool)
    spool = open_spool(now_ms=6_000, max_bytes=4 * MB)
    assert list(spool.put([draft(5_000)]).evicted) == [old]


def test_streams_in_which_nothing_was_stored_leave_no_trace(open_spool: OpenSpool) -> None:
    for number in range(3):
        open_spool(now_ms=NOW_MS + number).close()
    assert len(open_spool().on_disk()) == 1


def test_second_owner_is_refused(open_spool: OpenSpool) -> None:
    spool = open_spool()
    with pytest.raises(SpoolError, match="in use by another agent"):
        open_spool()
    spool.close()
    open_spool().close()


def test_spool_of_another_vehicle_is_refused(open_spool: OpenSpool) -> None:
    open_spool().close()
    with pytest.raises(SpoolError, match="holds data of vehicle 'v1'"):
        open_spool(vehicle="v2")


def test_newer_format_is_refused(open_spool: OpenSpool, tmp_path: Path) -> None:
    open_spool().close()
    with sqlite3.connect(tmp_path / "spool.db") as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'format'")
    connection.close()
    with pytest.raises(SpoolError, match="update this agent"):
        open_spool()


@pytest.mark.parametrize(
    ("place", "bit"),
    [(19, 2), (44 + 3, 5), (60 + 3, 0), (60 + 3, 2), (60, 6)],
    ids=["format to read", "format of the schema", "version 2", "version 7", "version of the far future"],
)
def test_bit_turned_over_in_the_head_of_the_file_stops_nobody(
    open_spool: OpenSpool, tmp_path: Path, place: int, bit: int
) -> None:
    spool = open_spool()
    spool.put([draft(), draft()])
    spool.close()
    path = tmp_path / "spool.db"
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)

    fresh = open_spool()
    assert fresh.set_aside is not None
    assert fresh.repair is not None
    assert fresh.repair.saved == 2


def test_place_that_cannot_be_written_is_named(open_spool: OpenSpool, tmp_path: Path) -> None:
    (tmp_path / "spool.db").mkdir()
    with pytest.raises(SpoolError, match="cannot be used as a spool"):
        open_spool()


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match="file: cannot be made: File exists"):
        Spool.open(tmp_path / "file" / "spool.db", vehicle="v1", max_bytes=8 * MB, now_ms=NOW_MS)


@pytest.mark.parametrize("damage", [b"this was never a database" * 400, None])
def test_damaged_file_is_set_aside_and_a_fresh_one_begun(
    open_spool: OpenSpool, tmp_path: Path, damage: bytes | None
) -> None:
    spool = open_spool()
    for start in range(0, 40_000, 1_000):
        spool.put([draft(1_000, start=start)])
    spool.close()
    path = tmp_path / "spool.db"
    if damage is None:
        content = bytearray(path.read_bytes())
        content[4096:45_056] = bytes(40_960)
        damage = bytes(content)
    path.write_bytes(damage)

    fresh = open_spool()
    assert fresh.set_aside is not None
    assert fresh.set_aside.read_bytes() == damage
    *saved, _ = fresh.on_disk()
    assert fresh.repair is not None
    assert fresh.repair.saved == sum(len(stream.held) for stream in saved)
    assert [len(stream.held) for stream in saved] == ([39] if len(damage) > 100_000 else [])
    fresh.put([draft()])
    fresh.close()
    assert open_spool().set_aside is None


def test_rotten_payload_is_reported_and_declared(open_spool: OpenSpool, tmp_path: Path) -> None:
    spool = open_spool()
    stream = spool.put([draft(), draft(), draft()]).stream
    spool.close()
    with sqlite3.connect(tmp_path / "spool.db") as connection:
        connection.execute("UPDATE batches SET payload = zeroblob(50) WHERE seq = 1")
    connection.close()
    spool = open_spool()
    loaded = spool.load([(stream, 0), (stream, 1), (stream, 2)], max_bytes=MB)
    assert [key for key, _ in loaded.batches] == [(stream, 0), (stream, 2)]
    assert loaded.damaged == [(stream, 1)]
    assert spool.on_disk()[0].lost == {"damaged": seqs(1)}


def test_load_stops_at_its_bound_but_gives_at_least_one(open_spool: OpenSpool) -> None:
    spool = open_spool()
    stream = spool.put([draft(100, start=i) for i in range(5)]).stream
    keys = [(stream, seq) for seq in range(5)]
    whole = spool.load(keys, max_bytes=MB).batches
    assert [key for key, _ in whole] == keys
    assert len(spool.load(keys, max_bytes=1).batches) == 1
    assert len(spool.load(keys, max_bytes=len(whole[0][1]) + len(whole[1][1])).batches) == 2


def test_reply_is_written_down(open_spool: OpenSpool) -> None:
    spool = open_spool()
    stream = spool.put([draft() for _ in range(6)]).stream
    spool.write_down(outcome(done={stream: seqs(0, 1, 2)}), "epoch-1")
    spool.write_down(
        outcome(
            done={stream: seqs(3)},
            reopened={stream: seqs(1)},
            lost=((stream, seqs(4), "rejected"),),
            rejected=((stream, 4, "bad value"),),
        ),
        "epoch-2",
    )
    spool.close()
    spool = open_spool()
    old = spool.on_disk()[0]
    assert spool.epoch == "epoch-2"
    assert (old.done, old.held) == (seqs(0, 2, 3), seqs(0, 1, 2, 3, 5))
    assert old.lost == {"rejected": seqs(4)}
    (refused,) = spool.quarantine()
    assert (refused.stream, refused.seq, refused.problem) == (stream, 4, "bad value")
    assert decode_batch(refused.payload).seq == 4


def test_quarantine_is_bounded(open_spool: OpenSpool) -> None:
    spool = open_spool()
    stream = spool.put([draft() for _ in range(MOST_QUARANTINED + 5)]).stream
    spool.write_down(outcome(rejected=tuple((stream, seq, "no") for seq in range(MOST_QUARANTINED + 5))), None)
    assert [refused.seq for refused in spool.quarantine()] == list(range(5, MOST_QUARANTINED + 5))


def test_forgotten_stream_leaves_the_disk(open_spool: OpenSpool) -> None:
    spool = open_spool()
    stream = spool.put([draft()]).stream
    spool.close()
    spool = open_spool(now_ms=NOW_MS + 1)
    spool.write_down(outcome(rejected=((stream, 0, "no"),), forgotten=(stream,)), None)
    spool.close()
    spool = open_spool(now_ms=NOW_MS + 2)
    assert [on_disk.stream for on_disk in spool.on_disk()] == [spool.stream]
    assert len(spool.quarantine()) == 1


def test_bound_holds_and_the_oldest_are_lost_by_declaration(open_spool: OpenSpool, tmp_path: Path) -> None:
    spool = open_spool(max_bytes=8 * MB)
    evicted = EMPTY
    for number in range(400):
        stored = spool.put([draft(5_000, start=number)])
        evicted = evicted | stored.evicted.get(stored.stream, EMPTY)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 8 * MB
    (state,) = spool.on_disk()
    assert evicted
    assert state.evicted == evicted == state.lost["evicted"]
    assert state.held | evicted == RangeSet([(0, 399)])
    assert state.held & evicted == EMPTY
    assert evicted.upto == evicted.head


def test_done_batches_leave_before_older_ones_that_are_not(open_spool: OpenSpool) -> None:
    spool = open_spool(max_bytes=8 * MB)
    stream = spool.stream
    for number in range(50):
        spool.put([draft(5_000, start=number)])
    spool.write_down(outcome(done={stream: RangeSet([(10, 49)])}), "e")
    evicted = EMPTY
    while not evicted:
        evicted = spool.put([draft(5_000)]).evicted.get(stream, EMPTY)
    state = spool.on_disk()[0]
    assert evicted - RangeSet([(10, 49)]) == EMPTY
    assert state.lost == {}
    assert RangeSet([(0, 9)]) - state.held == EMPTY


def test_batches_with_events_leave_last(open_spool: OpenSpool) -> None:
    spool = open_spool(max_bytes=8 * MB)
    alarm = Draft(columns=draft(5_000).columns, events=(Event(t=NOW_MS, kind="dtc", data={}),))
    stream = spool.put([alarm, alarm]).stream
    evicted = EMPTY
    while len(evicted) < 100:
        evicted = evicted | spool.put([draft(5_000)]).evicted.get(stream, EMPTY)
    assert not evicted & seqs(0, 1)
    assert spool.on_disk()[0].urgent == seqs(0, 1)
    spool.close()
    assert open_spool().on_disk()[0].urgent == seqs(0, 1)


def test_spool_does_not_grow_while_the_disk_is_nearly_full(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    with closing(Spool.open(path, vehicle="v1", max_bytes=100 * MB, min_free_bytes=2**62, now_ms=NOW_MS)) as spool:
        evicted = EMPTY
        for number in range(400):
            evicted = evicted | spool.put([draft(5_000, start=number)]).evicted.get(spool.stream, EMPTY)
            assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= LEAST_BYTES + 3 * WAL_BYTES
    assert evicted.upto == evicted.head > 0


def test_reserve_is_kept_beside_the_spool(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    with closing(Spool.open(path, vehicle="v1", max_bytes=8 * MB, reserve_bytes=MB, now_ms=NOW_MS)):
        assert (tmp_path / "spool.db.reserve").stat().st_blocks * 512 >= MB


def test_what_a_row_says_is_done_is_not_believed_after_a_bit_flipped(open_spool: OpenSpool, tmp_path: Path) -> None:
    spool = open_spool()
    stream = spool.put([draft() for _ in range(50)]).stream
    spool.write_down(outcome(done={stream: RangeSet([(0, 9)])}), "e")
    spool.close()
    with sqlite3.connect(tmp_path / "spool.db") as connection:
        connection.execute("UPDATE streams SET done = '[[0,49]]' WHERE next = 50")
    connection.close()
    spool = open_spool()
    assert spool.repair is not None
    old = next(state for state in spool.on_disk() if state.stream == stream)
    assert (old.held, old.done) == (RangeSet([(0, 49)]), EMPTY)


def test_row_that_turns_up_under_another_number_is_not_sent(open_spool: OpenSpool, tmp_path: Path) -> None:
    spool = open_spool()
    stream = spool.put([draft(start=1), draft(start=2)]).stream
    spool.close()
    with sqlite3.connect(tmp_path / "spool.db") as connection:
        connection.execute("UPDATE batches SET payload = (SELECT payload FROM batches WHERE seq = 0) WHERE seq = 1")
    connection.close()
    assert open_spool().load([(stream, 0), (stream, 1)], max_bytes=MB).damaged == [(stream, 1)]


@pytest.mark.parametrize("version", [1, 2])
def test_spool_of_an_earlier_format_is_taken_over(open_spool: OpenSpool, tmp_path: Path, version: int) -> None:
    spool = open_spool()
    stream = spool.put([draft(), draft()]).stream
    spool.write_down(outcome(done={stream: seqs(0)}, lost=((stream, seqs(7), "damaged"),)), "e")
    spool.close()
    with sqlite3.connect(tmp_path / "spool.db") as connection:
        connection.executescript(f"DROP TABLE waiting; PRAGMA user_version = {version}")
        connection.execute("DELETE FROM meta WHERE name = 'format'")
        if version == 1:
            connection.executescript(
                "DROP INDEX urgent; ALTER TABLE batches DROP COLUMN priority; ALTER TABLE streams DROP COLUMN crc;"
                "ALTER TABLE losses DROP COLUMN crc; DELETE FROM meta WHERE name = 'vehicle_crc'"
            )
    connection.close()
    spool = open_spool()
    assert spool.repair is None
    old = spool.on_disk()[0]
    assert (old.stream, old.held, old.done, old.lost) == (stream, seqs(0, 1), seqs(0), {"damaged": seqs(7)})
    assert len(spool.load([(stream, 0), (stream, 1)], max_bytes=MB).batches) == 2


def test_log_that_ends_too_early_gives_back_what_is_behind_the_damage(open_spool: OpenSpool, tmp_path: Path) -> None:
    spool = open_spool()
    stream = spool.stream
    for number in range(20):
        spool.put([draft(start=number)])
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tmp_path.glob("spool.db*"):  # as a kill leaves them
        shutil.copy(file, copy)
    log = bytearray((copy / "spool.db-wal").read_bytes())
    log[len(log) // 2] ^= 1
    (copy / "spool.db-wal").write_bytes(log)
    with closing(Spool.open(copy / "spool.db", vehicle="v1", max_bytes=8 * MB, now_ms=NOW_MS)) as damaged:
        assert damaged.repair is not None
        assert damaged.set_aside is None
        old = next(state for state in damaged.on_disk() if state.stream == stream)
        assert old.next == 20
        assert len(old.held) >= 19


def test_catalogs_are_kept_while_a_batch_waits(open_spool: OpenSpool) -> None:
    spool = open_spool()
    spool.keep_catalog("ab", b"{}")
    spool.keep_catalog("ab", b"{}")
    stored = spool.put([draft()])
    spool.close()
    spool = open_spool()
    assert spool.catalog("ab") == b"{}"
    assert spool.catalog("cd") is None
    spool.write_down(outcome(done={stored.stream: seqs(0)}), None)
    spool.close()
    assert open_spool().catalog("ab") is None


def test_spool_in_memory_behaves_alike() -> None:
    spool = Spool.open(":memory:", vehicle="v1", max_bytes=8 * MB, now_ms=NOW_MS)
    stream = spool.put([draft()]).stream
    assert len(spool.load([(stream, 0)], max_bytes=MB).batches) == 1
    spool.close()


def test_usage_is_written_with_what_is_written_next_or_at_the_end(open_spool: OpenSpool) -> None:
    spool = open_spool()
    assert spool.usage is None
    spool.keep_usage("1")
    assert spool.usage is None
    spool.put([draft()])
    assert spool.usage == "1"
    spool.keep_usage("2")
    spool.close()
    again = open_spool(now_ms=NOW_MS + 1)
    assert again.usage == "2"
    again.write_down(outcome(done={"unknown": seqs(1)}), None)
    assert again.usage == "2"


def test_memory_does_not_grow_with_what_is_on_the_disk(open_spool: OpenSpool) -> None:
    spool = open_spool()
    spool.put([draft(1000)])
    before = sqlite_memory_bytes()
    for start in range(0, 200, 20):
        stored = spool.put([draft(1000, start=number) for number in range(start, start + 20)])
        assert len(spool.load([(stored.stream, seq) for seq in stored.seqs], max_bytes=MB).batches) == 20
    assert spool.used_bytes > 4 * CACHE_BYTES
    assert sqlite_memory_bytes() - before < 2 * CACHE_BYTES


def sqlite_memory_bytes() -> int:
    """What SQLite has allocated in this process."""
    used = ctypes.CDLL(_sqlite3.__file__).sqlite3_memory_used
    used.restype = ctypes.c_int64
    return int(used())
