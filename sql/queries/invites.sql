-- name: invite
-- A one-time code for a vehicle, of which only the hash is kept: $1 vehicle, $2 hash, $3 how long it holds.
INSERT INTO invites (vehicle_id, hash, expires_at) VALUES ($1, $2, now() + $3::interval) RETURNING expires_at;

-- name: vehicle
-- The database's id of a vehicle.
SELECT id FROM vehicles WHERE ident = $1;

-- name: redeem
-- Exchanges a code for a device token, once: of two who come at once the second finds it used. $1 and $2 are their
-- hashes, $3 the vehicle that asks, if it knows, $4 the token's hash for the MQTT broker.
WITH used AS (
    UPDATE invites i SET used_at = now() FROM vehicles v
    WHERE i.hash = $1 AND i.used_at IS NULL AND i.expires_at > now()
        AND v.id = i.vehicle_id AND ($3::text IS NULL OR v.ident = $3)
    RETURNING i.vehicle_id
), given AS (
    INSERT INTO credentials (vehicle_id, hash, broker_hash) SELECT vehicle_id, $2, $4 FROM used RETURNING vehicle_id
), audited AS (
    INSERT INTO audit_log (actor, action, data)
    SELECT 'vehicle:' || v.ident, 'device_token.enroll', jsonb_build_object('vehicle', v.ident)
    FROM given g JOIN vehicles v ON v.id = g.vehicle_id
)
SELECT v.ident FROM given g JOIN vehicles v ON v.id = g.vehicle_id;

-- name: look
-- What there is to a code that was refused; nothing comes back for one that never was.
SELECT i.used_at IS NOT NULL AS used, i.expires_at <= now() AS expired, v.ident
FROM invites i JOIN vehicles v ON v.id = i.vehicle_id WHERE i.hash = $1;
