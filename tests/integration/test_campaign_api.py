"""Campaigns and captured frames over the history API, on the real database."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cloud.campaigns import Assigned, standing
from edge.recordings.recording import open_recording
from fleetwire.admin import admin
from tests.web_stand import Stand, batch, now_ms, web_stand

T0 = 1_627_274_455_000
DOCUMENT = {
    "id": "harsh-braking",
    "version": 1,
    "sampling": {"rule": [{"match": "EEC1.*", "aggregate": ["mean"], "window_ms": 1000}]},
    "capture": [{"name": "brake", "when": "speed > 80 and BrakePedal == 1"}],
}


@pytest.fixture
async def stand(database_url: str, redis_url: str) -> AsyncIterator[Stand]:
    async with web_stand(database_url, redis_url) as stand:
        yield stand


async def test_campaign_is_kept_by_version_and_a_version_never_changes(stand: Stand) -> None:
    made = await stand.send("POST", "/v1/campaigns", body=DOCUMENT, expect=201)
    assert (made["id"], made["version"], made["versions"], made["vehicles"]) == ("harsh-braking", 1, [1], 0)
    again = await stand.send("POST", "/v1/campaigns", body=DOCUMENT, expect=409)
    assert "PUT a newer version" in again["detail"]
    path = "/v1/campaigns/harsh-braking"
    assert await stand.send("PUT", path, body=DOCUMENT, expect=200) == made, "the very same changes nothing"
    changed = await stand.send("PUT", path, body=DOCUMENT | {"note": "other"}, expect=409)
    assert "give this one version 2" in changed["detail"]
    newer = await stand.send("PUT", path, body=DOCUMENT | {"note": "other", "version": 7}, expect=200)
    assert newer["versions"] == [7, 1]
    assert newer["etag"] != made["etag"]
    assert (await stand.get(path))["campaign"]["note"] == "other"
    assert (await stand.get(path, version=1))["etag"] == made["etag"]
    assert "it has 7, 1" in (await stand.get(path, version=2, expect=404))["detail"]
    (listed,) = (await stand.get("/v1/campaigns"))["campaigns"]
    assert (listed["version"], listed["note"], listed["created_by"]) == (7, "other", "token:admin")
    wrong = await stand.send("PUT", "/v1/campaigns/other", body=DOCUMENT, expect=400)
    assert "the document is of 'harsh-braking'" in wrong["detail"]
    audited = await stand.db.fetch("SELECT action FROM audit_log WHERE action LIKE 'campaign.%'")
    assert len(audited) == 3


async def test_broken_campaign_is_refused_with_its_place(stand: Stand) -> None:
    broken = DOCUMENT | {"capture": [{"name": "b", "when": "speed > 80 & BrakePedal"}]}
    detail = (await stand.send("POST", "/v1/campaigns", body=broken, expect=400))["detail"]
    assert detail.startswith("capture.0.when: at character 12: '&' is not known here; write 'and'")
    assert (await stand.get("/v1/campaigns"))["campaigns"] == []


async def test_only_an_admin_changes_campaigns(stand: Stand) -> None:
    await stand.send("POST", "/v1/campaigns", body=DOCUMENT, who="viewer", expect=403)
    await stand.send("PUT", "/v1/vehicles/a/campaign", body={"campaign": "x"}, who="viewer", expect=403)


async def test_vehicle_is_given_a_campaign_and_another_and_none(stand: Stand) -> None:
    path = "/v1/vehicles/a/campaign"
    assert (await stand.get(path)) == {"vehicle": "a", "state": "none", "assigned": None, "reported": None}
    missing = await stand.send("PUT", path, body={"campaign": "harsh-braking"}, expect=404)
    assert "there is no campaign 'harsh-braking'" in missing["detail"]
    made = await stand.send("POST", "/v1/campaigns", body=DOCUMENT, expect=201)
    await stand.send("PUT", "/v1/campaigns/harsh-braking", body=DOCUMENT | {"version": 2}, expect=200)
    newest = await stand.send("PUT", path, body={"campaign": "harsh-braking"}, expect=200)
    assert (newest["state"], newest["assigned"]["version"]) == ("pending", 2)
    given = await stand.send("PUT", path, body={"campaign": "harsh-braking", "version": 1}, expect=200)
    assert (given["assigned"]["etag"], given["assigned"]["by"]) == (made["etag"], "token:admin")
    in_use = await stand.send("DELETE", "/v1/campaigns/harsh-braking", expect=409)
    assert "1 vehicles go by" in in_use["detail"]
    assert (await stand.get("/v1/campaigns"))["campaigns"][0]["vehicles"] == 1
    await stand.send("DELETE", path, expect=204)
    await stand.send("DELETE", path, expect=204)
    await stand.send("DELETE", "/v1/campaigns/harsh-braking", expect=204)
    await stand.send("DELETE", "/v1/campaigns/harsh-braking", expect=404)
    assert (await stand.get(path))["assigned"] is None


async def test_last_word_of_the_vehicle_is_shown(stand: Stand) -> None:
    etag = (await stand.send("POST", "/v1/campaigns", body=DOCUMENT, expect=201))["etag"]
    path, now = "/v1/vehicles/a/campaign", now_ms()
    await stand.send("PUT", path, body={"campaign": "harsh-braking"}, expect=200)
    refusal = {"state": "refused", "id": "harsh-braking", "version": 1, "etag": etag, "reason": "no 'BrakePedal'"}
    await stand.write(batch("a", t0=now, events=[{"t": now, "kind": "campaign", "data": refusal}]))
    shown = await stand.get(path)
    assert (shown["state"], shown["reported"]["reason"]) == ("refused", "no 'BrakePedal'")
    accepted = {"state": "active", "id": "harsh-braking", "version": 1, "etag": etag, "idle": ["X.*", 3], "reason": 7}
    await stand.write(batch("a", seq=1, t0=now, events=[{"t": now + 1, "kind": "campaign", "data": accepted}]))
    shown = await stand.get(path)
    assert (shown["state"], shown["reported"]["t"]) == ("active", now + 1)
    assert (shown["reported"]["idle"], shown["reported"]["reason"]) == (["X.*"], None)


@pytest.mark.parametrize(
    ("assigned", "reported", "state"),
    [
        (None, None, "none"),
        ("1", None, "pending"),
        ("1", {"etag": "1", "state": "active"}, "active"),
        ("2", {"etag": "1", "state": "active"}, "pending"),
        ("1", {"etag": "1", "state": "refused"}, "refused"),
        (None, {"etag": "1", "state": "active"}, "pending"),
        (None, {"etag": "1", "state": "refused"}, "none"),
        (None, {"etag": "none", "state": "none"}, "none"),
    ],
)
def test_standing_is_between_what_is_meant_and_what_was_said(
    assigned: str | None, reported: dict[str, str] | None, state: str
) -> None:
    meant = None if assigned is None else Assigned("c", 1, assigned, at=None, by="")  # type: ignore[arg-type]
    assert standing(meant, reported) == state


async def test_frames_come_in_pages_in_the_order_in_which_they_were_heard(stand: Stand) -> None:
    count = 250
    block = {
        "bus": "can 0",
        "dt": [n // 5 for n in range(count)],
        "id": [0x100 if n % 2 else 0x80000007 for n in range(count)],
        "data": [f"{n:04x}" for n in range(count)],
    }
    other = {"bus": "b", "dt": [0], "id": [0x18FEF100], "data": ["aa" * 12]}
    await stand.write(batch("a", t0=T0, frames=[block, other]))
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = await stand.get("/v1/vehicles/a/frames", bus="can 0", limit=7, **after)
        assert len(page["data"]) <= 7
        found += page["data"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert found == block["data"]
    whole = await stand.get("/v1/vehicles/a/frames", from_="2021-07-26T04:40:55Z", to="2021-07-26T04:40:55.001Z")
    assert (len(whole["t"]), whole["t"][0], set(whole["bus"])) == (6, T0, {"can 0", "b"})
    assert (0x7, True) in zip(whole["id"], whole["extended"], strict=True)
    assert (await stand.get("/v1/vehicles/a/frames", to="2021-07-26T00:00:00Z"))["t"] == []
    await stand.get("/v1/vehicles/x/frames", expect=404)


async def test_frames_as_a_candump_log_are_read_by_our_own_reader(stand: Stand, tmp_path: Path) -> None:
    block = {"bus": "can 0", "dt": [0, 0, 5], "id": [0x100, 0x80000007, 0x18FEF100], "data": ["00ff", "", "11" * 16]}
    await stand.write(batch("a", t0=T0, frames=[block]))
    text, headers = await stand.text("/v1/vehicles/a/frames", format="candump")
    assert headers["Content-Disposition"] == 'attachment; filename="a.log"'
    (tmp_path / "a.log").write_text(text)
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(text.encode()))
    wanted = [
        (T0 * 1_000_000, "can_0", 0x100, False, b"\x00\xff"),
        (T0 * 1_000_000 + 1000, "can_0", 0x7, True, b""),
        (T0 * 1_000_000 + 5_000_000, "can_0", 0x18FEF100, True, b"\x11" * 16),
    ]
    assert list(open_recording(tmp_path / "a.log")) == wanted
    assert list(open_recording(tmp_path / "a.log.gz")) == wanted


async def test_command_line_keeps_gives_and_shows(stand: Stand, database_url: str, tmp_path: Path) -> None:
    async def run(*arguments: object, expect: int = 0) -> str:
        env = {"FLEETWIRE_DATABASE_URL": database_url, "FLEETWIRE_REDIS_URL": "redis://127.0.0.1:1"}
        words = ["campaign", *map(str, arguments)]
        result = await asyncio.to_thread(CliRunner().invoke, admin, words, env=env)
        assert result.exit_code == expect, result.output
        return result.output

    file = tmp_path / "c.toml"
    file.write_text('id = "calm"\nversion = 1\nnote = "less"\n[sampling]\nmin_interval_ms = 1000\n')
    assert "calm 1 is kept" in await run("add", file)
    file.write_text(file.read_text().replace("1000", "2000"))
    assert "give this one version 2" in await run("add", file, expect=1)
    assert "there is no campaign 'storm'" in await run("assign", "a", "storm", expect=1)
    assert "there is no vehicle 'x'" in await run("assign", "x", "calm", expect=1)
    assert "a is to go by calm 1" in await run("assign", "a", "calm")
    assert await run("list") == "calm  1  1 vehicles  less\n"
    assert "a: pending; meant is calm 1, by command line" in await run("show", "a")
    now = now_ms()
    refusal = {"state": "refused", "etag": "?", "id": "calm", "version": 1, "reason": "no 'BrakePedal'"}
    await stand.write(batch("a", t0=now, events=[{"t": now, "kind": "campaign", "data": refusal}]))
    assert "it said: refused calm 1\nreason: no 'BrakePedal'" in await run("show", "a")
    shown = json.loads(await run("show", "a", "--json"))
    assert (shown["state"], shown["assigned"]["version"], shown["reported"]["state"]) == ("pending", 1, "refused")
    await run("unassign", "a")
    assert (await stand.get("/v1/vehicles/a/campaign"))["assigned"] is None
    audited = await stand.db.fetch("SELECT action FROM audit_log WHERE actor = 'command line' ORDER BY id")
    assert [row["action"] for row in audited] == ["campaign.put", "vehicle.campaign", "vehicle.campaign"]
