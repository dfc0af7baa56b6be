"""Large requests are read in another process, with the same judgement, whatever becomes of that process."""

import asyncio

import pytest

from cloud.ingest.aside import Aside, reading_aside
from cloud.ingest.body import Body
from cloud.ingest.requests import IN_PROCESS_FROM_BYTES, read_request
from cloud.ingest.thorough import read_thoroughly
from cloud.problem import Problem

VEHICLE = "truck-1"
STREAM = "01890a5d-ac96-774b-bcce-b302099a8057"
LARGE = b" " * IN_PROCESS_FROM_BYTES


def request(*seqs: int, value: str = "1") -> bytes:
    batches = ",".join(
        f'{{"vehicle":"{VEHICLE}","stream":"{STREAM}","seq":{seq},"t0":0,'
        f'"signals":{{"a":{{"dt":[0,1],"v":[1,{value}]}}}},"events":[{{"t":5,"kind":"x","data":{{"a":1}}}}]}}'
        for seq in seqs
    )
    return f'{{"batches":[{batches}],"streams":[{{"stream":"{STREAM}","next":9}}]}}'.encode() + LARGE


def process_of(aside: Aside) -> asyncio.subprocess.Process:
    assert aside._process is not None
    return aside._process


async def test_large_requests_are_judged_as_small_ones_are() -> None:
    async with reading_aside() as aside:
        for plain in (request(0, 1, 2), request(3, value="null"), request()):
            reading = await read_request(Body(plain), VEHICLE, aside)
            assert reading == read_thoroughly(plain, VEHICLE)
        assert len((await read_request(Body(request(3, value="null")), VEHICLE, aside)).rejected) == 1
        assert process_of(aside).returncode is None


async def test_large_requests_are_refused_as_small_ones_are() -> None:
    refused = [
        (400, b"{" + LARGE),
        (400, b'{"batches":' + b"[" * 200_000),
        (400, b'{"batches":[],"batches":[]}' + LARGE),
        (403, request(0).replace(b"truck-1", b"truck-2")),
        (413, b'{"batches":[%s0]}' % (b"0," * 200_000)),
        (422, b"[]" + LARGE),
    ]
    async with reading_aside() as aside:
        for status, plain in refused:
            with pytest.raises(Problem) as raised:
                await read_request(Body(plain), VEHICLE, aside)
            assert raised.value.status == status
            with pytest.raises(Problem) as expected:
                read_thoroughly(plain, VEHICLE)
            assert raised.value.detail == expected.value.detail


async def test_several_at_once_each_get_their_own() -> None:
    async with reading_aside() as aside:
        readings = await asyncio.gather(*(aside.read(request(seq), VEHICLE) for seq in range(8)))
        assert [[one.seq for one in reading.taken] for reading in readings] == [[seq] for seq in range(8)]


async def test_one_that_is_given_up_does_not_disturb_the_next() -> None:
    async with reading_aside() as aside:
        await aside.read(request(0), VEHICLE)
        reading = asyncio.ensure_future(aside.read(request(1), VEHICLE))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        assert reading.cancelled()
        assert [one.seq for one in (await aside.read(request(2), VEHICLE)).taken] == [2]


async def test_process_that_was_killed_is_begun_anew() -> None:
    async with reading_aside() as aside:
        await aside.read(request(0), VEHICLE)
        reading = asyncio.ensure_future(aside.read(request(*range(900)), VEHICLE))
        await asyncio.sleep(0)
        process_of(aside).kill()
        with pytest.raises(Problem) as raised:
            await reading
        assert raised.value.status == 503
        assert [one.seq for one in (await aside.read(request(2), VEHICLE)).taken] == [2]


async def test_process_ends_with_its_owner() -> None:
    async with reading_aside() as aside:
        await aside.read(request(0), VEHICLE)
        process = process_of(aside)
    assert process.returncode is not None
