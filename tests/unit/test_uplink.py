"""The uplink against a cloud in memory, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from edge.batcher import Draft, DraftColumn
from edge.outbox import Outbox
from edge.spool import Spool
from edge.uplink import Uplink
from edge.ways import uplink_ways
from edge.ways.pacing import Timings
from edge.ways.request_size import MOST_BATCHES
from edge.ways.thrift import ALARMS_ONLY, Thrift, thrift
from edge.ways.transport import REQUEST_TIMEOUT_S, Answer
from edge.ways.uplink_http import HttpTransport
from edge.ways.uplink_ways import Way, Ways
from edge.ways.way_choice import PAUSE_LIMIT_S
from tests.fake_cloud import TOKEN, FakeCloud, serve
from wire.model import Event

NOW_MS = 1_700_000_000_000
QUICK = Timings(
    heartbeat_s=0.05,
    poll_first_s=0.005,
    poll_limit_s=0.02,
    retry_first_s=0.005,
    retry_limit_s=0.02,
    refused_first_s=0.005,
    refused_limit_s=0.02,
)


def draft(value: float = 1.0) -> Draft:
    return Draft(columns={"M.A": DraftColumn([NOW_MS], [value])})


class Vehicle:
    """A spool on disk with an uplink, which can be switched off and on."""

    def __init__(self, path: Path, url: str, session: aiohttp.ClientSession) -> None:
        self.spool = Spool.open(path / "spool.db", vehicle="v1", max_bytes=8 * 10**6, now_ms=NOW_MS)
        self.outbox = Outbox(self.spool)
        self.token = TOKEN
        self.transport = HttpTransport(session, url=url, token=lambda: self.token)
        self.uplink = Uplink(self.outbox, self.transport, token=lambda: self.token, timings=QUICK)

    async def put(self, *values: float) -> None:
        for value in values:
            await self.outbox.put([draft(value)])


class SteppedClock:
    """The event loop's time, as the uplink and its ways see it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr(Uplink, "_now_s", lambda _: self.now_s)
        monkeypatch.setattr(uplink_ways, "_now_s", lambda: self.now_s)


class DeadLine:
    """A transport that is waited for in vain."""

    def __init__(self, clock: SteppedClock) -> None:
        self._clock = clock

    async def send(self, body: bytes, *, timeout_s: float | None = None) -> Answer:
        self._clock.now_s += timeout_s or REQUEST_TIMEOUT_S
        return Answer(problem="no answer in time")

    async def send_catalog(self, name: str, body: bytes) -> Answer:
        return await self.send(body)

    async def fetch_campaign(self) -> Answer:
        return await self.send(b"")


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud()


@pytest.fixture
async def vehicle(cloud: FakeCloud, tmp_path: Path) -> AsyncIterator[Vehicle]:
    async with serve(cloud) as url, aiohttp.ClientSession() as session:
        vehicle = Vehicle(tmp_path, url, session)
        yield vehicle
        vehicle.spool.close()


@asynccontextmanager
async def running(vehicle: Vehicle) -> AsyncIterator[None]:
    task = asyncio.create_task(vehicle.uplink.run(), name="uplink")
    try:
        async with asyncio.timeout(10):
            yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_stored_batches_end_settled(vehicle: Vehicle, cloud: FakeCloud) -> None:
    assert vehicle.outbox.settled.is_set()
    await vehicle.put(1.0, 2.0, 3.0)
    assert not vehicle.outbox.settled.is_set()
    async with running(vehicle):
        await vehicle.outbox.settled.wait()
    stream = vehicle.spool.stream
    assert {key: batch.signals["M.A"].v for key, batch in cloud.batches.items()} == {
        (stream, 0): [1.0],
        (stream, 1): [2.0],
        (stream, 2): [3.0],
    }
    assert vehicle.outbox.counts.settled == 3


async def test_accepted_is_not_done(vehicle: Vehicle, cloud: FakeCloud) -> None:
    cloud.settles = False
    await vehicle.put(1.0)
    await vehicle.uplink.exchange()
    assert cloud.queue
    assert vehicle.outbox.unsettled == 1
    async with running(vehicle):
        await cloud.until(lambda: len(cloud.requests) >= 3)
        assert len(cloud.received) == 1
        cloud.commit()
        await vehicle.outbox.settled.wait()


async def test_lost_queue_is_refilled(vehicle: Vehicle, cloud: FakeCloud) -> None:
    cloud.settles = False
    await vehicle.put(1.0, 2.0)
    await vehicle.uplink.exchange()
    cloud.lose_queue()
    cloud.settles = True
    async with running(vehicle):
        await vehicle.outbox.settled.wait()
    assert len(cloud.batches) == 2


async def test_database_that_fell_back_is_refilled(vehicle: Vehicle, cloud: FakeCloud) -> None:
    await vehicle.put(1.0)
    await vehicle.uplink.exchange()
    backup = dict(cloud.batches)
    await vehicle.put(2.0, 3.0)
    await vehicle.uplink.exchange()
    assert len(cloud.batches) == 3
    cloud.restore(backup)
    async with running(vehicle):
        await cloud.until(lambda: len(cloud.batches) == 3)
        await vehicle.outbox.settled.wait()


async def test_idle_vehicle_sends_heartbeats(vehicle: Vehicle, cloud: FakeCloud) -> None:
    async with running(vehicle):
        await cloud.until(lambda: len(cloud.requests) >= 3)
    assert all(request.batches == request.streams == () for request in cloud.requests)


@pytest.mark.parametrize(
    "failures",
    [
        [503, 503, 429],
        [500, 400, 422],
        [404, 301],
    ],
)
async def test_cloud_in_trouble_is_tried_again(vehicle: Vehicle, cloud: FakeCloud, failures: list[int]) -> None:
    cloud.failures = [web.Response(status=status) for status in failures]
    await vehicle.put(1.0)
    async with running(vehicle):
        await vehicle.outbox.settled.wait()
    assert vehicle.uplink.counts.failures == len(failures)


async def test_request_that_another_way_carried_at_once_is_followed_by_one_as_large(
    vehicle: Vehicle, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SteppedClock(monkeypatch)
    ways = Ways([Way("wifi", "", DeadLine(clock)), Way("lte", "", vehicle.transport)])
    uplink = Uplink(vehicle.outbox, ways, token=lambda: TOKEN, timings=QUICK)
    await vehicle.put(*range(2 * MOST_BATCHES))
    for _ in range(2):
        await uplink.exchange()
        clock.now_s += PAUSE_LIMIT_S  # the dead way is tried first again
    assert [len(request.batches) for request in cloud.requests] == [MOST_BATCHES, MOST_BATCHES]


async def test_captive_portal_is_no_cloud(vehicle: Vehicle, cloud: FakeCloud) -> None:
    cloud.failures = [web.Response(text="<html>Welcome to our Wi-Fi</html>"), web.json_response([1])]
    await vehicle.put(1.0)
    async with running(vehicle):
        await vehicle.outbox.settled.wait()
    assert vehicle.uplink.counts.failures == 2


async def test_cloud_that_cannot_be_reached_is_tried_again(tmp_path: Path, unused_tcp_port: int) -> None:
    async with aiohttp.ClientSession() as session:
        vehicle = Vehicle(tmp_path, f"http://127.0.0.1:{unused_tcp_port}", session)
        await vehicle.put(1.0)
        await vehicle.uplink.exchange()
        assert (vehicle.uplink.counts.failures, vehicle.outbox.unsettled) == (1, 1)
        vehicle.spool.close()


async def test_refused_credential_keeps_the_data_until_it_is_good(vehicle: Vehicle, cloud: FakeCloud) -> None:
    vehicle.token = "wrong"
    await vehicle.put(1.0)
    async with running(vehicle):
        await cloud.until(lambda: vehicle.uplink.counts.refused >= 2)
        assert not cloud.requests
        vehicle.token = TOKEN
        await vehicle.outbox.settled.wait()


async def test_new_credential_ends_the_long_wait(cloud: FakeCloud, tmp_path: Path) -> None:
    async with serve(cloud) as url, aiohttp.ClientSession() as session:
        vehicle = Vehicle(tmp_path, url, session)
        vehicle.uplink = Uplink(vehicle.outbox, vehicle.transport, token=lambda: vehicle.token)
        vehicle.token = "wrong"
        await vehicle.uplink.exchange()
        await vehicle.put(1.0)
        vehicle.token = TOKEN
        async with running(vehicle):
            await vehicle.outbox.settled.wait()
        vehicle.spool.close()


async def test_request_that_is_too_large_is_halved(vehicle: Vehicle, cloud: FakeCloud) -> None:
    cloud.most_batches = 3
    await vehicle.put(*map(float, range(20)))
    async with running(vehicle):
        await vehicle.outbox.settled.wait()
    assert len(cloud.batches) == 20
    assert vehicle.outbox.counts.rejected == 0


async def test_batch_that_is_too_large_alone_is_declared_lost(vehicle: Vehicle, cloud: FakeCloud) -> None:
    cloud.most_batches = 0
    await vehicle.put(1.0)
    async with running(vehicle):
        await vehicle.outbox.settled.wait()
    (refused,) = vehicle.spool.quarantine()
    assert "413" in refused.problem
    assert len(cloud.lost[vehicle.spool.stream]) == 1


async def test_rejected_batch_takes_no_other_with_it(vehicle: Vehicle, cloud: FakeCloud) -> None:
    cloud.refuses = lambda batch: "too odd" if batch.signals["M.A"].v == [2.0] else None
    await vehicle.put(1.0, 2.0, 3.0)
    async with running(vehicle):
        await vehicle.outbox.settled.wait()
    stream = vehicle.spool.stream
    assert set(cloud.batches) == {(stream, 0), (stream, 2)}
    assert [(refused.seq, refused.problem) for refused in vehicle.spool.quarantine()] == [(1, "too odd")]
    assert cloud.received.count((stream, 1)) == 1


async def test_catalog_that_the_cloud_lacks_is_sent_once(vehicle: Vehicle, cloud: FakeCloud) -> None:
    await vehicle.outbox.keep_catalog("ab" * 32, b'{"signals":[]}')
    cloud.wanted_catalogs = ["ab" * 32, "cd" * 32]
    await vehicle.uplink.exchange()
    assert cloud.catalogs == {"ab" * 32: b'{"signals":[]}'}


async def test_backlog_does_not_hold_up_fresh_data(vehicle: Vehicle, cloud: FakeCloud) -> None:
    for value in range(200):
        await vehicle.put(float(value))
    await vehicle.uplink.exchange()
    assert cloud.received[0] == (vehicle.spool.stream, 199)
    assert (vehicle.spool.stream, 0) in cloud.received


async def test_what_was_stored_before_is_sent_after_a_restart(cloud: FakeCloud, tmp_path: Path) -> None:
    async with serve(cloud) as url, aiohttp.ClientSession() as session:
        first = Vehicle(tmp_path, url, session)
        await first.put(1.0, 2.0)
        await first.uplink.exchange()
        await first.put(3.0)
        first.spool.close()
        second = Vehicle(tmp_path, url, session)
        async with running(second):
            await second.outbox.settled.wait()
        second.spool.close()
    assert len(cloud.batches) == 3
    assert len(cloud.received) == 3


async def test_alarms_leave_while_everything_else_is_held_back(vehicle: Vehicle, cloud: FakeCloud) -> None:
    vehicle.uplink.thrift = thrift(ALARMS_ONLY)
    await vehicle.put(1.0, 2.0)
    alarm = Draft(events=[Event(t=NOW_MS, kind="alarm")])
    await vehicle.outbox.put([alarm])
    await vehicle.put(3.0)
    async with running(vehicle):
        await cloud.until(lambda: len(cloud.received) > 0)
        assert [seq for _, seq in cloud.received] == [2]
        requests = len(cloud.requests)
        await vehicle.put(4.0)
        await vehicle.outbox.put([alarm])
        await cloud.until(lambda: len(cloud.received) > 1)
        assert [seq for _, seq in cloud.received] == [2, 5]
        assert len(cloud.requests) <= requests + 3, "what is held back is no reason to ask again and again"
        vehicle.uplink.thrift = Thrift()
        await vehicle.put(5.0)
        await vehicle.outbox.settled.wait()
    assert len(cloud.batches) == 7
    assert len(cloud.received) == 7
