"""A campaign from the API to what arrives, within one uplink and without a restart; a broken one is refused."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from edge.campaigns.campaign_keeper import campaign_file
from edge.config import load_edge_config
from edge.recordings.recording import open_recording
from edge.service.status_socket import ask_status
from fleetwire.edge_status import render
from tests.fake_cloud import TOKEN, FakeCloud, serve
from tests.integration.test_mqtt import make_stand
from tests.private_services import PrivateServices
from tests.running import add_vehicle, eventually, fetch, running_ingest, running_writer, settings
from tests.running_agent import running_agent
from tests.web_stand import Stand, web_stand
from wire.campaign import campaign_body, read_campaign

pytestmark = pytest.mark.services

DBC = """
VERSION ""
NS_ :
BS_:
BU_: ECU
BO_ 256 Engine: 4 ECU
 SG_ Speed : 0|16@1+ (1,0) [0|0] "rpm" Vector__XXX
 SG_ Gear : 16|8@1+ (1,0) [0|0] "" Vector__XXX
"""
CONFIG = """
vehicle = "a"
[[can]]
interface = "replay"
channel = "drive.log"
loop = true
dbc = ["vehicle.dbc"]
[sampling]
every = true
[batch]
max_age_ms = 200
[uplink]
url = "{url}"
token_file = "token"
"""
WINDOWS = {
    "id": "windows",
    "version": 1,
    "sampling": {
        "off": True,
        "rule": [{"match": "Engine.Speed", "aggregate": ["mean", "count"], "window_ms": 100}],
    },
    "capture": [{"name": "fast", "when": "Speed > 1150", "before_s": 0.2, "after_s": 0.2, "cooldown_s": 0}],
}
BROKEN = WINDOWS | {"version": 2, "capture": [{"name": "fast", "when": "Spead > 1150"}]}


def write_vehicle(folder: Path, url: str, token: str) -> Path:
    """A drive of a second, played again and again: the speed rises to 1,199."""
    (folder / "vehicle.dbc").write_text(DBC)
    frames = (f"({n / 100:.6f}) can0 100#{(1_100 + n).to_bytes(2, 'little').hex()}0100\n" for n in range(100))
    (folder / "drive.log").write_text("".join(frames))
    (folder / "token").write_text(token)
    (folder / "edge.toml").write_text(CONFIG.format(url=url))
    return folder / "edge.toml"


@pytest.fixture
async def stand(database_url: str, redis_url: str) -> AsyncIterator[Stand]:
    async with web_stand(database_url, redis_url) as stand:
        yield stand


async def until_state(stand: Stand, state: str, version: int | None = None) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        shown: dict[str, Any] = await stand.get("/v1/vehicles/a/campaign")
        said = shown["reported"] or {}
        return shown if shown["state"] == state and version in (None, said.get("version")) else None

    found: dict[str, Any] = await eventually(look)
    return found


async def until_sampled(database_url: str, name: str, after_ms: int) -> None:
    query = (
        "SELECT 1 FROM samples s JOIN signals n ON n.id = s.signal_id "
        f"WHERE n.name = '{name}' AND extract(epoch FROM s.ts) * 1000 > {after_ms} LIMIT 1"
    )

    async def look() -> bool:
        return bool(await fetch(database_url, query))

    await eventually(look)


@pytest.mark.parametrize("way", ["http", "mqtt"])
async def test_campaign_changes_what_arrives_and_a_broken_one_is_refused(
    stand: Stand, database_url: str, redis_url: str, private_services: PrivateServices, tmp_path: Path, way: str
) -> None:
    config = settings(database_url, redis_url)
    broker = await make_stand(private_services, database_url, redis_url) if way == "mqtt" else None
    if broker is not None:
        config = broker.config
    async with running_ingest(config) as ingest, running_writer(config):
        token = await broker.add_vehicle("a") if broker else await add_vehicle(database_url, "a")
        path = write_vehicle(tmp_path, broker.address if broker else ingest, token)
        vehicle = "/v1/vehicles/a/campaign"
        async with running_agent(load_edge_config(path)):
            await until_sampled(database_url, "Engine.Speed", 0)
            await stand.send("POST", "/v1/campaigns", body=WINDOWS, expect=201)
            await stand.send("PUT", vehicle, body={"campaign": "windows"}, expect=200)
            applied_ms = (await until_state(stand, "active", 1))["reported"]["t"]
            await until_sampled(database_url, "Engine.Speed:mean", applied_ms)

            await stand.send("PUT", "/v1/campaigns/windows", body=BROKEN, expect=200)
            await stand.send("PUT", vehicle, body={"campaign": "windows"}, expect=200)
            refused = (await until_state(stand, "refused", 2))["reported"]
            assert "no signal 'Spead'; did you mean 'Speed'?" in refused["reason"]
            assert refused["instead"] == "windows 1"
            await until_sampled(database_url, "Engine.Speed:mean", refused["t"])

        async with running_agent(load_edge_config(path)):
            again = await eventually(lambda: newer_refusal(stand, refused["t"]))
            assert again["reported"]["instead"] == "windows 1"
            await stand.send("DELETE", vehicle, expect=204)
            own_ms = (await until_state(stand, "none"))["reported"]["t"]
            await until_sampled(database_url, "Engine.Gear", own_ms)
    raw = await fetch(
        database_url,
        "SELECT count(*) FROM samples s JOIN signals n ON n.id = s.signal_id "
        "WHERE n.name IN ('Engine.Speed', 'Engine.Gear') "
        f"AND extract(epoch FROM s.ts) * 1000 BETWEEN {applied_ms + 1} AND {own_ms - 1}",
    )
    assert raw[0]["count"] == 0, "not one sample as the old settings had it after the campaign was applied"
    (span,) = (await stand.get("/v1/events", kind="capture", limit=1))["events"]
    assert span["data"]["capture"] == "fast"
    text, _ = await stand.text("/v1/vehicles/a/frames", format="candump")
    (tmp_path / "captured.log").write_text(text)
    speeds = [int.from_bytes(frame.data[:2], "little") for frame in open_recording(tmp_path / "captured.log")]
    assert 1_150 in speeds
    assert 1_151 in speeds


async def newer_refusal(stand: Stand, after_ms: int) -> dict[str, Any] | None:
    shown: dict[str, Any] = await stand.get("/v1/vehicles/a/campaign")
    said = shown["reported"]
    return shown if said["state"] == "refused" and said["t"] > after_ms else None


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[tuple[FakeCloud, Path]]:
    cloud = FakeCloud()
    async with serve(cloud) as url:
        yield cloud, write_vehicle(tmp_path, url, TOKEN)


def told(cloud: FakeCloud) -> list[dict[str, Any]]:
    ordered = [cloud.batches[name] for name in sorted(cloud.batches)]
    return [event.data for batch in ordered for event in batch.events if event.kind == "campaign"]


def has_told(cloud: FakeCloud, state: str, version: int) -> Callable[[], bool]:
    return lambda: any(said["state"] == state and said.get("version") == version for said in told(cloud))


async def test_it_is_applied_with_the_reply_that_names_it(fake: tuple[FakeCloud, Path]) -> None:
    cloud, path = fake
    async with running_agent(load_edge_config(path)):
        await cloud.until(lambda: len(cloud.requests) >= 2 and bool(cloud.batches))
        meant_at = len(cloud.requests)
        cloud.campaign = campaign_body(read_campaign(WINDOWS))
        await cloud.until(has_told(cloud, "active", 1))
        await cloud.until(lambda: any("Engine.Speed:mean" in batch.signals for batch in cloud.batches.values()))
    assert cloud.campaigns_given == [meant_at + 1], "once, with the first reply that named it"
    (applied_ms,) = [e.t for batch in cloud.batches.values() for e in batch.events if e.kind == "campaign"]
    of_before = [
        batch.t0 + column.dt[-1]
        for batch in cloud.batches.values()
        for name, column in batch.signals.items()
        if name == "Engine.Gear"
    ]
    assert max(of_before) <= applied_ms


async def test_it_is_there_after_a_restart_without_asking_again(fake: tuple[FakeCloud, Path]) -> None:
    cloud, path = fake
    cloud.campaign = campaign_body(read_campaign(WINDOWS))
    async with running_agent(load_edge_config(path)):
        await cloud.until(has_told(cloud, "active", 1))
    before = set(cloud.batches)
    async with running_agent(load_edge_config(path)):
        await cloud.until(
            lambda: any("Engine.Speed:mean" in cloud.batches[n].signals for n in cloud.batches if n not in before)
        )
    assert len(cloud.campaigns_given) == 1
    fresh = [cloud.batches[name] for name in cloud.batches if name not in before]
    assert not any("Engine.Gear" in batch.signals for batch in fresh)
    assert len(told(cloud)) == 2


async def test_status_tells_the_campaign_and_its_captures(fake: tuple[FakeCloud, Path]) -> None:
    cloud, path = fake
    cloud.campaign = campaign_body(read_campaign(WINDOWS))
    spool = load_edge_config(path).spool.path
    async with running_agent(load_edge_config(path)):
        await cloud.until(lambda: any(batch.frames for batch in cloud.batches.values()))
        cloud.campaign = campaign_body(read_campaign(BROKEN))
        await cloud.until(has_told(cloud, "refused", 2))
        status = await ask_status(spool)
    assert status.campaign is not None
    assert status.captures is not None
    assert (status.campaign.state, status.campaign.instead) == ("refused", "windows 1")
    assert status.captures.taken["fast"] >= 1
    text = "\n".join(render(status, status))
    assert "campaign: REFUSED windows 2: capture 'fast'" in text
    assert "fast" in next(line for line in text.splitlines() if line.startswith("captures: "))
    assert campaign_file(spool).exists()


async def test_file_that_no_longer_fits_the_databases_does_not_stop_the_agent(fake: tuple[FakeCloud, Path]) -> None:
    cloud, path = fake
    cloud.campaign = campaign_body(read_campaign(WINDOWS))
    async with running_agent(load_edge_config(path)):
        await cloud.until(has_told(cloud, "active", 1))
    (path.parent / "vehicle.dbc").write_text(DBC.replace("Speed", "Rpm"))
    async with running_agent(load_edge_config(path)):
        await cloud.until(has_told(cloud, "refused", 1))
        await cloud.until(lambda: any("Engine.Rpm" in batch.signals for batch in cloud.batches.values()))
    assert told(cloud)[-1]["instead"] == "its own file"
