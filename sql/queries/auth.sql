-- name: open_session
-- A browser's session, by the hash of its cookie; what has ended is swept on the way.
WITH swept AS (
    DELETE FROM sessions WHERE expires_at <= now()
)
INSERT INTO sessions (hash, user_id, expires_at) VALUES ($1, $2, now() + $3::interval);

-- name: session
-- Who a session belongs to.
SELECT u.fleet_id, u.name, u.role
FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.hash = $1 AND s.expires_at > now();

-- name: close_session
-- Signing out.
DELETE FROM sessions WHERE hash = $1;

-- name: token
-- Who an API token speaks for; its last use is noted once a minute, so that reading seldom writes.
WITH used AS (
    UPDATE tokens SET last_used_at = now()
    WHERE hash = $1 AND revoked_at IS NULL AND coalesce(last_used_at < now() - interval '1 minute', true)
)
SELECT fleet_id, name, role FROM tokens WHERE hash = $1 AND revoked_at IS NULL;
