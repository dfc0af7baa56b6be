"""An old image of a vehicle's spool that is put back, and two agents with one identity, against the real cloud.

Nothing is lost, nothing is there twice, and both are shown.
"""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge.config import load_edge_config
from edge.service.status import AgentStatus
from fleetwire.edge_status import render
from tests.recount import assert_counts_agree
from tests.running import add_vehicle, eventually, fetch, running_ingest, running_writer, settings
from tests.running_agent import run_to_the_end, running_agent, until_status, write_vehicle
from tests.web_stand import Stand, web_stand

pytestmark = pytest.mark.services

FRAMES_PER_S = 100


@dataclass
class Card:
    """What a vehicle boots from. Its frames carry numbers of its own, a thousand from `first` on."""

    home: Path
    token: str
    url: str
    first: int
    agents: list["asyncio.Task[None]"] = field(default_factory=list)

    def write(self, frames: int) -> Path:
        self.home.mkdir(exist_ok=True)
        lines = (
            f"({1_700_000_000 + n / FRAMES_PER_S:.6f}) can0 100#{(self.first + n).to_bytes(8, 'little').hex()}\n"
            for n in range(frames)
        )
        (self.home / "drive.log").write_text("".join(lines))
        self.first += frames
        spool = '[spool]\npath = "spool/spool.db"\n'
        return write_vehicle(self.home, self.url, vehicle="a", token=self.token, more=spool)

    async def play(self, frames: int) -> None:
        """The agent plays so many frames, and ends when the cloud has committed everything."""
        await run_to_the_end(self.write(frames))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the agent plays a thousand frames, in ten seconds."""
        async with running_agent(load_edge_config(self.write(1000))):
            yield

    def image(self, to: Path) -> Path:
        """As a card is copied, with the agent running or not."""
        return Path(shutil.copytree(self.home / "spool", to, ignore=shutil.ignore_patterns("*.sock")))

    def put_back(self, image: Path) -> None:
        shutil.rmtree(self.home / "spool")
        shutil.copytree(image, self.home / "spool")

    async def status(self, condition: Callable[[AgentStatus], object]) -> AgentStatus:
        return await until_status(load_edge_config(self.home / "edge.toml"), condition)


@dataclass
class Cloud:
    url: str
    database_url: str
    token: str
    web: Stand

    async def numbers(self) -> Counter[int]:
        rows = await fetch(self.database_url, "SELECT value FROM samples")
        return Counter(int(row["value"]) for row in rows)

    async def completeness(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.web.get("/v1/vehicles/a/completeness")
        return found

    async def events(self, kind: str) -> list[dict[str, Any]]:
        return [event["data"] for event in (await self.web.get("/v1/events", vehicle="a", kind=kind))["events"]]

    async def assert_all_is_there_once(self, first: int, last: int) -> None:
        assert await self.numbers() == Counter(range(first, last))
        assert all(not stream["gaps"] and not stream["lost"] for stream in (await self.completeness())["streams"])
        await assert_counts_agree(self.database_url)


@pytest.fixture
async def cloud(database_url: str, redis_url: str) -> AsyncIterator[Cloud]:
    config = settings(database_url, redis_url)
    async with AsyncExitStack() as stack:
        web = await stack.enter_async_context(web_stand(database_url, redis_url))
        token = await add_vehicle(database_url, "a")
        url = await stack.enter_async_context(running_ingest(config))
        await stack.enter_async_context(running_writer(config))
        yield Cloud(url, database_url, token, web)


@pytest.fixture
def card(cloud: Cloud, tmp_path: Path) -> Card:
    return Card(tmp_path / "vehicle", cloud.token, cloud.url, first=0)


async def test_old_image_put_back_loses_and_doubles_nothing_and_is_shown(
    cloud: Cloud, card: Card, tmp_path: Path
) -> None:
    await card.play(100)
    image = card.image(tmp_path / "image")
    await card.play(100)
    assert (await cloud.completeness())["forks"] == []
    card.put_back(image)
    await card.play(100)
    await cloud.assert_all_is_there_once(0, 300)

    streams = [stream["stream"] for stream in (await cloud.completeness())["streams"]]
    assert len(streams) == 3
    assert (await cloud.completeness())["forks"] == [{"before": streams[0], "streams": sorted(streams[1:])}]


async def test_image_of_a_running_agent_put_back_is_told_by_the_vehicle_itself(
    cloud: Cloud, card: Card, tmp_path: Path
) -> None:
    async with card.running():
        await card.status(lambda status: status.settled >= 3)
        image = card.image(tmp_path / "image")
        taken = await card.status(lambda status: True)
        await card.status(lambda status: status.settled >= taken.stored + 10)
    before = await cloud.numbers()
    card.put_back(image)
    async with card.running():
        status = await card.status(lambda status: status.spool.overtaken)
        assert any("AN OLD IMAGE OR A COPY" in line for line in render(status, status))
        await eventually(lambda: cloud.events("spool_overtaken"))
    await card.play(10)  # what the stop left behind arrives, and nothing is told twice

    [told] = await cloud.events("spool_overtaken")
    first, *_ = (await cloud.completeness())["streams"]
    assert told["stream"] == first["stream"]
    assert told["next"] <= told["head"] < first["next"]
    after = await cloud.numbers()
    assert max(after.values()) == 1
    assert before.keys() <= after.keys()
    assert (await cloud.completeness())["forks"] == []
    await assert_counts_agree(cloud.database_url)


async def test_two_agents_with_one_identity_lose_and_double_nothing_and_are_shown(
    cloud: Cloud, card: Card, tmp_path: Path
) -> None:
    await card.play(100)
    twin = Card(tmp_path / "twin", cloud.token, cloud.url, first=10_000)
    twin.home.mkdir()
    card.image(twin.home / "spool")
    async with card.running(), twin.running():
        await card.status(lambda status: status.settled >= 10)
        await twin.status(lambda status: status.settled >= 10)
    await asyncio.gather(card.play(10), twin.play(10))

    numbers = await cloud.numbers()
    assert max(numbers.values()) == 1
    ours, theirs = ({n for n in numbers if (n >= 10_000) == is_twin} for is_twin in (False, True))
    assert ours >= {*range(100), *range(1100, 1110)}
    assert theirs >= set(range(11_000, 11_010))
    whole = await cloud.completeness()
    assert all(not stream["gaps"] and not stream["lost"] for stream in whole["streams"])
    [fork] = whole["forks"]
    assert fork["before"] == whole["streams"][0]["stream"]
    assert len(fork["streams"]) == 2
    await assert_counts_agree(cloud.database_url)


async def test_vehicle_that_starts_again_and_again_is_no_twin(cloud: Cloud, card: Card) -> None:
    for _ in range(4):
        await card.play(20)
    whole = await cloud.completeness()
    assert (len(whole["streams"]), whole["forks"]) == (4, [])
    starts = await cloud.events("agent_started")
    chain = {start["before"]: start["stream"] for start in starts}
    assert [chain.pop(before) for before in (None, *(s["stream"] for s in whole["streams"][:-1]))] == [
        stream["stream"] for stream in whole["streams"]
    ]
    assert await cloud.events("spool_overtaken") == []
