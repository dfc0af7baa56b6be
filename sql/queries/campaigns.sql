-- name: add_campaign
-- A version of a campaign; nothing comes back when it is there already.
INSERT INTO campaigns (fleet_id, ident, version, etag, body, created_by) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING RETURNING created_at;

-- name: campaigns
-- A fleet's campaigns in their newest versions, with how many vehicles are meant to go by any version of each.
SELECT DISTINCT ON (c.ident) c.ident, c.version, c.etag, c.body, c.created_at, c.created_by,
    (SELECT count(*) FROM vehicle_campaigns v WHERE v.fleet_id = c.fleet_id AND v.ident = c.ident) AS vehicles
FROM campaigns c WHERE c.fleet_id = $1 ORDER BY c.ident, c.version DESC;

-- name: campaign_versions
-- Every version of a campaign, newest first, with how many vehicles are meant to go by it.
SELECT c.ident, c.version, c.etag, c.body, c.created_at, c.created_by,
    (SELECT count(*) FROM vehicle_campaigns v
        WHERE (v.fleet_id, v.ident, v.version) = (c.fleet_id, c.ident, c.version)) AS vehicles
FROM campaigns c WHERE c.fleet_id = $1 AND c.ident = $2 ORDER BY c.version DESC;

-- name: delete_campaign
-- Every version of a campaign that no vehicle is meant to go by.
DELETE FROM campaigns c WHERE c.fleet_id = $1 AND c.ident = $2
    AND NOT EXISTS (SELECT FROM vehicle_campaigns v WHERE v.fleet_id = $1 AND v.ident = $2)
RETURNING c.version;

-- name: assign
-- A vehicle is to go by this version, by its newest if $4 is null; nothing comes back when there is none.
WITH wanted AS (
    SELECT fleet_id, ident, version FROM campaigns
    WHERE fleet_id = $2 AND ident = $3 AND ($4::int IS NULL OR version = $4) ORDER BY version DESC LIMIT 1
), changed AS (
    UPDATE campaign_changes SET n = n + 1 WHERE EXISTS (SELECT FROM wanted)
)
INSERT INTO vehicle_campaigns (vehicle_id, fleet_id, ident, version, assigned_by)
SELECT $1, w.fleet_id, w.ident, w.version, $5 FROM wanted w
ON CONFLICT (vehicle_id) DO UPDATE SET fleet_id = excluded.fleet_id, ident = excluded.ident,
    version = excluded.version, assigned_at = now(), assigned_by = excluded.assigned_by
RETURNING version;

-- name: unassign
-- A vehicle is to go by its own file again.
WITH changed AS (
    UPDATE campaign_changes SET n = n + 1
)
DELETE FROM vehicle_campaigns WHERE vehicle_id = $1 RETURNING ident, version;

-- name: assigned
-- What a vehicle is meant to go by.
SELECT c.ident, c.version, c.etag, v.assigned_at, v.assigned_by
FROM vehicle_campaigns v JOIN campaigns c USING (fleet_id, ident, version) WHERE v.vehicle_id = $1;

-- name: reported
-- A vehicle's last word on its campaign.
SELECT ts, data::text FROM device_events WHERE vehicle_id = $1 AND kind = 'campaign' ORDER BY ts DESC LIMIT 1;

-- name: etags
-- What each of these vehicles is meant to go by.
SELECT v.vehicle_id, c.etag FROM vehicle_campaigns v JOIN campaigns c USING (fleet_id, ident, version)
WHERE v.vehicle_id = ANY ($1::int[]);

-- name: document
-- The campaign that a vehicle is meant to go by, as it goes over the wire.
SELECT c.body FROM vehicle_campaigns v JOIN campaigns c USING (fleet_id, ident, version) WHERE v.vehicle_id = $1;

-- name: vehicle
-- A vehicle of any fleet.
SELECT id, fleet_id FROM vehicles WHERE ident = $1;
