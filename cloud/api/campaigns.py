"""Campaigns by version, which vehicle is meant to go by which, and what it made of it. Every change is audited."""

import json
from typing import Any

from cloud import campaigns
from cloud.api.call import SQL, Call, vehicle_id
from cloud.api.query import CampaignQuery, Query
from cloud.api.replies import (
    AssignedCampaign,
    CampaignChoice,
    CampaignInfo,
    Campaigns,
    CampaignVersion,
    ReportedCampaign,
    VehicleCampaign,
)
from cloud.api.times import to_ms
from cloud.campaigns import CampaignConflict, CampaignUnknown, Reported, Version
from cloud.problem import Problem
from wire.campaign import Campaign


async def list_campaigns(call: Call[Query, None]) -> Campaigns:
    found = await campaigns.list_campaigns(call.db, call.fleet_id)
    return Campaigns(campaigns=[CampaignInfo(note=one.campaign.note, **_facts(one)) for one in found])


async def add_campaign(call: Call[Query, Campaign]) -> CampaignVersion:
    """Raises Problem 409 for an id that is taken."""
    try:
        versions = await campaigns.versions_of(call.db, call.fleet_id, call.body.id)
    except CampaignUnknown:
        return await _add(call, call.body)
    newest = versions[0].campaign.version
    raise Problem(409, f"there is a campaign '{call.body.id}', at version {newest}: PUT a newer version of it")


async def put_campaign(call: Call[Query, Campaign]) -> CampaignVersion:
    """A newer version. Raises Problem 400, 404 or 409."""
    if call.body.id != call.path["id"]:
        raise Problem(400, f"id: the document is of '{call.body.id}' and the address of '{call.path['id']}'")
    await _versions(call)
    return await _add(call, call.body)


async def get_campaign(call: Call[CampaignQuery, None]) -> CampaignVersion:
    versions = await _versions(call)
    wanted = call.query.version or versions[0].campaign.version
    found = next((one for one in versions if one.campaign.version == wanted), None)
    if found is None:
        known = ", ".join(str(one.campaign.version) for one in versions)
        raise Problem(404, f"'{call.path['id']}' has no version {wanted}; it has {known}")
    return _shape(found, versions)


async def delete_campaign(call: Call[Query, None]) -> None:
    """Every version. Raises Problem 404, or 409 while a vehicle goes by it."""
    try:
        versions = await campaigns.delete_campaign(call.db, call.fleet_id, call.path["id"])
    except CampaignConflict as error:
        raise Problem(409, str(error)) from error
    except CampaignUnknown as error:
        raise Problem(404, str(error)) from error
    await _audit(call, "campaign.delete", campaign=call.path["id"], versions=versions)


async def get_vehicle_campaign(call: Call[Query, None]) -> VehicleCampaign:
    return await _of_vehicle(call, await vehicle_id(call))


async def put_vehicle_campaign(call: Call[Query, CampaignChoice]) -> VehicleCampaign:
    vehicle, choice = await vehicle_id(call), call.body
    try:
        version = await campaigns.assign(
            call.db, vehicle, call.fleet_id, choice.campaign, choice.version, by=call.principal.name
        )
    except CampaignUnknown as error:
        raise Problem(404, str(error)) from error
    await _audit(call, "vehicle.campaign", vehicle=call.path["id"], campaign=choice.campaign, version=version)
    return await _of_vehicle(call, vehicle)


async def delete_vehicle_campaign(call: Call[Query, None]) -> None:
    """Back to its own file. What had none has none."""
    if await campaigns.unassign(call.db, await vehicle_id(call)):
        await _audit(call, "vehicle.campaign", vehicle=call.path["id"], campaign=None)


async def _of_vehicle(call: Call[Any, Any], vehicle: int) -> VehicleCampaign:
    assigned = await campaigns.assigned_to(call.db, vehicle)
    reported = await campaigns.reported_by(call.db, vehicle)
    return VehicleCampaign(
        vehicle=call.path["id"],
        state=campaigns.standing(assigned, reported.data if reported else None),
        assigned=None
        if assigned is None
        else AssignedCampaign(
            id=assigned.id, version=assigned.version, etag=assigned.etag, at=to_ms(assigned.at), by=assigned.by
        ),
        reported=None if reported is None else _reported(reported),
    )


def _reported(reported: Reported) -> ReportedCampaign:
    """Of an event that anybody with the vehicle's token can have sent: what is of another type is left out."""

    def said(name: str, kind: type) -> Any:
        value = reported.data.get(name)
        return value if isinstance(value, kind) and not isinstance(value, bool) else None

    idle = said("idle", list) or []
    return ReportedCampaign(
        t=to_ms(reported.at),
        state=said("state", str) or "unknown",
        id=said("id", str),
        version=said("version", int),
        etag=said("etag", str),
        reason=said("reason", str),
        instead=said("instead", str),
        idle=[pattern for pattern in idle if isinstance(pattern, str)],
    )


async def _versions(call: Call[Any, Any]) -> list[Version]:
    try:
        return await campaigns.versions_of(call.db, call.fleet_id, call.path["id"])
    except CampaignUnknown as error:
        raise Problem(404, str(error)) from error


async def _add(call: Call[Any, Any], campaign: Campaign) -> CampaignVersion:
    try:
        added = await campaigns.add_version(call.db, call.fleet_id, campaign, by=call.principal.name)
    except CampaignConflict as error:
        raise Problem(409, str(error)) from error
    await _audit(call, "campaign.put", campaign=campaign.id, version=campaign.version, etag=added.etag)
    return _shape(added, await campaigns.versions_of(call.db, call.fleet_id, campaign.id))


def _shape(version: Version, versions: list[Version]) -> CampaignVersion:
    return CampaignVersion(
        campaign=version.campaign, versions=[one.campaign.version for one in versions], **_facts(version)
    )


def _facts(version: Version) -> dict[str, Any]:
    return {
        "id": version.campaign.id,
        "version": version.campaign.version,
        "etag": version.etag,
        "created_at": to_ms(version.created_at),
        "created_by": version.created_by,
        "vehicles": version.vehicles,
    }


async def _audit(call: Call[Any, Any], action: str, **data: object) -> None:
    await call.db.execute(SQL["audit"], call.principal.name, action, json.dumps(data))
