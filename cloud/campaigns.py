"""Campaigns: kept by version, which never changes, and assigned to vehicles. What a vehicle made of it, it reports."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import asyncpg

from cloud.database import Executor
from cloud.errors import CloudError
from cloud.queries import load
from wire.campaign import NO_CAMPAIGN, Campaign, campaign_body, campaign_etag, read_campaign

SQL: Final = load("campaigns")


class CampaignConflict(CloudError):
    """A version that is there already, an older one, or a campaign that is in use."""


class CampaignUnknown(CloudError):
    """There is no such campaign, or no such version of it."""


@dataclass(frozen=True)
class Version:
    """One version of a campaign. `vehicles` are meant to go by it (in a list of campaigns: by any version)."""

    campaign: Campaign
    etag: str
    created_at: datetime
    created_by: str
    vehicles: int


@dataclass(frozen=True)
class Assigned:
    """What a vehicle is meant to go by."""

    id: str
    version: int
    etag: str
    at: datetime
    by: str


@dataclass(frozen=True)
class Reported:
    """A vehicle's last word: `data` is that of its event."""

    at: datetime
    data: dict[str, Any]


def standing(
    assigned: Assigned | None, reported: Mapping[str, Any] | None
) -> Literal["none", "pending", "active", "refused"]:
    """Where a vehicle is on the way from what it had to what it is meant to have; `reported` is its last word."""
    etag, state = (reported or {}).get("etag", NO_CAMPAIGN), (reported or {}).get("state")
    if assigned is None:
        return "none" if etag == NO_CAMPAIGN or state != "active" else "pending"
    if etag != assigned.etag:
        return "pending"
    return "refused" if state == "refused" else "active"


async def list_campaigns(db: Executor, fleet_id: int) -> list[Version]:
    """Each in its newest version, by id."""
    return [_version(row) for row in await db.fetch(SQL["campaigns"], fleet_id)]


async def versions_of(db: Executor, fleet_id: int, ident: str) -> list[Version]:
    """Newest first. Raises CampaignUnknown."""
    rows = await db.fetch(SQL["campaign_versions"], fleet_id, ident)
    if not rows:
        raise CampaignUnknown(f"there is no campaign '{ident}'; GET /v1/campaigns lists them")
    return [_version(row) for row in rows]


async def add_version(db: Executor, fleet_id: int, campaign: Campaign, *, by: str) -> Version:
    """A first or newer version; the very same once more changes nothing. Raises CampaignConflict."""
    body = campaign_body(campaign)
    etag = campaign_etag(body)
    rows = await db.fetch(SQL["campaign_versions"], fleet_id, campaign.id)
    newest = rows[0]["version"] if rows else 0
    same = next((row for row in rows if row["version"] == campaign.version), None)
    if same is not None and same["etag"] == etag:
        return _version(same)
    if campaign.version <= newest:
        raise CampaignConflict(
            f"'{campaign.id}' is at version {newest}, which does not change: give this one version {newest + 1}"
        )
    created_at = await db.fetchval(
        SQL["add_campaign"], fleet_id, campaign.id, campaign.version, etag, body.decode(), by
    )
    if created_at is None:
        raise CampaignConflict(f"somebody else has just made version {campaign.version} of '{campaign.id}'")
    return Version(campaign, etag, created_at, by, 0)


async def delete_campaign(db: Executor, fleet_id: int, ident: str) -> int:
    """Every version; how many there were. Raises CampaignUnknown, or CampaignConflict while a vehicle goes by one."""
    deleted = await db.fetch(SQL["delete_campaign"], fleet_id, ident)
    if not deleted:
        vehicles = sum(version.vehicles for version in await versions_of(db, fleet_id, ident))
        raise CampaignConflict(f"{vehicles} vehicles go by '{ident}'; give them another campaign, or none, first")
    return len(deleted)


async def assign(db: Executor, vehicle_id: int, fleet_id: int, ident: str, version: int | None, *, by: str) -> int:
    """A vehicle is to go by a campaign, in its newest version unless one is given. Raises CampaignUnknown."""
    assigned: int | None = await db.fetchval(SQL["assign"], vehicle_id, fleet_id, ident, version, by)
    if assigned is None:
        which = f"campaign '{ident}'" if version is None else f"version {version} of campaign '{ident}'"
        raise CampaignUnknown(f"there is no {which}; GET /v1/campaigns lists what there is")
    return assigned


async def unassign(db: Executor, vehicle_id: int) -> bool:
    """A vehicle is to go by its own file; False when it was."""
    return bool(await db.fetch(SQL["unassign"], vehicle_id))


async def assigned_to(db: Executor, vehicle_id: int) -> Assigned | None:
    """None for a vehicle that is to go by its own file."""
    row = await db.fetchrow(SQL["assigned"], vehicle_id)
    return None if row is None else Assigned(*row)


async def reported_by(db: Executor, vehicle_id: int) -> Reported | None:
    """None for a vehicle that has never said anything of a campaign."""
    row = await db.fetchrow(SQL["reported"], vehicle_id)
    return None if row is None else Reported(row["ts"], json.loads(row["data"]))


async def find_vehicle(db: Executor, ident: str) -> tuple[int, int]:
    """The vehicle's and its fleet's number. Raises CampaignUnknown."""
    row = await db.fetchrow(SQL["vehicle"], ident)
    if row is None:
        raise CampaignUnknown(f"there is no vehicle '{ident}'; 'fleetwire admin vehicle list' lists them")
    return row["id"], row["fleet_id"]


def _version(row: asyncpg.Record) -> Version:
    campaign = read_campaign(row["body"])
    return Version(campaign, row["etag"], row["created_at"], row["created_by"], row["vehicles"])
