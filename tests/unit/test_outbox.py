"""The outbox: what it believes and what is on the disk agree, whatever comes between."""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from edge.batcher import Draft, DraftColumn
from edge.outbox import Outbox
from edge.spool import Spool, Stored
from wire.envelope import Rejected, Reply

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
