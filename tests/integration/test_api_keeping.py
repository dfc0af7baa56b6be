"""What is kept and for how long, over the API: rows set aside, erasures, retention."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from cloud.telemetry.erasure import carry_out
from cloud.telemetry.facts import facts_of
from cloud.telemetry.store import Arrival
from tests.web_stand import STREAM, Stand, batch, column, now_ms, web_stand
from wire.model import Batch

pytestmark = pytest.mark.services

T0 = 1_627_274_455_000  # 2021-07-26T04:40:55Z


@pytest.fixture
async def stand(database_url: str, redis_url: str) -> AsyncIterator[Stand]:
    async with web_stand(database_url, redis_url) as stand:
        yield stand


def at(ms: int) -> str:
    return (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms)).isoformat()


def arrival(one: Batch) -> Arrival:
    return Arrival(one.vehicle, one.stream, one.seq, facts_of(one), received_ms=now_ms())


async def test_rows_set_aside_are_listed_and_released(stand: Stand) -> None:
    early, good = 62_000, T0
    for seq, t0 in enumerate((early, good, early + 5)):
        await stand.store.commit([arrival(batch(seq=seq, t0=t0, signals={"M.S": column((0, 1.0))}))])
    first = await stand.get("/v1/set-aside", limit=1, vehicle="a")
    second = await stand.get("/v1/set-aside", limit=1, after=first["next"])
    assert second["next"] is None
    found = [*first["set_aside"], *second["set_aside"]]
    assert [(one["seq"], one["cause"], one["from"], one["samples"]) for one in found] == [
        (0, "before_2010", early, 1),
        (2, "before_2010", early + 5, 1),
    ]
    whole = await stand.get("/v1/vehicles/a/completeness")
    assert whole["set_aside"] == [
        {"stream": STREAM, "cause": "before_2010", "entries": 2} | {"samples": 2, "fixes": 0, "events": 0, "frames": 0}
    ]
    assert whole["stored"]["samples"] == 1
    assert (await stand.get("/v1/set-aside", who="stranger"))["set_aside"] == []
    path = "/v1/vehicles/a/set-aside/release"
    await stand.send("POST", path, who="viewer", expect=403, body={"as_it_is": True})
    await stand.send("POST", path, who="stranger", expect=404, body={"as_it_is": True})
    await stand.send("POST", path, expect=400, body={"as_it_is": True, "shift_ms": 5})
    stays = await stand.send("POST", path, expect=200, body={"shift_ms": 5})
    assert (stays["entries"], len(stays["refused"])) == (0, 2)
    done = await stand.send("POST", path, expect=200, body={"begin": at(T0 + 1_000)})
    assert done == {"entries": 2, "rows": 2, "erased": 0, "refused": []}
    latest = await stand.get("/v1/vehicles/a/latest")
    assert latest["signals"]["M.S"]["t"] == T0 + 1_005
    await stand.send("POST", path, expect=404, body={"as_it_is": True})


async def test_erasure_is_ordered_and_listed(stand: Stand) -> None:
    await stand.write(batch(t0=T0, signals={"M.S": column((0, 1.0), (5, 2.0))}))
    path = "/v1/vehicles/a/erasures"
    await stand.send("POST", path, who="viewer", expect=403, body={})
    await stand.send("POST", path, who="stranger", expect=404, body={})
    await stand.send("POST", path, expect=400, body={"to": "2999-01-01T00:00:00Z"})
    await stand.send("POST", path, expect=400, body={"from": at(T0 + 1), "to": at(T0 + 1)})
    ordered = await stand.send("POST", path, expect=202, body={"from": at(T0 + 1), "to": at(T0 + 10)})
    assert (ordered["from"], ordered["to"], ordered["done_at"]) == (T0 + 1, T0 + 10, None)
    async with stand.db.acquire() as connection:
        await carry_out(connection, ordered["id"])
    (listed,) = (await stand.get(path))["erasures"]
    assert (listed["id"], listed["samples"], listed["done_at"] is not None) == (ordered["id"], 1, True)
    whole = await stand.get("/v1/vehicles/a/completeness")
    assert (whole["stored"]["samples"], whole["erased"]["samples"]) == (1, 1)


async def test_retention_of_the_own_fleet(stand: Stand) -> None:
    forever = {"samples": None, "fixes": None, "events": None, "frames": None}
    assert await stand.get("/v1/retention") == forever
    await stand.send("PUT", "/v1/retention", who="viewer", expect=403, body={})
    await stand.send("PUT", "/v1/retention", expect=400, body={"samples": 0.5})
    assert await stand.send("PUT", "/v1/retention", expect=200, body={"samples": 90, "fixes": 30.5}) == forever | {
        "samples": 90.0,
        "fixes": 30.5,
    }
    assert (await stand.get("/v1/retention"))["fixes"] == 30.5
    assert await stand.get("/v1/retention", who="stranger") == forever
    assert await stand.send("PUT", "/v1/retention", expect=200, body={}) == forever
