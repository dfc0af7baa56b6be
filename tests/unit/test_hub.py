"""What a live client hears: snapshot, then changes, no more often than it asked for."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.telemetry.latest import Position
from cloud.ws.facts import Facts
from cloud.ws.hub import EVENTS_KEPT, Client, Hub, Known
from cloud.ws.live_vehicle import LiveVehicle
from cloud.ws.requests import MAX_SUBSCRIPTIONS, RequestError, Subscribe
from wire.model import Batch

NOW = 1_700_000_000_000
STREAM = "01890a5d-ac96-774b-bcce-b302099a8057"
NOTHING = Facts({})


class Screen:
    """A client that collects at given times and remembers what it was shown."""

    def __init__(self, hub: Hub, fleet_id: int = 1) -> None:
        self.wakes = 0
        self._hub = hub
        self.client = Client(fleet_id, self._wake)

    def subscribe(self, **fields: Any) -> None:
        self._hub.subscribe(self.client, Subscribe(op="subscribe", **{"id": 1, **fields}))

    def collect(self, at_ms: float = NOW) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        while part := self._hub.collect(self.client, at_ms):
            messages += map(json.loads, part)
        return messages

    def wait_ms(self, at_ms: float) -> float | None:
        return self._hub.wait_ms(self.client, at_ms)

    def _wake(self) -> None:
        self.wakes += 1


def known(ident: str, facts: Facts = NOTHING, *, name: str = "", fleet_id: int = 1) -> Known:
    return Known(ident, name or ident, fleet_id, facts)


def batch(vehicle: str = "a", *, t0: int = NOW, **content: Any) -> Batch:
    return Batch(vehicle=vehicle, stream=STREAM, seq=0, t0=t0, **content)


def fix(speed: float | None = None, *, lat: float = 60.0, lon: float = 25.0) -> dict[str, Any]:
    return {"dt": [0], "lat": [lat], "lon": [lon], "speed": [speed]}


def column(*samples: tuple[int, float]) -> dict[str, Any]:
    return {"dt": [dt for dt, _ in samples], "v": [v for _, v in samples]}


@pytest.fixture
def hub() -> Hub:
    hub = Hub()
    hub.load([known("a"), known("b"), known("elsewhere", fleet_id=2)], NOW, anew=True)
    return hub


def test_snapshot_shows_all_that_is_known_of_the_own_fleet(hub: Hub) -> None:
    hub.apply(batch(signals={"M.S": column((0, 1.5))}, fixes=fix(50.0)), NOW, NOW)
    screen = Screen(hub)
    screen.subscribe()
    [snapshot] = screen.collect()
    assert (snapshot["op"], snapshot["id"]) == ("snapshot", 1)
    assert snapshot["vehicles"] == [
        {
            "id": "a",
            "name": "a",
            "state": "driving",
            "last_seen": NOW,
            "position": {"t": NOW, "lat": 60.0, "lon": 25.0, "speed": 50.0, "course": None, "alt": None},
            "signals": {"M.S": [NOW, 1.5]},
        },
        {"id": "b", "name": "b", "state": "offline", "last_seen": None, "position": None, "signals": {}},
    ]


def test_update_holds_only_what_changed(hub: Hub) -> None:
    hub.apply(batch(signals={"M.S": column((0, 1.0)), "M.T": column((0, 2.0))}, fixes=fix(0.0)), NOW, NOW)
    screen = Screen(hub)
    screen.subscribe()
    screen.collect()
    hub.apply(batch(t0=NOW + 1000, signals={"M.S": column((0, 3.0))}), NOW + 1000, NOW + 1000)
    assert screen.collect(NOW + 1000) == [
        {
            "op": "update",
            "id": 1,
            "vehicles": [{"id": "a", "last_seen": NOW + 1000, "signals": {"M.S": [NOW + 1000, 3.0]}}],
        }
    ]
    assert screen.collect(NOW + 9000) == []


def test_first_change_after_a_pause_goes_out_at_once_and_the_next_waits(hub: Hub) -> None:
    screen = Screen(hub)
    screen.subscribe(max_hz=2)
    screen.collect(NOW)
    for step in range(3):
        at_ms = NOW + 5000 + step * 100
        hub.apply(batch(t0=at_ms, signals={"M.S": column((0, float(step)))}), at_ms, at_ms)
        if step == 0:
            assert screen.wait_ms(at_ms) == 0
            assert len(screen.collect(at_ms)) == 1
        else:
            assert screen.collect(at_ms) == []
    assert screen.wait_ms(NOW + 5200) == 300
    [update] = screen.collect(NOW + 5500)
    assert update["vehicles"][0]["signals"] == {"M.S": [NOW + 5200, 2.0]}
    assert screen.wait_ms(NOW + 5500) is None


@pytest.mark.parametrize("vehicles", [["*"], ["a"]])
def test_who_is_served_late_is_not_late_the_next_time_too(hub: Hub, vehicles: list[str]) -> None:
    screen = Screen(hub)
    screen.subscribe(vehicles=vehicles, max_hz=10)
    screen.collect(NOW)
    for at_ms, due_ms in ((NOW + 1000, NOW + 1000), (NOW + 1160, NOW + 1100), (NOW + 1290, NOW + 1200)):
        hub.apply(batch(t0=at_ms, signals={"M.S": column((0, 1.0))}), at_ms, at_ms)
        assert screen.wait_ms(due_ms) == 0
        assert len(screen.collect(at_ms)) == 1
    # The last was so late that another one at once would be one too many.
    hub.apply(batch(t0=NOW + 1291, signals={"M.S": column((0, 1.0))}), NOW + 1291, NOW + 1291)
    assert screen.wait_ms(NOW + 1300) in {90, 100}


def test_snapshots_before_their_time_do_not_put_off_what_follows(hub: Hub) -> None:
    screen = Screen(hub)
    screen.subscribe(vehicles=["a"], max_hz=0.1)
    for step in range(5):
        hub.load([known("a"), known("b")], NOW, anew=True)
        assert [message["op"] for message in screen.collect(NOW + 1000 * step)] == ["snapshot"]
    hub.apply(batch(t0=NOW + 1, signals={"M.S": column((0, 1.0))}), NOW, NOW)
    assert screen.wait_ms(NOW + 4000) == 10_000


def test_client_that_takes_its_time_is_served_all_it_asked_for(hub: Hub) -> None:
    screen = Screen(hub)
    for number in range(3):
        screen.subscribe(id=number, max_hz=20)
    screen.collect(NOW)
    served = {0: 0, 1: 0, 2: 0}
    for step in range(1, 31):
        at_ms = NOW + 60 * step
        hub.apply(batch(t0=at_ms, signals={"M.S": column((0, float(step)))}), at_ms, at_ms)
        for message in map(json.loads, hub.collect(screen.client, at_ms)):
            served[message["id"]] += 1
    assert served == {0: 10, 1: 10, 2: 10}


def test_changes_wake_a_waiting_client_once(hub: Hub) -> None:
    screen = Screen(hub)
    screen.subscribe(vehicles=["a"])
    screen.collect()
    woken = screen.wakes
    for step in range(10):
        hub.apply(batch(t0=NOW + step, signals={"M.S": column((0, 1.0))}), NOW, NOW)
    hub.apply(batch("b", signals={"M.S": column((0, 1.0))}), NOW, NOW)
    assert screen.wakes == woken + 1


def test_late_batch_moves_nothing_back(hub: Hub) -> None:
    hub.apply(batch(t0=NOW, signals={"M.S": column((0, 5.0))}, fixes=fix(50.0)), NOW, NOW)
    screen = Screen(hub)
    screen.subscribe()
    screen.collect()
    late = batch(t0=NOW - 60_000, signals={"M.S": column((0, 9.0))}, fixes=fix(10.0, lat=1.0))
    hub.apply(late, NOW, NOW)
    assert screen.collect(NOW + 1000) == []


def test_repeated_batch_is_no_news(hub: Hub) -> None:
    sent = batch(signals={"M.S": column((0, 5.0))}, fixes=fix(50.0), events=[{"t": NOW, "kind": "dtc"}])
    hub.apply(sent, NOW, NOW)
    screen = Screen(hub)
    screen.subscribe()
    screen.collect()
    hub.apply(sent, NOW, NOW)
    assert screen.collect(NOW + 1000) == []


def test_signals_can_be_chosen_or_left_out(hub: Hub) -> None:
    chosen, none = Screen(hub), Screen(hub)
    chosen.subscribe(vehicles=["a"], signals=["M.S"])
    none.subscribe(vehicles=["a"], signals=[])
    for screen in (chosen, none):
        screen.collect()
    hub.apply(batch(signals={"M.S": column((0, 1.0)), "M.T": column((0, 2.0))}), NOW, NOW)
    assert chosen.collect(NOW + 1000)[0]["vehicles"][0]["signals"] == {"M.S": [NOW, 1.0]}
    assert "signals" not in none.collect(NOW + 1000)[0]["vehicles"][0]


@pytest.mark.parametrize(
    ("wish", "heard"),
    [
        ("EEC1.*", {"EEC1.Speed", "pt:EEC1.Speed@0B", "EEC1.Load:mean"}),
        ("*.Speed", {"EEC1.Speed", "pt:EEC1.Speed@0B"}),
        ("EEC?.Load", {"EEC1.Load:mean"}),
        ("EEC1.Load:mean", {"EEC1.Load:mean"}),
        ("eec1.*", set()),
    ],
)
def test_signals_can_be_chosen_by_patterns_that_look_at_message_and_signal_alone(
    hub: Hub, wish: str, heard: set[str]
) -> None:
    screen = Screen(hub)
    screen.subscribe(vehicles=["a"], signals=[wish])
    screen.collect()
    names = ["EEC1.Speed", "pt:EEC1.Speed@0B", "EEC1.Load:mean", "TSC1.Torque"]
    hub.apply(batch(signals={name: column((0, 1.0)) for name in names}), NOW, NOW)
    [update] = screen.collect(NOW + 1000)
    assert set(update["vehicles"][0].get("signals", {})) == heard


def test_those_who_follow_all_are_due_together_and_sent_the_same_text(hub: Hub) -> None:
    first, second = Screen(hub), Screen(hub)
    for at_ms, screen in ((NOW + 90, first), (NOW + 110, second)):
        screen.subscribe(max_hz=10)
        screen.collect(at_ms)
    hub.apply(batch(signals={"M.S": column((0, 1.0))}), NOW, NOW)
    assert first.wait_ms(NOW + 150) == second.wait_ms(NOW + 150) == 50
    told = hub.collect(first.client, NOW + 200)
    hub.apply(batch(signals={"M.S": column((5, 2.0))}), NOW, NOW)
    assert hub.collect(second.client, NOW + 201)[0] is told[0]
    # What came in between is told at the next moment, and lost to none.
    for screen in (first, second):
        assert screen.wait_ms(NOW + 201) == 99
        assert screen.collect(NOW + 300)[0]["vehicles"][0]["signals"] == {"M.S": [NOW + 5, 2.0]}
        assert screen.wait_ms(NOW + 300) is None


def test_state_changes_by_time_are_pushed(hub: Hub) -> None:
    hub.apply(batch(signals={"Engine.Speed": column((0, 800.0))}, fixes=fix(30.0)), NOW, NOW)
    screen = Screen(hub)
    screen.subscribe()
    assert screen.collect()[0]["vehicles"][0]["state"] == "driving"
    seen = []
    for at_ms in (NOW + 60_000, NOW + 60_001, NOW + 120_000, NOW + 120_001):
        hub.tick(at_ms)
        seen += screen.collect(at_ms)
    assert [update["vehicles"] for update in seen] == [
        [{"id": "a", "state": "idling"}],
        [{"id": "a", "state": "offline"}],
    ]


def test_gap_brings_a_fresh_snapshot(hub: Hub) -> None:
    screen = Screen(hub)
    screen.subscribe()
    screen.collect()
    position = Position(NOW, 60.0, 25.0, None, 3.0, None)
    hub.load([known("a", Facts({"M.S": (NOW, 7.0)}, position, NOW)), known("b")], NOW, anew=True)
    [snapshot] = screen.collect(NOW + 1)
    assert snapshot["op"] == "snapshot"
    assert snapshot["vehicles"][0]["signals"] == {"M.S": [NOW, 7.0]}


def test_reload_that_is_behind_the_live_values_changes_nothing(hub: Hub) -> None:
    hub.apply(batch(signals={"M.S": column((0, 5.0))}), NOW, NOW)
    screen = Screen(hub)
    screen.subscribe()
    screen.collect()
    hub.load(
        [known("a", Facts({"M.S": (NOW - 500, 4.0)}, None, NOW - 500)), known("b"), known("elsewhere", fleet_id=2)],
        NOW,
        anew=False,
    )
    assert screen.collect(NOW + 1000) == []


def test_new_vehicle_appears_whole_and_a_removed_one_goes(hub: Hub) -> None:
    screen = Screen(hub)
    screen.subscribe(signals=[])
    screen.collect()
    hub.load([known("a"), known("b", name="Bee"), known("c"), known("elsewhere", fleet_id=2)], NOW, anew=False)
    [update] = screen.collect(NOW + 1000)
    assert sorted(update["vehicles"], key=lambda vehicle: vehicle["id"]) == [
        {"id": "b", "name": "Bee"},
        {"id": "c", "name": "c", "state": "offline", "last_seen": None, "position": None},
    ]
    hub.load([known("a"), known("elsewhere", fleet_id=2)], NOW, anew=False)
    [snapshot] = screen.collect(NOW + 2000)
    assert (snapshot["op"], [vehicle["id"] for vehicle in snapshot["vehicles"]]) == ("snapshot", ["a"])


def test_box_shows_who_enters_whole_and_who_leaves_once(hub: Hub) -> None:
    screen = Screen(hub)
    screen.subscribe(bbox=[24, 59, 26, 61], max_hz=20)
    assert screen.collect()[0]["vehicles"] == []
    shown = []
    for step, lon in enumerate((10.0, 25.0, 25.5, 10.0, 9.0)):
        at_ms = NOW + step * 1000
        hub.apply(batch(t0=at_ms, fixes=fix(50.0, lon=lon)), at_ms, at_ms)
        shown += [(v["position"]["lon"], "name" in v) for m in screen.collect(at_ms) for v in m["vehicles"]]
    assert shown == [(25.0, True), (25.5, False), (10.0, False)]


def test_box_may_cross_the_date_line(hub: Hub) -> None:
    hub.apply(batch("a", fixes=fix(lat=-17.0, lon=179.5)), NOW, NOW)
    hub.apply(batch("b", fixes=fix(lat=-17.0, lon=0.0)), NOW, NOW)
    screen = Screen(hub)
    screen.subscribe(bbox=[178, -20, -178, -15])
    assert [vehicle["id"] for vehicle in screen.collect()[0]["vehicles"]] == ["a"]


def test_events_go_out_in_order_with_their_values(hub: Hub) -> None:
    screen = Screen(hub)
    screen.subscribe(vehicles=["a"])
    screen.collect()
    data = {"code": "P0301", "nested": {"n": 1.25}}
    hub.apply(batch(events=[{"t": NOW, "kind": "dtc", "data": data}, {"t": NOW + 1, "kind": "clock"}]), NOW, NOW)
    hub.apply(batch("b", events=[{"t": NOW, "kind": "dtc"}]), NOW, NOW)
    events = [message for message in screen.collect(NOW + 1000) if message["op"] == "event"]
    assert events == [
        {"op": "event", "id": 1, "vehicle": "a", "t": NOW, "kind": "dtc", "data": data},
        {"op": "event", "id": 1, "vehicle": "a", "t": NOW + 1, "kind": "clock", "data": {}},
    ]


def test_who_misses_events_is_told(hub: Hub) -> None:
    screen = Screen(hub)
    screen.subscribe()
    screen.collect()
    hub.apply(batch(events=[{"t": NOW + n, "kind": "dtc"} for n in range(EVENTS_KEPT + 5)]), NOW, NOW)
    messages = screen.collect(NOW + 1000)
    assert [message["op"] for message in messages].count("event") == EVENTS_KEPT
    assert "GET /v1/events" in next(message for message in messages if message["op"] == "error")["problem"]["detail"]


def test_subscriptions_are_bounded_and_replaced_by_id(hub: Hub) -> None:
    screen = Screen(hub)
    for number in range(MAX_SUBSCRIPTIONS):
        screen.subscribe(id=number)
    screen.subscribe(id=0, vehicles=["b"])
    with pytest.raises(RequestError, match="end one first"):
        screen.subscribe(id=99)
    assert [len(m["vehicles"]) for m in screen.collect() if m["id"] in (0, 1)] == [2, 1]


def test_vehicle_of_another_fleet_does_not_exist(hub: Hub) -> None:
    screen = Screen(hub)
    with pytest.raises(RequestError, match="no vehicle 'elsewhere'"):
        screen.subscribe(vehicles=["a", "elsewhere"])
    screen.subscribe()
    screen.collect()
    hub.apply(batch("elsewhere", signals={"M.S": column((0, 1.0))}, events=[{"t": NOW, "kind": "x"}]), NOW, NOW)
    assert screen.collect(NOW + 1000) == []


def test_who_left_is_not_woken(hub: Hub) -> None:
    screen = Screen(hub)
    screen.subscribe()
    screen.collect()
    hub.leave(screen.client)
    woken = screen.wakes
    hub.apply(batch(signals={"M.S": column((0, 1.0))}), NOW, NOW)
    assert (screen.wakes, screen.collect(NOW + 1000)) == (woken, [])


def test_batch_of_an_unknown_vehicle_is_handed_back(hub: Hub) -> None:
    assert not hub.apply(batch("stranger", signals={"M.S": column((0, 1.0))}), NOW, NOW)


def test_clock_that_runs_ahead_was_not_seen_in_the_future(hub: Hub) -> None:
    hub.apply(batch(t0=NOW + 3_600_000, signals={"M.S": column((0, 1.0))}), NOW, NOW)
    screen = Screen(hub)
    screen.subscribe()
    assert screen.collect()[0]["vehicles"][0]["last_seen"] == NOW


samples = st.tuples(st.sampled_from(["M.S", "M.T"]), st.integers(0, 5), st.floats(-2, 2))


@given(st.lists(samples, max_size=12), st.data())
def test_what_updates_add_up_to_is_the_newest_in_any_order(facts: list[tuple[str, int, float]], data: Any) -> None:
    """Whenever a client looks, in whatever order facts come: its picture ends as the newest by (time, value)."""
    hub = Hub()
    hub.load([known("a")], NOW, anew=True)
    screen = Screen(hub)
    screen.subscribe()
    picture: dict[str, list[float]] = {}
    for step, (name, dt, value) in enumerate(data.draw(st.permutations(facts))):
        hub.apply(batch(signals={name: column((dt, value))}), NOW, NOW)
        if data.draw(st.booleans()):
            for message in screen.collect(NOW + step * 1000):
                for vehicle in message["vehicles"]:
                    picture |= vehicle.get("signals", {})
    for message in screen.collect(NOW + 100_000):
        for vehicle in message["vehicles"]:
            picture |= vehicle.get("signals", {})
    newest: dict[str, tuple[int, float]] = {}
    for name, dt, value in facts:
        newest[name] = max(newest.get(name, (-1, 0.0)), (NOW + dt, value))
    assert picture == {name: [t_ms, value] for name, (t_ms, value) in newest.items()}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), max_size=60))
def test_shared_text_is_what_each_would_have_been_told_alone(steps: list[tuple[int, int]]) -> None:
    """`news` keeps what it wrote for listeners who are due the same; that must never show."""
    vehicle = LiveVehicle("a", "a", 1, version=0)
    changes: dict[str, int] = {}
    for version, (signal, since) in enumerate(steps, start=1):
        name = f"M.S{signal}"
        vehicle.absorb(Facts({name: (version, 1.0)}), NOW, version=version)
        changes[name] = version
        text = vehicle.news(min(since, version), None)
        told = set(json.loads(text).get("signals", {})) if text else set()
        assert told == {name for name, changed in changes.items() if changed > min(since, version)}
