-- name: ledger_of_streams
-- What is known of streams, with the epoch in the same statement: a restored or promoted database has another one.
-- With it how often campaigns were assigned: what is remembered of that was read after the count of its time.
SELECT e.epoch, e.changes, l.vehicle_id, l.stream::text, l.received::text, l.dead::text, l.lost::text, l.next
FROM (SELECT database_epoch() AS epoch, (SELECT n FROM campaign_changes) AS changes) e
LEFT JOIN (
    unnest($1::int[], $2::uuid[]) AS n (vehicle_id, stream) JOIN ledger l USING (vehicle_id, stream)
) ON true;

-- name: known_catalogs
-- Which of these catalogs the fleet has.
SELECT hash FROM catalogs WHERE fleet_id = $1 AND hash = ANY ($2::text[]);

-- name: add_catalog
-- A catalog as it was sent.
INSERT INTO catalogs (fleet_id, hash, body) VALUES ($1, $2, $3::jsonb) ON CONFLICT (fleet_id, hash) DO NOTHING;

-- name: describe_signals
-- What a catalog says of its signals; the catalog that came last is right.
INSERT INTO signals (fleet_id, name, unit, min, max, choices)
SELECT $1, n.name, n.unit, n.min, n.max, n.choices::jsonb
FROM unnest($2::text[], $3::text[], $4::float8[], $5::float8[], $6::text[]) AS n (name, unit, min, max, choices)
ORDER BY n.name
ON CONFLICT (fleet_id, name) DO UPDATE
SET unit = excluded.unit, min = excluded.min, max = excluded.max, choices = excluded.choices
WHERE (signals.unit, signals.min, signals.max, signals.choices)
    IS DISTINCT FROM (excluded.unit, excluded.min, excluded.max, excluded.choices);
