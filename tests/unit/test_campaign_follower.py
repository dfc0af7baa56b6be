"""When a campaign has proven good: held for a while, and something recorded under it is with the cloud."""

from pathlib import Path

import pytest

from edge.campaigns import campaign_follower
from edge.campaigns.campaign_follower import TRIAL_S, CampaignFollower
from edge.campaigns.campaign_keeper import MOST_EARLY_ENDS, CampaignKeeper, Standing, campaign_file
from edge.ways.transport import Answer
from wire.campaign import campaign_body, campaign_etag, read_campaign


def body(version: int) -> bytes:
    return campaign_body(read_campaign({"id": "c", "version": version}))


class Vehicle:
    """A follower with its file, a clock that is stepped, and a pipeline that only counts its drafts."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        self.drafts = 0
        self.version: int | None = None
        self._meant = b""
        self._path = campaign_file(folder / "spool.db")
        monkeypatch.setattr(campaign_follower, "_now_s", lambda: self.now_s)
        self.start()

    def start(self) -> None:
        keeper = CampaignKeeper(self._path, lambda: ())
        self.follower = CampaignFollower(keeper, self, self._apply)
        self.follower.start()

    async def take(self, version: int) -> None:
        self._meant = body(version)
        await self.follower.follow(campaign_etag(self._meant))

    async def take_and_prove(self, version: int) -> None:
        await self.take(version)
        self.now_s += TRIAL_S
        await self.follower.review(self.drafts + 1)

    async def fetch_campaign(self) -> Answer:
        return Answer(200, self._meant)

    def is_killed_early(self) -> None:
        """So often that a campaign which was not confirmed is given up."""
        for _ in range(MOST_EARLY_ENDS + 1):
            self.start()

    def _apply(self, standing: Standing) -> int:
        self.version = None if standing.selection is None else (standing.selection.campaign or ("", 0))[1]
        return self.drafts


@pytest.fixture
async def vehicle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vehicle:
    vehicle = Vehicle(tmp_path, monkeypatch)
    await vehicle.take_and_prove(1)
    return vehicle


async def test_campaign_that_was_held_and_of_which_something_arrived_is_good(vehicle: Vehicle) -> None:
    await vehicle.take_and_prove(2)
    vehicle.is_killed_early()
    assert vehicle.version == 2


async def test_campaign_is_on_trial_from_when_it_was_taken_and_not_from_the_start(vehicle: Vehicle) -> None:
    vehicle.now_s += 100 * TRIAL_S
    await vehicle.take(2)
    vehicle.now_s += TRIAL_S - 1
    await vehicle.follower.review(vehicle.drafts + 1)
    vehicle.is_killed_early()
    assert vehicle.version == 1


async def test_what_was_recorded_before_it_proves_nothing(vehicle: Vehicle) -> None:
    vehicle.drafts = 5
    await vehicle.take(2)
    vehicle.now_s += 100 * TRIAL_S
    await vehicle.follower.review(5)
    vehicle.is_killed_early()
    assert vehicle.version == 1


async def test_vehicle_that_reaches_nobody_keeps_its_campaign_however_often_its_power_is_cut(vehicle: Vehicle) -> None:
    await vehicle.take(2)
    for _ in range(3 * MOST_EARLY_ENDS):
        vehicle.start()
        vehicle.now_s += TRIAL_S
        await vehicle.follower.review(0)
    assert vehicle.version == 2


@pytest.mark.parametrize(("newest_settled", "holds"), [(0, 1), (1, 2)])
async def test_orderly_stop_is_no_early_end_but_proves_nothing_of_what_did_not_arrive(
    vehicle: Vehicle, newest_settled: int, holds: int
) -> None:
    await vehicle.take(2)
    for _ in range(MOST_EARLY_ENDS + 1):
        await vehicle.follower.review(newest_settled, is_last=True)
        vehicle.start()
    assert vehicle.version == 2
    vehicle.is_killed_early()
    assert vehicle.version == holds
