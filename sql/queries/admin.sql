-- name: add_user
-- A person who may sign in; nothing comes back when the name is taken.
INSERT INTO users (fleet_id, name, password_hash, role)
SELECT f.id, $1, $2, $3 FROM fleets f WHERE f.name = $4
ON CONFLICT (name) DO NOTHING
RETURNING id;

-- name: set_password
-- A new password ends every session of that user.
WITH changed AS (
    UPDATE users SET password_hash = $2 WHERE name = $1 RETURNING id
), ended AS (
    DELETE FROM sessions WHERE user_id IN (SELECT id FROM changed)
)
SELECT id FROM changed;

-- name: user_by_name
-- What sign-in needs to know.
SELECT id, fleet_id, name, password_hash, role FROM users WHERE name = $1;

-- name: list_users
-- Every user, by name.
SELECT u.name, u.role, f.name AS fleet, u.created_at FROM users u JOIN fleets f ON f.id = u.fleet_id ORDER BY u.name;

-- name: add_token
-- An API token; nothing comes back when a token of that name is in force.
INSERT INTO tokens (fleet_id, name, hash, role)
SELECT f.id, $1, $2, $3 FROM fleets f WHERE f.name = $4
ON CONFLICT (fleet_id, name) WHERE revoked_at IS NULL DO NOTHING
RETURNING id;

-- name: revoke_token
-- Ends every token of that name.
UPDATE tokens SET revoked_at = now() WHERE name = $1 AND revoked_at IS NULL RETURNING id;

-- name: token_by_hash
-- Who an API token speaks for.
UPDATE tokens SET last_used_at = now() WHERE hash = $1 AND revoked_at IS NULL RETURNING id, fleet_id, name, role;

-- name: list_tokens
-- Tokens in force, by name.
SELECT t.name, t.role, f.name AS fleet, t.created_at, t.last_used_at
FROM tokens t JOIN fleets f ON f.id = t.fleet_id WHERE t.revoked_at IS NULL ORDER BY t.name;

-- name: add_vehicles
-- Registers vehicles that are not yet known.
INSERT INTO vehicles (fleet_id, ident, name)
SELECT f.id, i.ident, i.ident FROM fleets f, unnest($1::text[]) AS i (ident) WHERE f.name = $2
ON CONFLICT (ident) DO NOTHING;

-- name: add_credentials
-- One device token for each vehicle: $1 idents, $2 hashes, $3 hashes for the MQTT broker.
INSERT INTO credentials (vehicle_id, hash, broker_hash)
SELECT v.id, n.hash, n.broker_hash
FROM unnest($1::text[], $2::bytea[], $3::text[]) AS n (ident, hash, broker_hash) JOIN vehicles v USING (ident);

-- name: revoke_credentials
-- Ends every device token of a vehicle, and its codes that nobody has used.
WITH withdrawn AS (
    UPDATE invites i SET expires_at = now() FROM vehicles v
    WHERE v.id = i.vehicle_id AND v.ident = $1 AND i.used_at IS NULL AND i.expires_at > now()
)
UPDATE credentials c SET revoked_at = now() FROM vehicles v
WHERE v.id = c.vehicle_id AND v.ident = $1 AND c.revoked_at IS NULL RETURNING c.id;

-- name: revoke_credential
-- Ends one device token.
UPDATE credentials SET revoked_at = now() WHERE hash = $1 AND revoked_at IS NULL;

-- name: is_registered
-- Whether that vehicle is there.
SELECT EXISTS (SELECT FROM vehicles WHERE ident = $1);

-- name: other_streams
-- Whether a vehicle sent under a stream that begins so, and is not $3.
SELECT EXISTS (
    SELECT FROM ledger l JOIN vehicles v ON v.id = l.vehicle_id
    WHERE v.ident = $1 AND starts_with(l.stream::text, $2) AND l.stream::text <> $3
);

-- name: devices_by_hash
-- Which vehicles device tokens belong to.
SELECT c.hash AS key, v.id, v.fleet_id, v.ident FROM credentials c JOIN vehicles v ON v.id = c.vehicle_id
WHERE c.hash = ANY ($1::bytea[]) AND c.revoked_at IS NULL;

-- name: devices_by_vehicle
-- Vehicles for which the broker vouches, those that have a device token in force.
SELECT v.ident AS key, v.id, v.fleet_id, v.ident FROM vehicles v
WHERE v.ident = ANY ($1::text[])
    AND EXISTS (SELECT 1 FROM credentials c WHERE c.vehicle_id = v.id AND c.revoked_at IS NULL);

-- name: list_vehicles
-- Every vehicle with its last sign of life.
SELECT v.ident, v.name, f.name AS fleet, l.last_ts, v.created_at
FROM vehicles v JOIN fleets f ON f.id = v.fleet_id LEFT JOIN latest l ON l.vehicle_id = v.id ORDER BY v.ident;

-- name: add_fleet
-- Nothing comes back when the name is taken.
INSERT INTO fleets (name) VALUES ($1) ON CONFLICT (name) DO NOTHING RETURNING id;

-- name: list_fleets
-- Every fleet with its number of vehicles.
SELECT f.name, count(v.id) AS vehicles FROM fleets f LEFT JOIN vehicles v ON v.fleet_id = f.id GROUP BY f.name ORDER BY f.name;

-- name: fleet_exists
-- Whether that fleet is there.
SELECT EXISTS (SELECT FROM fleets WHERE name = $1);

-- name: audit
-- Who did what.
INSERT INTO audit_log (actor, action, data) VALUES ($1, $2, $3::jsonb);
