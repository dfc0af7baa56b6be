"""What ingest answers without a task of its own for each request, and that whatever is unusual is answered alike."""

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import zstandard

from cloud.access.accounts import Device
from cloud.bus import Admitted, Bus
from cloud.errors import BusDown, BusFull
from cloud.ingest.body import Body
from cloud.ingest.service import Ingest
from cloud.streams.entries import Item
from cloud.together import Asker
from tests.running import Sender, add_vehicle, fetch, make_batch, running_ingest, settings
from wire.codec import encode_batch
from wire.model import Batch

pytestmark = pytest.mark.services


@pytest.fixture
async def sender(database_url: str, redis_url: str) -> AsyncIterator[Sender]:
    token = await add_vehicle(database_url)
    async with running_ingest(settings(database_url, redis_url)) as address, Sender(address, token) as sender:
        await send(sender, make_batch(0, sender.stream))  # whose token and campaign were not known
        yield sender


@pytest.fixture
def long_way(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The vehicles of the requests that went it."""
    went = []
    take = Ingest.take_batches

    async def take_batches(self: Ingest, device: Device, body: Body) -> bytes:
        went.append(device.vehicle)
        return await take(self, device, body)

    monkeypatch.setattr(Ingest, "take_batches", take_batches)
    return went


async def send(sender: Sender, *batches: Batch) -> tuple[int, Any]:
    """As an agent does: dense, in one frame of zstd."""
    streams = f'{{"stream":"{sender.stream}","next":{batches[-1].seq + 1},"lost":[]}}'
    plain = b'{"batches":[%s],"streams":[%s]}' % (b",".join(map(encode_batch, batches)), streams.encode())
    return await sender.post("/v1/batches", zstandard.compress(plain), **{"Content-Encoding": "zstd"})


async def test_what_agents_send_does_not_go_the_long_way(sender: Sender, long_way: list[str]) -> None:
    status, reply = await send(sender, make_batch(1, sender.stream), make_batch(2, sender.stream))
    assert (status, long_way) == (200, [])
    assert [one["seq"] for one in reply["accepted"]] == [1, 2]
    assert reply["settled"] == [{"stream": sender.stream, "upto": -1, "head": -1, "missing": []}]
    assert reply["bus"] == (await send(sender, make_batch(3, sender.stream)))[1]["bus"]
    assert reply["epoch"]
    assert (reply["campaign"], reply["catalogs"]) == ("none", [])


async def test_lacking_catalog_is_said(sender: Sender, long_way: list[str]) -> None:
    batch = make_batch(1, sender.stream, catalog="0f" * 32)
    assert [(await send(sender, batch))[1]["catalogs"] for _ in range(2)] == [["0f" * 32]] * 2
    assert long_way == ["truck-1"]  # to ask for it, once


async def test_what_is_stored_already_goes_the_long_way(sender: Sender, long_way: list[str], database_url: str) -> None:
    await fetch(
        database_url,
        "INSERT INTO ledger (vehicle_id, stream, received, lost, next) SELECT id, $1, '{[0,5)}', '{}', 5 FROM vehicles",
        sender.stream,
    )
    status, reply = await send(sender, make_batch(4, sender.stream))
    assert (status, long_way) == (200, ["truck-1"])
    assert reply["settled"] == [{"stream": sender.stream, "upto": 4, "head": 4, "missing": []}]
    assert reply["bus"]


@pytest.mark.parametrize(
    ("error", "problem"), [(BusFull("full"), "the queue is full"), (BusDown("down"), "does not answer")]
)
async def test_queue_that_does_not_take_it_is_said_at_once(
    sender: Sender, long_way: list[str], monkeypatch: pytest.MonkeyPatch, error: Exception, problem: str
) -> None:
    def put(
        self: Bus, shard: int, batches: Sequence[Item], claims: Item | None, asker: Asker[Admitted | Exception]
    ) -> bool:
        asker.set_result(error)
        return True

    monkeypatch.setattr(Bus, "put", put)
    status, reply = await send(sender, make_batch(1, sender.stream))
    assert (status, long_way) == (503, [])
    assert re.search(problem, reply["detail"])


async def test_fault_on_the_way_harms_nobody(
    sender: Sender, long_way: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(self: Bus, shard: int, batches: Sequence[Item], claims: Item | None, asker: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(Bus, "put", put)
    for seq in (1, 2):
        assert (await send(sender, make_batch(seq, sender.stream)))[0] == 200
    assert long_way == ["truck-1", "truck-1"]
