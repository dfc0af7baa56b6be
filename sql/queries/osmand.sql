-- name: enable
-- A vehicle's identifier; it has one.
INSERT INTO osmand_devices (ident, vehicle_id) SELECT $2, id FROM vehicles WHERE ident = $1
ON CONFLICT (vehicle_id) DO UPDATE SET ident = excluded.ident, created_at = now()
RETURNING vehicle_id;

-- name: disable
-- A vehicle reports no more.
DELETE FROM osmand_devices o USING vehicles v WHERE v.id = o.vehicle_id AND v.ident = $1 RETURNING true;

-- name: devices
-- Which vehicles report under these identifiers.
SELECT o.ident AS key, v.id, v.fleet_id, v.ident FROM osmand_devices o JOIN vehicles v ON v.id = o.vehicle_id
WHERE o.ident = ANY ($1::text[]);
