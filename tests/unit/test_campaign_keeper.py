"""Which campaign holds: after a good one, a broken one, a restart, and a crash or three."""

from pathlib import Path

import pytest

from edge.campaigns.campaign_keeper import MOST_EARLY_ENDS, CampaignKeeper, campaign_file
from wire.campaign import NO_CAMPAIGN, campaign_body, campaign_etag, read_campaign

KNOWN = frozenset({"Engine.Speed", "Engine.Gear"})


def body(version: int, *, when: str = "Speed > 80", id: str = "c", **more: object) -> bytes:
    capture = [{"name": "fast", "when": when}]
    return campaign_body(read_campaign({"id": id, "version": version, "capture": capture, **more}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return campaign_file(tmp_path / "spool.db")


def keeper(path: Path, known: frozenset[str] = KNOWN) -> CampaignKeeper:
    made = CampaignKeeper(path, lambda: known)
    made.start()
    return made


def named(subject: CampaignKeeper) -> tuple[str, int] | None:
    return None if subject.standing.selection is None else subject.standing.selection.campaign


def test_vehicle_without_a_campaign_goes_by_its_own_file_and_writes_nothing(path: Path) -> None:
    subject = keeper(path)
    assert subject.standing.told == {"state": "none", "etag": NO_CAMPAIGN}
    assert subject.decide(NO_CAMPAIGN) == "nothing"
    assert not path.exists()


def test_campaign_holds_and_is_still_there_after_a_restart(path: Path) -> None:
    subject = keeper(path)
    etag = campaign_etag(body(1))
    assert subject.decide(etag) == "fetch"
    told = subject.take(body(1)).told
    assert told == {"state": "active", "id": "c", "version": 1, "etag": etag}
    assert subject.decide(etag) == "nothing"
    again = keeper(path)
    assert (again.standing.told, named(again)) == (told, ("c", 1))
    assert again.decide(etag) == "nothing"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (
            body(2, when="Spead > 80"),
            "capture 'fast': 'Spead > 80': at character 1: this vehicle has no signal",
        ),
        (b'{"id": "c"}', "version: is missing"),
        (b"<html>", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
    ],
)
def test_broken_campaign_is_refused_with_its_reason_and_the_last_good_one_holds(
    path: Path, broken: bytes, reason: str
) -> None:
    subject = keeper(path)
    subject.take(body(1))
    told = subject.take(broken).told
    assert (told["state"], told["instead"], told["etag"]) == ("refused", "c 1", campaign_etag(broken))
    assert reason in str(told["reason"])
    assert named(subject) == ("c", 1)
    assert subject.decide(campaign_etag(broken)) == "nothing"
    assert subject.decide(campaign_etag(body(3))) == "fetch"
    again = keeper(path)
    assert named(again) == ("c", 1)
    assert again.decide(campaign_etag(broken)) == "fetch", "with other databases it may be good"


def test_refusal_is_withdrawn_when_the_cloud_means_what_holds(path: Path) -> None:
    subject = keeper(path)
    subject.take(body(1))
    subject.take(b"{}")
    assert subject.decide(campaign_etag(body(1))) == "withdraw"
    assert subject.withdraw().told["state"] == "active"
    assert named(subject) == ("c", 1)
    fresh = keeper(path.with_name("other"))
    fresh.take(b"{}")
    assert fresh.decide(NO_CAMPAIGN) == "withdraw"
    assert fresh.withdraw().told["state"] == "none"


def test_campaign_is_dropped_when_none_is_meant(path: Path) -> None:
    subject = keeper(path)
    subject.take(body(1))
    assert subject.decide(NO_CAMPAIGN) == "drop"
    assert subject.drop().told == {"state": "none", "etag": NO_CAMPAIGN}
    assert keeper(path).standing.selection is None


def test_campaign_that_the_databases_no_longer_fit_gives_way_to_the_good_one_before(path: Path) -> None:
    subject = keeper(path)
    subject.take(body(1, when="Gear > 1"))
    subject.confirm()
    subject.take(body(2))
    changed = frozenset({"Engine.Gear"})
    again = keeper(path, changed)
    assert named(again) == ("c", 1)
    assert (again.standing.told["state"], again.standing.told["version"]) == ("refused", 2)
    assert named(keeper(path, frozenset())) is None


def test_campaign_with_which_the_agent_ends_early_again_and_again_is_given_up_for_good(path: Path) -> None:
    subject = keeper(path)
    subject.take(body(1))
    subject.confirm()
    subject.take(body(2))
    for _ in range(MOST_EARLY_ENDS):
        assert named(keeper(path)) == ("c", 2)
    last = keeper(path)
    assert named(last) == ("c", 1)
    assert "ended early 3 times" in str(last.standing.told["reason"])
    assert keeper(path).decide(campaign_etag(body(2))) == "nothing"
    assert keeper(path).standing.told["state"] == "refused"


def test_confirmed_campaign_may_be_cut_off_as_often_as_power_is(path: Path) -> None:
    subject = keeper(path)
    subject.take(body(1))
    subject.confirm()
    for _ in range(10):
        assert named(keeper(path)) == ("c", 1)


def test_file_that_is_damaged_is_as_none(path: Path) -> None:
    keeper(path).take(body(1))
    path.write_bytes(path.read_bytes()[:40])
    subject = keeper(path)
    assert subject.standing.selection is None
    assert subject.decide(campaign_etag(body(1))) == "fetch"


def test_campaign_holds_although_it_cannot_be_kept(tmp_path: Path) -> None:
    subject = keeper(tmp_path / "missing" / "campaign")
    assert subject.take(body(1)).told["state"] == "active"
    assert subject.decide(campaign_etag(body(1))) == "nothing"


def test_capture_without_a_black_box_is_refused(path: Path) -> None:
    subject = CampaignKeeper(path, lambda: KNOWN, can_capture=False)
    assert "[blackbox] max_bytes = 0" in str(subject.take(body(1)).told["reason"])


def test_rule_that_matches_nothing_is_told(path: Path) -> None:
    rules = {"rule": [{"match": "Engin.*", "off": True}, {"match": "*.Gear", "off": True}]}
    assert keeper(path).take(body(1, sampling=rules)).told["idle"] == ["Engin.*"]
