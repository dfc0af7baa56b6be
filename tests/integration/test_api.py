"""The history API on the real database."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloud.api.cursor import write_cursor
from cloud.api.times import END, to_us
from cloud.streams.entries import batch_item
from tests.web_stand import PASSWORD, SHARDS, STREAM, Stand, batch, column, now_ms, web_stand
from wire.envelope import StreamClaim
from wire.names import shard_of

T0 = 1_627_274_455_000  # 2021-07-26T04:40:55Z
DAY = "2021-07-26"


@pytest.fixture
async def stand(database_url: str, redis_url: str) -> AsyncIterator[Stand]:
    async with web_stand(database_url, redis_url) as stand:
        yield stand


def at(ms: int) -> str:
    return (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms)).isoformat()


async def test_nothing_is_open_without_a_credential(stand: Stand) -> None:
    document = await stand.get("/v1/openapi.json")
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if operation.get("security") == []:
                continue
            url = stand.url(path.replace("{id}", "a").replace("{name}", "admin"))
            async with stand.http.request(method, url) as response:
                assert (response.status, response.content_type) == (401, "application/problem+json"), (method, path)
    for path in ("/v1/live", "/v1/nothing"):
        async with stand.http.get(stand.url(path)) as response:
            assert response.status == 401


async def test_viewer_may_look_and_not_administrate(stand: Stand) -> None:
    problem = await stand.get("/v1/users", expect=403)
    assert problem["detail"] == "this needs the role admin, and 'token:viewer' is viewer"


async def test_session_opens_with_the_password_and_ends(stand: Stand) -> None:
    async with stand.http.post(stand.url("/v1/session"), json={"user": "admin", "password": PASSWORD}) as response:
        assert await response.json() == {"user": "admin", "role": "admin"}
        cookie = response.cookies["fleetwire_session"]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
    async with stand.http.get(stand.url("/v1/session")) as response:
        assert await response.json() == {"user": "admin", "role": "admin"}
    async with stand.http.delete(stand.url("/v1/session"), headers={"Origin": "http://evil.example"}) as response:
        assert response.status == 403
    async with stand.http.delete(stand.url("/v1/session")) as response:
        assert response.status == 204
    stand.http.cookie_jar.update_cookies({"fleetwire_session": cookie.value})
    async with stand.http.get(stand.url("/v1/session")) as response:
        assert response.status == 401


async def test_guessing_passwords_is_slowed_down(stand: Stand) -> None:
    statuses = []
    for _ in range(7):
        async with stand.http.post(stand.url("/v1/session"), json={"user": "admin", "password": "x"}) as response:
            statuses.append(response.status)
            retry_after = response.headers.get("Retry-After")
    assert statuses == [401] * 5 + [429] * 2
    assert retry_after == "1"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://["])
async def test_sign_in_from_a_foreign_page_is_refused(stand: Stand, origin: str) -> None:
    async with stand.http.post(
        stand.url("/v1/session"),
        json={"user": "admin", "password": PASSWORD},
        headers={"Origin": origin},
    ) as response:
        assert response.status == 403


async def test_vehicles_come_in_pages_with_state_and_position(stand: Stand) -> None:
    now = now_ms()
    fixes = {"dt": [0, 1000], "lat": [60.0, 60.1], "lon": [25.0, 25.1], "speed": [50.0, 0.0], "alt": [1.0, None]}
    await stand.write(
        batch("a", t0=now - 30_000, fixes=fixes),
        batch("b", t0=now - 90_000, signals={"EngineData.EngineSpeed": column((0, 0.0), (1, 800.0))}),
    )
    first = await stand.get("/v1/vehicles", limit=2)
    position = {"t": now - 29_000, "lat": 60.1, "lon": 25.1, "speed": 0.0, "course": None, "alt": None}
    assert first["vehicles"] == [
        {"id": "a", "name": "a", "state": "driving", "last_seen": now - 29_000, "position": position},
        {"id": "b", "name": "b", "state": "idling", "last_seen": now - 89_999, "position": None},
    ]
    last = await stand.get("/v1/vehicles", limit=2, after=first["next"])
    assert last == {
        "vehicles": [{"id": "c", "name": "c", "state": "offline", "last_seen": None, "position": None}],
        "next": None,
    }
    assert [v["id"] for v in (await stand.get("/v1/vehicles", q="B"))["vehicles"]] == ["b"]
    assert (await stand.get("/v1/vehicles/a"))["position"] == position


async def test_a_fleet_sees_only_its_own(stand: Stand) -> None:
    await stand.write(batch("a", t0=T0, signals={"M.S": column((0, 1.0))}, events=[{"t": T0, "kind": "dtc"}]))
    assert [v["id"] for v in (await stand.get("/v1/vehicles", who="stranger"))["vehicles"]] == ["other"]
    assert (await stand.get("/v1/events", who="stranger"))["events"] == []
    assert (await stand.get("/v1/reports/daily", who="stranger", from_=DAY, to=DAY))["rows"] == []
    for path in ("", "/signals", "/latest", "/series?signal=M.S", "/track", "/completeness"):
        problem = await stand.get(f"/v1/vehicles/a{path}", who="stranger", expect=404)
        assert problem["detail"] == "there is no vehicle 'a'; GET /v1/vehicles lists them"
    await stand.send("POST", "/v1/vehicles/a/credentials", who="stranger", expect=404)
    await stand.send("DELETE", "/v1/tokens/viewer", who="stranger", expect=404)


async def test_signals_and_latest(stand: Stand) -> None:
    await stand.write(batch(t0=T0, signals={"M.S": column((0, 1.0), (5, 0.1 + 0.2)), "M.T": column((0, -1e300))}))
    await stand.db.execute("""UPDATE signals SET unit = 'V', min = 0, choices = '{"1":"On"}' WHERE name = 'M.S'""")
    assert (await stand.get("/v1/vehicles/a/signals"))["signals"] == [
        {"name": "M.S", "unit": "V", "min": 0.0, "max": None, "choices": {"1": "On"}},
        {"name": "M.T", "unit": None, "min": None, "max": None, "choices": None},
    ]
    latest = await stand.get("/v1/vehicles/a/latest")
    assert latest == {
        "signals": {"M.S": {"t": T0 + 5, "v": 0.1 + 0.2}, "M.T": {"t": T0, "v": -1e300}},
        "position": None,
        "state": "offline",
        "last_seen": T0 + 5,
    }


async def test_raw_series_pages_through_every_sample_in_order(stand: Stand) -> None:
    """Many samples share a ms: their order and number survive whatever the page size."""
    values = {"M.S": [(n // 7, n * 0.1) for n in range(100)], "M.T": [(n // 3, float(-n)) for n in range(40)]}
    await stand.write(batch(t0=T0, signals={name: column(*samples) for name, samples in values.items()}))
    for limit in (1, 3, 50, 1000):
        read: dict[str, list[tuple[int, float]]] = {name: [] for name in values}
        after: dict[str, Any] = {}
        while True:
            page = await stand.get("/v1/vehicles/a/series", signal=["M.S", "M.T"], raw="true", limit=limit, **after)
            got = {name: list(zip(s["t"], s["v"], strict=True)) for name, s in page["series"].items()}
            assert sum(map(len, got.values())) <= limit
            for name, samples in got.items():
                read[name] += samples
            if page["next"] is None:
                break
            after = {"after": page["next"]}
        assert read == {name: [(T0 + dt, v) for dt, v in samples] for name, samples in values.items()}


async def test_raw_series_span_is_half_open(stand: Stand) -> None:
    await stand.write(batch(t0=T0, signals={"M.S": column(*((n, float(n)) for n in range(10)))}))
    page = await stand.get("/v1/vehicles/a/series", signal="M.S", raw="true", from_=at(T0 + 2), to=at(T0 + 5))
    assert page == {"series": {"M.S": {"unit": None, "t": [T0 + 2, T0 + 3, T0 + 4], "v": [2, 3, 4]}}, "next": None}


async def test_series_is_thinned_to_points(stand: Stand) -> None:
    await stand.write(batch(t0=T0, signals={"M.S": column(*((n * 10, float(n % 5)) for n in range(1000)))}))
    series = await stand.get("/v1/vehicles/a/series", signal="M.S", points=10, from_=at(T0), to=at(T0 + 10_000))
    assert series["series"]["M.S"] == {
        "unit": None,
        "t": [T0 + n * 1000 for n in range(10)],
        "min": [0.0] * 10,
        "max": [4.0] * 10,
        "mean": [2.0] * 10,
        "n": [100] * 10,
    }
    whole = (await stand.get("/v1/vehicles/a/series", signal="M.S", points=7))["series"]["M.S"]
    assert len(whole["t"]) <= 7
    assert (sum(whole["n"]), whole["t"][0]) == (1000, T0)


async def test_mean_of_huge_values_does_not_overflow(stand: Stand) -> None:
    await stand.write(batch(t0=T0, signals={"M.S": column((0, 1.7e308), (1, 1.7e308))}))
    series = await stand.get("/v1/vehicles/a/series", signal="M.S", points=1)
    assert series["series"]["M.S"]["mean"] == [1.7e308]


async def test_series_of_an_unknown_signal_names_the_nearest(stand: Stand) -> None:
    await stand.write(batch(t0=T0, signals={"Engine.Speed": column((0, 1.0))}))
    problem = await stand.get("/v1/vehicles/a/series", signal="Engine.Sped", expect=404)
    assert problem["detail"] == "there is no signal 'Engine.Sped'; did you mean 'Engine.Speed'?"
    empty = await stand.get("/v1/vehicles/b/series", signal="Engine.Speed")
    assert empty["series"]["Engine.Speed"]["t"] == []


async def test_cursor_of_another_query_is_refused(stand: Stand) -> None:
    await stand.write(batch(t0=T0, signals={name: column((0, 1.0), (1, 2.0)) for name in ("M.S", "M.T")}))
    page = await stand.get("/v1/vehicles/a/series", signal="M.S", raw="true", limit=1)
    problem = await stand.get(
        "/v1/vehicles/a/series", signal=["M.S", "M.T"], raw="true", after=page["next"], expect=400
    )
    assert "same signals" in problem["detail"]


async def test_track_in_every_format_and_in_pages(stand: Stand) -> None:
    lat = [60 + n / 1000 for n in range(9)]
    fixes = {"dt": [0, 0, 0, 0, 10, 20, 20, 30, 30], "lat": lat, "lon": [25.0] * 9, "speed": [*range(8), None]}
    await stand.write(batch(t0=T0, fixes=fixes))
    track = await stand.get("/v1/vehicles/a/track", from_=at(T0), to=at(T0 + 1000))
    assert [latitude for _, latitude in track["geometry"]["coordinates"]] == lat
    assert track["properties"]["speeds"] == [*map(float, range(8)), None]
    assert track["properties"]["from"] == T0
    read: list[float] = []
    after: dict[str, str] = {}
    while True:
        page = await stand.get("/v1/vehicles/a/track", limit=2, **after)
        coordinates = page["geometry"]["coordinates"]
        read += [at[1] for at in (coordinates if page["geometry"]["type"] == "LineString" else [coordinates])]
        if page["properties"]["next"] is None:
            break
        after = {"after": page["properties"]["next"]}
    assert read == lat
    for name, kind in (("gpx", "application/gpx+xml"), ("csv", "text/csv")):
        text, headers = await stand.text("/v1/vehicles/a/track", format=name)
        assert headers["Content-Type"].startswith(kind)
        assert headers["Content-Disposition"] == f'attachment; filename="a.{name}"'
        assert all(str(latitude) in text for latitude in lat)


async def test_completeness_accounts_for_every_number(stand: Stand) -> None:
    await stand.write(
        *(batch(seq=seq, t0=T0, signals={"M.S": column((seq, 1.0))}) for seq in (0, 1, 4)),
        claims=(StreamClaim(stream=STREAM, next=10, lost=((2, 2, "evicted"), (3, 3, "damaged"))),),
    )
    item = batch_item("a", STREAM, 6, b"{}")
    await stand.bus.admit(shard_of("a", SHARDS), [item])
    [stream] = (await stand.get("/v1/vehicles/a/completeness"))["streams"]
    assert stream == {
        "stream": STREAM,
        "next": 10,
        "received": [[0, 1], [4, 4]],
        "dead": [],
        "lost": [{"from": 2, "to": 2, "cause": "evicted"}, {"from": 3, "to": 3, "cause": "damaged"}],
        "gaps": [[5, 9]],
        "pending": True,
        "samples": 3,
        "fixes": 0,
        "events": 0,
        "erased": 0,
    }
    await stand.store.bury("a", STREAM, 5, problem="x", payload=b"")
    [stream] = (await stand.get("/v1/vehicles/a/completeness"))["streams"]
    assert (stream["dead"], stream["gaps"]) == ([[5, 5]], [[6, 9]])
    assert (await stand.get("/v1/vehicles/b/completeness"))["streams"] == []


async def test_events_newest_first_in_pages(stand: Stand) -> None:
    events = [{"t": T0 + n // 2, "kind": "dtc" if n % 2 else "clock", "data": {"n": n}} for n in range(9)]
    await stand.write(batch(t0=T0, events=events))
    read: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = await stand.get("/v1/events", limit=2, **after)
        read += page["events"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert [event["t"] for event in read] == sorted((event["t"] for event in events), reverse=True)
    assert sorted(event["data"]["n"] for event in read) == list(range(9))
    some = await stand.get("/v1/events", vehicle="a", kind="dtc", from_=at(T0 + 1), to=at(T0 + 3))
    assert some["events"] == [
        {"vehicle": "a", "t": T0 + 2, "kind": "dtc", "data": {"n": 5}},
        {"vehicle": "a", "t": T0 + 1, "kind": "dtc", "data": {"n": 3}},
    ]
    await stand.get("/v1/events", vehicle="nobody", expect=404)


async def test_daily_report_sums_each_day(stand: Stand) -> None:
    midnight = 1_627_344_000_000  # 2021-07-27
    degree_m = 6_371_008.8 * 3.141592653589793 / 180
    fixes = {
        "dt": [0, 10_000, 20_000, 90_000, 100_000],
        "lat": [0.0, 0.001, 0.002, 0.003, 0.004],
        "lon": [0.0] * 5,
        "speed": [40.0, 40.0, None, 40.0, 1.0],
    }
    await stand.write(
        batch(t0=midnight - 20_000, fixes=fixes, signals={"M.S": column((0, 1.0), (30_000, 2.0))}),
        batch("b", t0=midnight, events=[{"t": midnight + 5, "kind": "dtc"}]),
    )
    report = await stand.get("/v1/reports/daily", from_=DAY, to="2021-07-27")
    assert report["next"] is None
    first, second, third = report["rows"]
    assert (first["vehicle"], first["day"], first["fixes"], first["samples"]) == ("a", "2021-07-26", 2, 1)
    assert first["distance_km"] == pytest.approx(0.001 * degree_m / 1000, abs=1e-6)
    assert (first["driving_s"], first["max_speed_kmh"]) == (10.0, 40.0)
    assert (second["day"], second["fixes"], second["samples"]) == ("2021-07-27", 3, 1)
    # The step into the day counts, one of 70 s is no driving, nor is one at 1 km/h.
    assert second["distance_km"] == pytest.approx(0.003 * degree_m / 1000, abs=1e-6)
    assert (second["driving_s"], second["first_seen"], second["last_seen"]) == (10.0, midnight, midnight + 80_000)
    assert third == {
        "vehicle": "b",
        "day": "2021-07-27",
        "distance_km": 0.0,
        "driving_s": 0.0,
        "max_speed_kmh": None,
        "first_seen": midnight + 5,
        "last_seen": midnight + 5,
        "samples": 0,
        "fixes": 0,
        "events": 1,
    }
    alone = await stand.get("/v1/reports/daily", from_="2021-07-27", to="2021-07-27", vehicle="a")
    assert alone["rows"] == [second]
    text, headers = await stand.text("/v1/reports/daily", from_=DAY, to=DAY, format="csv")
    assert headers["Content-Type"].startswith("text/csv")
    [row] = csv.DictReader(io.StringIO(text))
    assert (row["vehicle"], row["day"], row["samples"]) == ("a", DAY, "1")
    assert [r["name"] for r in (await stand.get("/v1/reports"))["reports"]] == ["daily"]


async def test_tokens_users_and_device_tokens_come_and_go(stand: Stand) -> None:
    made = await stand.send("POST", "/v1/tokens", body={"name": "bi", "role": "viewer"}, expect=201)
    headers = {"Authorization": f"Bearer {made['token']}"}
    async with stand.http.get(stand.url("/v1/vehicles"), headers=headers) as response:
        assert response.status == 200
    await stand.send("POST", "/v1/tokens", body={"name": "bi", "role": "viewer"}, expect=409)
    assert "bi" in [t["name"] for t in (await stand.get("/v1/tokens", who="admin"))["tokens"]]
    await stand.send("DELETE", "/v1/tokens/bi", expect=204)
    async with stand.http.get(stand.url("/v1/vehicles"), headers=headers) as response:
        assert response.status == 401
    await stand.send("POST", "/v1/users", body={"name": "eve", "password": "longenough", "role": "viewer"}, expect=201)
    problem = await stand.send("POST", "/v1/users", body={"name": "x", "password": "short", "role": "king"}, expect=400)
    assert "password" in problem["detail"]
    assert "role" in problem["detail"]
    assert "short" not in str(problem)
    await stand.send("DELETE", "/v1/users/eve", expect=204)
    assert "last admin" in (await stand.send("DELETE", "/v1/users/admin", expect=409))["detail"]
    device = await stand.send("POST", "/v1/vehicles/a/credentials", expect=201)
    assert device["token"].startswith("fwd_")
    invite = await stand.send("POST", "/v1/vehicles/a/invites?valid_s=3600", expect=201)
    assert (invite["vehicle"], len(invite["code"])) == ("a", 23)
    await stand.send("POST", "/v1/vehicles/a/invites?valid_s=1", expect=400)
    await stand.send("POST", "/v1/vehicles/a/invites", who="stranger", expect=404)
    await stand.send("DELETE", "/v1/vehicles/a/credentials", expect=204)
    actions = [row["action"] for row in await stand.db.fetch("SELECT action FROM audit_log ORDER BY id")]
    assert actions == [
        "token.add",
        "token.revoke",
        "user.add",
        "user.delete",
        "device_token.add",
        "vehicle.invite",
        "device_token.revoke",
    ]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/vehicle", 404, "GET /v1/openapi.json lists"),
        ("/v1/vehicles?lmit=1", 400, "did you mean 'limit'"),
        ("/v1/vehicles?after=zzz", 400, "no cursor of this list"),
        ("/v1/vehicles/a/track?from=1627274455000", 400, "no RFC 3339 time"),
        ("/v1/vehicles/a%00", 400, "no such value"),
        ("/v1/vehicles?q=%00", 400, "no such value"),
        (f"/v1/vehicles?after={write_cursor(chr(0))}", 400, "no such value"),
    ],
)
async def test_errors_say_what_to_do(stand: Stand, path: str, status: int, words: str) -> None:
    problem = await stand.get(path, expect=status)
    assert words in problem["detail"]
    assert (problem["status"], problem["type"]) == (status, "about:blank")


@pytest.mark.parametrize(
    "path",
    [
        f"/v1/events?after={write_cursor((to_us(END), 0))}",
        "/v1/reports/daily?to=0001-01-01",
        "/v1/reports/daily?from=9999-12-31",
    ],
)
async def test_the_ends_of_time_are_times(stand: Stand, path: str) -> None:
    await stand.get(path)


async def test_report_as_csv_is_whole_or_refused(stand: Stand) -> None:
    await stand.db.execute(
        "INSERT INTO vehicles (fleet_id, ident, name) SELECT 1, 'v' || n, 'v' FROM generate_series(1, 1000) n"
    )
    problem = await stand.get("/v1/reports/daily", format="csv", expect=400)
    assert "page with limit and after" in problem["detail"]
    _, headers = await stand.text("/v1/reports/daily", format="csv", limit="1000")
    rest = await stand.get("/v1/reports/daily", after=headers["X-Next"])
    assert rest == {"rows": [], "next": None}


async def test_wrong_method_and_wrong_body(stand: Stand) -> None:
    problem = await stand.send("PUT", "/v1/vehicles", body={}, expect=405)
    assert problem["detail"] == "PUT is not possible here; there is GET"
    problem = await stand.send("POST", "/v1/tokens", body={"nam": "x"}, expect=400)
    assert "nam" in problem["detail"]


async def test_database_that_is_away_is_a_503(stand: Stand) -> None:
    await stand.db.close()
    async with stand.http.get(stand.url("/v1/vehicles"), headers=stand.bearer()) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
        assert response.content_type == "application/problem+json"
