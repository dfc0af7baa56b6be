"""Who sends: asked for together, each told of itself, and known on while the database is away."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from cloud.access import accounts
from cloud.access.accounts import Device
from cloud.database import Executor, Pool, make_pool
from cloud.ingest.devices import FRESH_S, Devices
from cloud.problem import Problem

pytestmark = pytest.mark.services

VEHICLES = 30


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with make_pool(database_url, size=2, name="devices") as pool:
        yield pool


async def test_those_who_come_at_once_are_one_question(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    ask = accounts.devices

    async def counted(db: Executor, hashes: Sequence[bytes]) -> Any:
        asked.append(len(hashes))
        return await ask(db, hashes)

    monkeypatch.setattr(accounts, "devices", counted)
    made = dict(await accounts.add_vehicles(pool, [f"truck-{number}" for number in range(VEHICLES)]))
    now_s = 0.0
    devices = Devices(pool, now_s=lambda: now_s)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(devices.run())
        found = await asyncio.gather(*(devices.identify(f"Bearer {token}") for token in made.values()))
        assert [device.vehicle for device in found] == list(made)
        assert sum(asked) == VEHICLES
        assert len(asked) == 1
        await devices.identify(f"Bearer {made['truck-0']}")
        assert len(asked) == 1

        # A token that was revoked is refused as soon as it is looked at again, and its neighbour is not.
        await accounts.revoke_devices(pool, "truck-0")
        now_s = FRESH_S
        answers = await asyncio.gather(
            *(devices.identify(f"Bearer {made[vehicle]}") for vehicle in ("truck-0", "truck-1")), return_exceptions=True
        )
        assert isinstance(answers[0], Problem)
        assert answers[0].status == 401
        assert isinstance(answers[1], Device)
        running.cancel()


async def test_known_ones_go_on_without_the_database(pool: Pool) -> None:
    [(_, known), (_, stranger)] = await accounts.add_vehicles(pool, ["known", "stranger"])
    now_s = 0.0
    devices = Devices(pool, now_s=lambda: now_s)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(devices.run())
        await devices.identify(f"Bearer {known}")
        await pool.close()
        now_s = FRESH_S
        for _ in range(2):
            assert (await devices.identify(f"Bearer {known}")).vehicle == "known"
        with pytest.raises(Problem) as refused:
            await devices.identify(f"Bearer {stranger}")
        assert refused.value.status == 503
        running.cancel()


async def test_who_comes_while_the_database_hangs_does_not_wait_for_it_again(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    hangs = asyncio.Event()

    async def hang(_: Executor, hashes: Sequence[bytes]) -> Any:
        asked.append(len(hashes))
        hangs.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(accounts, "devices", hang)
    monkeypatch.setattr("cloud.ingest.devices.QUICK_S", 0.3)
    [(_, one), (_, other)] = await accounts.add_vehicles(pool, ["one", "other"])
    devices = Devices(pool, now_s=lambda: 0.0)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(devices.run())
        first = tasks.create_task(_refusal(devices, one))
        await hangs.wait()
        assert await asyncio.gather(_refusal(devices, other), first) == [503, 503]
        running.cancel()
    assert asked == [1]


async def _refusal(devices: Devices, token: str) -> int:
    with pytest.raises(Problem) as refused:
        await devices.identify(f"Bearer {token}")
    return refused.value.status
