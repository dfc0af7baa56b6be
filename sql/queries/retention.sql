-- name: settings
-- How long every fleet keeps each class; null is for ever.
SELECT f.name AS fleet, r.class, r.keep FROM fleets f LEFT JOIN retention r ON r.fleet_id = f.id ORDER BY f.name, r.class;

-- name: fleet_settings
-- How long one fleet keeps each class.
SELECT class, keep FROM retention WHERE fleet_id = $1;

-- name: fleet
-- The fleet of this name.
SELECT id FROM fleets WHERE name = $1;

-- name: set
-- How long a fleet keeps a class from now on.
INSERT INTO retention (fleet_id, class, keep) VALUES ($1, $2, $3)
ON CONFLICT (fleet_id, class) DO UPDATE SET keep = excluded.keep;

-- name: unset
-- A fleet keeps a class for ever again.
DELETE FROM retention WHERE fleet_id = $1 AND class = $2;

-- name: cuts
-- For every fleet that has vehicles, what is older than which moment goes: $1 class, $2 now. Null: nothing.
SELECT f.id AS fleet_id, $2::timestamptz - r.keep AS cut
FROM fleets f LEFT JOIN retention r ON r.fleet_id = f.id AND r.class = $1
WHERE EXISTS (SELECT FROM vehicles v WHERE v.fleet_id = f.id);

-- name: chunks
-- The parts of a table that begin before $2, the oldest first. One that holds the year 1 begins before it.
SELECT format('%I.%I', chunk_schema, chunk_name) AS name, greatest(range_start, timestamptz '0001-01-01Z') AS low,
    range_end AS high
FROM timescaledb_information.chunks WHERE hypertable_name = $1 AND range_start < $2 ORDER BY range_start;

-- name: vehicles
-- A fleet's vehicles.
SELECT id FROM vehicles WHERE fleet_id = $1 ORDER BY id;

-- name: count_chunk
-- What a chunk holds of each vehicle is counted as aged before it goes. {chunk} and {column} are ours.
INSERT INTO tallies AS t (vehicle_id, what, {column})
SELECT vehicle_id, 'aged', count(*) FROM {chunk} GROUP BY 1 ORDER BY 1
ON CONFLICT (vehicle_id, what) DO UPDATE SET {column} = t.{column} + excluded.{column};

-- name: drop_chunk
-- The one chunk of a table that lies between $2 and $3.
SELECT drop_chunks($1::regclass, newer_than => $2::timestamptz, older_than => $3::timestamptz);

-- name: delete_aged
-- Rows of some vehicles in [$2, $3), counted as aged. {table} and {column} are ours.
WITH gone AS (
    DELETE FROM {table} WHERE vehicle_id = ANY ($1::int[]) AND ts >= $2 AND ts < $3 RETURNING vehicle_id
)
INSERT INTO tallies AS t (vehicle_id, what, {column})
SELECT vehicle_id, 'aged', count(*) FROM gone GROUP BY 1 ORDER BY 1
ON CONFLICT (vehicle_id, what) DO UPDATE SET {column} = t.{column} + excluded.{column};

-- name: delete_aged_keys
-- What told repeats of events in [$2, $3).
DELETE FROM event_keys WHERE vehicle_id = ANY ($1::int[]) AND ts >= $2 AND ts < $3;

-- name: policies
-- The server's own retention policies.
SELECT hypertable_name AS name, (config->>'drop_after')::interval AS drop_after
FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention';

-- name: add_policy
-- Community edition: the server drops what is older by itself.
SELECT add_retention_policy($1::regclass, $2::interval);

-- name: remove_policy
-- Community edition: it does not any more.
SELECT remove_retention_policy($1::regclass, if_exists => true);

-- name: drop_journal
-- Journal chunks that ended before $1.
SELECT drop_chunks('journal', older_than => $1::timestamptz);

-- name: compact_dirty
-- Spans of one vehicle that are less than ten minutes apart become one, where a vehicle has more than $1.
WITH crowded AS (
    SELECT vehicle_id FROM dirty GROUP BY 1 HAVING count(*) > $1
), locked AS (
    SELECT d.ctid FROM dirty d JOIN crowded USING (vehicle_id) FOR UPDATE OF d SKIP LOCKED
), taken AS (
    DELETE FROM dirty WHERE ctid = ANY (ARRAY (SELECT ctid FROM locked)) RETURNING vehicle_id, t_from, t_to
)
INSERT INTO dirty (vehicle_id, t_from, t_to)
SELECT vehicle_id, lower(span) + interval '5 minutes', upper(span) - interval '5 minutes'
FROM (
    SELECT vehicle_id, unnest(range_agg(tstzrange(t_from - interval '5 minutes', t_to + interval '5 minutes', '[]'))) AS span
    FROM taken GROUP BY 1
) AS joined;
