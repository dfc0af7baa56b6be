"""A drive on a virtual CAN goes through agent, ingest, Redis and TimescaleDB to the API, the socket and the browser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, expect, sync_playwright

from tests.acceptance.api import Api
from tests.acceptance.conftest import System, wait_until

CHROMIUM = "/usr/bin/chromium"
WEBGL = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
AGENT = "demo-0001"
SIGNAL = "EngineData.EngineSpeed"
SLOW_MS = 60_000

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("demo")]


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A browser for one test: as long as it lives no other event loop can run on this thread."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=WEBGL)
        yield chromium
        chromium.close()


class Faults:
    """What a page must not do: complain, fail to load something, or ask another host."""

    def __init__(self, page: Page, web: str) -> None:
        self.seen: list[str] = []
        self._host = urlsplit(web).netloc
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.seen.append(f"page error: {error}"))
        page.on("response", self._on_response)
        page.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.seen.append(f"console {message.type}: {message.text}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self.seen.append(f"{response.status} {response.url}")

    def _on_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.netloc != self._host:
            self.seen.append(f"another host: {request.url}")


@pytest.fixture
def page(demo: System, browser: Browser) -> Iterator[tuple[Page, Faults]]:
    """A signed-in page on the fleet."""
    run = demo.run
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    tab = context.new_page()
    tab.set_default_timeout(SLOW_MS)
    faults = Faults(tab, run["web"])
    tab.goto(run["web"])
    tab.get_by_label("User").fill(run["admin_user"])
    tab.get_by_label("Password").fill(run["admin_password"])
    tab.get_by_role("button", name="Sign in").click()
    expect(tab.get_by_role("link", name=AGENT)).to_be_visible(timeout=SLOW_MS)
    yield tab, faults
    context.close()
    assert faults.seen == []


@pytest.fixture(scope="session")
def api(demo: System) -> Api:
    client = Api(demo.run["web"], demo.run["admin_token"])
    wait_until(lambda: _has_moved(client), within_s=180, what=f"all have positions and {AGENT} moves")
    return client


def _has_moved(api: Api) -> bool:
    vehicles = api.vehicles()
    return (
        AGENT in vehicles
        and vehicles[AGENT]["state"] == "driving"
        and all(vehicle["position"] is not None for vehicle in vehicles.values())
    )


def test_the_api_shows_the_whole_fleet(api: Api) -> None:
    vehicles = api.vehicles()
    assert len(vehicles) == 4
    assert all(vehicle["position"] for vehicle in vehicles.values())
    units = {signal["name"]: signal["unit"] for signal in api.get(f"vehicles/{AGENT}/signals")["signals"]}
    assert units[SIGNAL] == "rpm"


def test_an_event_on_the_socket_is_the_one_in_the_database(api: Api, demo: System) -> None:
    t_ms, value = asyncio.run(_next_value_on_the_socket(demo.run))

    def is_stored() -> bool:
        series = api.get(
            f"vehicles/{AGENT}/series", signal=SIGNAL, **{"from": _rfc3339(t_ms - 1)}, to=_rfc3339(t_ms + 1), raw="true"
        )["series"]
        column = series.get(SIGNAL, {"t": [], "v": []})
        return (t_ms, value) in zip(column["t"], column["v"], strict=True)

    wait_until(is_stored, within_s=15, what=f"{SIGNAL} = {value} at {t_ms} is in the database")


async def _next_value_on_the_socket(run: dict[str, Any]) -> tuple[int, float]:
    headers = {"Authorization": f"Bearer {run['admin_token']}"}
    async with (
        asyncio.timeout(60),
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(f"{run['web']}/v1/live") as socket,
    ):
        await socket.send_json({"op": "subscribe", "id": 1, "vehicles": [AGENT], "signals": [SIGNAL], "max_hz": 10})
        async for message in socket:
            content = message.json()
            for vehicle in content.get("vehicles", []) if content["op"] == "update" else []:
                if vehicle["id"] == AGENT and SIGNAL in vehicle.get("signals", {}):
                    t_ms, value = vehicle["signals"][SIGNAL]
                    return t_ms, value
    raise AssertionError("the socket closed before a value came")


def _rfc3339(t_ms: int) -> str:
    seconds, milliseconds = divmod(t_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


def test_the_fleet_moves_in_the_browser(api: Api, page: tuple[Page, Faults]) -> None:
    tab, _ = page
    tab.wait_for_function("() => window.__fleetwire.mapReady && window.__fleetwire.connection === 'live'")
    assert tab.evaluate("() => window.__fleetwire.vehicles") == 4
    for name in api.vehicles():
        expect(tab.get_by_role("link", name=name)).to_be_visible()
    rows = tab.locator("[data-vehicle]")
    expect(rows).not_to_have_text(rows.all_inner_texts(), timeout=SLOW_MS)


def test_a_vehicle_shows_live_signals_and_a_chart(api: Api, page: tuple[Page, Faults], demo: System) -> None:
    tab, _ = page
    tab.goto(f"{demo.run['web']}/vehicles/{AGENT}")
    tab.get_by_role("searchbox", name="Search signals").fill("EngineSpeed")
    row = tab.get_by_role("row").filter(has_text="EngineSpeed").first
    expect(row).to_contain_text("rpm")
    before = row.inner_text()
    expect(row).not_to_have_text(before, timeout=SLOW_MS)
    tab.get_by_role("searchbox", name="Search signals").fill("DoorFrontLeft")
    expect(tab.get_by_role("row").filter(has_text="DoorFrontLeft").first).to_contain_text("Closed")
    expect(tab.locator(".uplot canvas").first).to_be_visible()


def test_a_track_has_a_length_and_a_line(api: Api, page: tuple[Page, Faults], demo: System) -> None:
    tab, _ = page
    tab.goto(f"{demo.run['web']}/vehicles/{AGENT}")
    tab.get_by_role("tab", name="Track").or_(tab.get_by_role("link", name="Track")).first.click()
    length = tab.get_by_text(re.compile(r"^\d[\d.,]* (k?m)$")).first
    expect(length).to_be_visible()
    expect(tab.locator("canvas.maplibregl-canvas").first).to_be_visible()

    def geometry() -> dict[str, Any]:
        always = {"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
        found: dict[str, Any] = api.get(f"vehicles/{AGENT}/track", **always)["geometry"]
        return found

    assert geometry()["type"] == "LineString"
    wait_until(lambda: len(geometry()["coordinates"]) > 10, within_s=60, what="ten seconds of the track are stored")
