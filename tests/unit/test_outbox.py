"""The outbox: what it believes and what is on the disk agree, whatever comes between."""

import asyncio
import json
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import zstandard

from edge.batcher import Draft, DraftColumn
from edge.disk.spool_file import SpoolDamagedError
from edge.outbox import Outbox
from edge.spool import Spool, Stored
from tests.fake_cloud import FakeCloud
from wire.envelope import Rejected, Reply, parse_request
from wire.ranges import RangeSet

NOW_MS = 1_700_000_000_000
DRAFT = Draft(columns={"M.A": DraftColumn([NOW_MS], [1.0])})


class SlowSpool(Spool):
    """Its disk is busy while `gate` is cleared."""

    gate = threading.Event()
    began = threading.Event()

    def put(self, drafts: Sequence[Draft]) -> Stored:
        self.began.set()
        assert self.gate.wait(10)
        return super().put(drafts)


async def test_reply_that_waits_for_the_disk_when_the_agent_stops_changes_nothing(tmp_path: Path) -> None:
    SlowSpool.gate.set()
    with closing(SlowSpool.open(tmp_path / "spool.db", vehicle="v1", max_bytes=8 * 10**6, now_ms=NOW_MS)) as spool:
        outbox = Outbox(spool)
        await outbox.put([DRAFT])
        shipment = await outbox.prepare(0, most_batches=1, most_bytes=10**6)
        spool.gate.clear()
        spool.began.clear()
        async with asyncio.TaskGroup() as tasks:
            storing = tasks.create_task(outbox.put([DRAFT]), name="put")
            await asyncio.to_thread(spool.began.wait)
            reply = Reply(rejected=(Rejected(index=0, problem="not a batch"),))
            replied = asyncio.ensure_future(outbox.replied(shipment.plan, reply, 1))
            await asyncio.sleep(0)
            replied.cancel()
            with suppress(asyncio.CancelledError):
                await replied
            spool.gate.set()
            await storing
        assert outbox.unsettled == 2
        assert spool.quarantine() == []


class RottenSpool(Spool):
    """Its file turns out to be damaged at the next `put`."""

    is_rotten = False

    def put(self, drafts: Sequence[Draft]) -> Stored:
        if self.is_rotten:
            self.is_rotten = False
            raise SpoolDamagedError("database disk image is malformed")
        return super().put(drafts)


async def test_spool_that_turns_out_to_be_damaged_is_healed_while_the_agent_runs(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    with closing(RottenSpool.open(path, vehicle="v1", max_bytes=8 * 10**6, now_ms=NOW_MS)) as spool:
        outbox = Outbox(spool)
        for _ in range(50):
            await outbox.put([DRAFT])
        stream = spool.stream
        spool.is_rotten = True
        await outbox.put([DRAFT])
        assert spool.stream != stream
        repair = outbox.take_repair()
        assert repair is not None
        assert (repair.saved, repair.missing) == (50, 0)
        assert outbox.take_repair() is None
        assert outbox.unsettled == 51
        shipment = await outbox.prepare(0, most_batches=64, most_bytes=10**6)
        expected = {(stream, seq) for seq in range(50)} | {(spool.stream, 0)}
        assert set(shipment.plan.batches) == expected
        await outbox.replied(shipment.plan, Reply(rejected=(Rejected(index=0, problem="not a batch"),)), 1)
        assert outbox.unsettled == 50


async def exchange(outbox: Outbox, cloud: FakeCloud, now_s: float, *, most_batches: int = 64) -> None:
    shipment = await outbox.prepare(now_s, most_batches=most_batches, most_bytes=10**6)
    request = parse_request(json.loads(zstandard.ZstdDecompressor().decompress(shipment.body)))
    await outbox.replied(shipment.plan, Reply.model_validate(cloud.reply(request)), now_s)


async def test_newest_settled_is_told_among_what_was_stored_also_after_a_repair(tmp_path: Path) -> None:
    cloud = FakeCloud()
    with closing(RottenSpool.open(tmp_path / "spool.db", vehicle="v1", max_bytes=8 * 10**6, now_ms=NOW_MS)) as spool:
        outbox = Outbox(spool)
        await outbox.put([DRAFT] * 3)
        assert outbox.counts.newest_settled == 0
        await exchange(outbox, cloud, 0)
        assert outbox.counts.newest_settled == 3
        spool.is_rotten = True
        await outbox.put([DRAFT] * 2)
        cloud.refuses = lambda batch: "not this one" if batch.seq else None
        await exchange(outbox, cloud, 1)
        assert outbox.counts.newest_settled == 4, "what was refused has not arrived"


async def test_stream_of_the_run_before_is_named_though_its_clock_stood_at_1970(tmp_path: Path) -> None:
    cloud, streams = FakeCloud(), []
    for now_ms in (NOW_MS, 5_000, NOW_MS + 1_000):
        with closing(Spool.open(tmp_path / "spool.db", vehicle="v1", max_bytes=8 * 10**6, now_ms=now_ms)) as spool:
            outbox = Outbox(spool)
            shipment = await outbox.prepare(0, most_batches=64, most_bytes=10**6)
            assert [claim.stream for claim in shipment.plan.claims] == streams[-1:]
            await outbox.put([DRAFT])
            await exchange(outbox, cloud, 1)
            streams.append(spool.stream)


async def test_what_writing_a_reply_down_evicts_is_declared_lost_though_nothing_more_is_stored() -> None:
    cloud = FakeCloud()
    with closing(Spool.open(":memory:", vehicle="v1", max_bytes=30_000, now_ms=NOW_MS)) as spool:
        outbox = Outbox(spool)
        await outbox.put([DRAFT] * 3)
        for now_s in (0, 1):
            assert not outbox.owes_nothing
            await exchange(outbox, cloud, now_s, most_batches=1)
        assert outbox.owes_nothing
        assert outbox.unsettled == 0
        assert (outbox.counts.evicted, outbox.counts.lost_by_cause) == (3, {"evicted": 2})
        assert {seq for _, seq in cloud.batches} == {2}, "of what cannot go at once, the newest goes first"
        assert cloud.lost[spool.stream] == RangeSet.of([0, 1])
