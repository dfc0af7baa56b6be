-- name: lock
-- One at a time writes the broker's password file, with what it reads from here on.
SELECT pg_advisory_xact_lock($1);

-- name: state
-- Something that is another whenever a credential was made or ended.
SELECT count(*) || ' ' || coalesce(max(id), 0) || ' ' || count(revoked_at) FROM credentials;

-- name: passwords
-- The newest device token in force of every vehicle, as the broker knows it.
SELECT DISTINCT ON (v.ident) v.ident, c.broker_hash
FROM credentials c JOIN vehicles v ON v.id = c.vehicle_id
WHERE c.revoked_at IS NULL AND c.broker_hash IS NOT NULL
ORDER BY v.ident, c.id DESC;
