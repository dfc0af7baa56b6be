"""Dead letters: shown as they came, and stored after all once what the database refused them for is gone."""

import asyncio
import json
import os
import uuid

import pytest
from click.testing import CliRunner, Result

from cloud.database import make_pool
from cloud.errors import DeadLetterError
from cloud.telemetry.dead_letters import find_letter, list_letters, replay
from cloud.telemetry.facts import facts_of
from cloud.telemetry.store import Arrival, Store
from fleetwire.admin import admin
from tests.running import add_vehicle, fetch, make_batch
from wire.codec import encode_batch
from wire.model import Batch, Column

pytestmark = pytest.mark.services

STREAM = str(uuid.uuid4())
LIMIT = "ALTER TABLE samples ADD CONSTRAINT low CHECK (value < 1000)"
NO_LIMIT = "ALTER TABLE samples DROP CONSTRAINT low"


def too_high(seq: int) -> Batch:
    return make_batch(seq, STREAM, signals={"Engine.Speed": Column(dt=[0, 5], v=[1.5, 8000.0])})


def arrival(batch: Batch) -> Arrival:
    return Arrival(batch.vehicle, batch.stream, batch.seq, facts_of(batch), batch.catalog)


async def run(database_url: str, *arguments: str) -> Result:
    env = {key: None for key in os.environ if key.startswith("FLEETWIRE_")}
    env |= {"FLEETWIRE_DATABASE_URL": database_url, "FLEETWIRE_REDIS_URL": "redis://127.0.0.1:1"}
    return await asyncio.to_thread(CliRunner().invoke, admin, ("dead-letters", *arguments), env=env)


@pytest.fixture
async def refused(database_url: str) -> str:
    """The address of a database that holds truck-1's batches 0 and 3, and 1 and 2 as dead letters."""
    await add_vehicle(database_url)
    await fetch(database_url, LIMIT)
    async with make_pool(database_url, size=1, name="test") as pool:
        store = Store(pool)
        await store.commit([arrival(make_batch(0, STREAM)), arrival(make_batch(3, STREAM))])
        for seq in (1, 2):
            await store.bury("truck-1", STREAM, seq, problem="too high", payload=encode_batch(too_high(seq)))
    return database_url


async def ledger(database_url: str) -> tuple[str, str, int, int]:
    """Received, dead, samples as counted and as they are."""
    (row,) = await fetch(
        database_url, "SELECT received::text, dead::text, samples, (SELECT count(*) FROM samples) FROM ledger"
    )
    received, dead, counted, found = row
    return received, dead, counted, found


async def test_replayed_letter_moves_from_dead_to_received(refused: str) -> None:
    assert await ledger(refused) == ("{[0,1),[3,4)}", "{[1,3)}", 40, 40)
    await fetch(refused, NO_LIMIT)
    result = await run(refused, "replay", "1")
    assert (result.exit_code, result.output) == (0, f"dead letter 1 is stored: truck-1/{STREAM}/1\n")
    assert await ledger(refused) == ("{[0,2),[3,4)}", "{[2,3)}", 42, 42)
    assert [row["seq"] for row in await fetch(refused, "SELECT seq FROM dead_letters")] == [2]
    (latest,) = await fetch(refused, "SELECT last_ts = (SELECT max(ts) FROM samples) AS newest FROM latest")
    assert latest["newest"]
    journal = await fetch(refused, "SELECT seqs::text FROM journal ORDER BY id")
    assert [row["seqs"] for row in journal] == ["{[0,1),[3,4)}", "{[1,2)}"]
    (entry,) = await fetch(refused, "SELECT action, data FROM audit_log")
    assert (entry["action"], json.loads(entry["data"])["seq"]) == ("dead_letter.replay", 1)


async def test_all_are_replayed_at_once_and_then_none_is_left(refused: str) -> None:
    await fetch(refused, NO_LIMIT)
    assert (await run(refused, "replay", "--all")).exit_code == 0
    assert await ledger(refused) == ("{[0,4)}", "{}", 44, 44)
    assert (await run(refused, "list")).output == ""
    assert (await run(refused, "replay", "--all")).exit_code == 0


async def test_letter_that_is_refused_again_stays_and_holds_up_no_other(refused: str) -> None:
    await fetch(refused, "UPDATE dead_letters SET payload = $1 WHERE seq = 2", encode_batch(make_batch(2, STREAM)))
    result = await run(refused, "replay", "--all")
    assert result.exit_code == 1
    assert "dead letter 1 is refused again" in result.stderr
    assert await ledger(refused) == ("{[0,1),[2,4)}", "{[1,2)}", 60, 60)


async def test_replay_at_once_stores_once(refused: str) -> None:
    await fetch(refused, NO_LIMIT)
    async with make_pool(refused, size=4, name="test") as pool:
        letter = await find_letter(pool, 1)
        stored = await asyncio.gather(*(replay(Store(pool), letter) for _ in range(4)))
    assert sorted(stored) == [False, False, False, True]
    assert await ledger(refused) == ("{[0,2),[3,4)}", "{[2,3)}", 42, 42)


async def test_letter_whose_content_was_stored_meanwhile_is_only_removed(refused: str) -> None:
    await fetch(refused, NO_LIMIT)
    await fetch(refused, "UPDATE ledger SET received = '{[0,4)}', dead = '{}'")
    assert (await run(refused, "replay", "1")).exit_code == 0
    assert await ledger(refused) == ("{[0,4)}", "{}", 40, 40)
    assert len(await fetch(refused, "SELECT FROM dead_letters")) == 1


@pytest.mark.parametrize("payload", [b"\xff\x00no JSON", b'{"v":1}', encode_batch(make_batch(9, STREAM))])
async def test_letter_that_is_no_batch_or_another_one_stays(refused: str, payload: bytes) -> None:
    await fetch(refused, "UPDATE dead_letters SET payload = $1", payload)
    async with make_pool(refused, size=1, name="test") as pool:
        with pytest.raises(DeadLetterError, match="dead letter 1"):
            await replay(Store(pool), await find_letter(pool, 1))
        assert [row["id"] for row in await list_letters(pool)] == [1, 2]


async def test_list_and_show_tell_what_lies_there(refused: str) -> None:
    lines = (await run(refused, "list", "--json")).output.splitlines()
    listed = [json.loads(line) for line in lines]
    assert [(one["id"], one["vehicle"], one["seq"], one["problem"]) for one in listed] == [
        (1, "truck-1", 1, "too high"),
        (2, "truck-1", 2, "too high"),
    ]
    assert (await run(refused, "list")).output.startswith(f"1  truck-1  {STREAM}  1  ")
    shown = json.loads((await run(refused, "show", "2")).output)
    assert shown["batch"] == json.loads(encode_batch(too_high(2)))
    await fetch(refused, "UPDATE dead_letters SET payload = '\\xff00'")
    assert json.loads((await run(refused, "show", "2")).output)["base64"] == "/wA="


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (("show", "77"), 1, "there is no dead letter 77"),
        (("replay", "77"), 1, "there is no dead letter 77"),
        (("replay",), 2, "--all"),
        (("replay", "1", "--all"), 2, "--all"),
        (("show", "x"), 2, "not a valid integer"),
    ],
)
async def test_wrong_use_is_one_line(database_url: str, arguments: tuple[str, ...], exit_code: int, says: str) -> None:
    result = await run(database_url, *arguments)
    assert result.exit_code == exit_code
    assert says in result.stderr
