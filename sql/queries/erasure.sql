-- name: vehicle
-- The vehicle of this name.
SELECT id FROM vehicles WHERE ident = $1;

-- name: order
-- An erasure of [$2, $3), which holds from its commit on: $1 vehicle, $4 who ordered it.
INSERT INTO erasures (vehicle_id, t_from, t_to, actor)
VALUES ($1, coalesce($2::timestamptz, '-infinity'), $3, $4) RETURNING id;

-- name: one
-- What is known of one.
SELECT id, vehicle_id, nullif(t_from, '-infinity') AS t_from, t_to, done_at FROM erasures WHERE id = $1;

-- name: list
-- Erasures, the oldest first: $1 vehicle or null, $2 fleet or null.
SELECT e.id, v.ident AS vehicle, nullif(e.t_from, '-infinity') AS t_from, e.t_to, e.actor, e.at, e.done_at,
    e.samples, e.fixes, e.events, e.frames, e.kept_apart
FROM erasures e JOIN vehicles v ON v.id = e.vehicle_id
WHERE ($1::text IS NULL OR v.ident = $1) AND ($2::int IS NULL OR v.fleet_id = $2) ORDER BY e.id;

-- name: pending
-- What was ordered and is not done.
SELECT id FROM erasures WHERE done_at IS NULL ORDER BY id;

-- name: horizon
-- Transactions that may not have seen what is committed now have lower numbers than this.
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint;

-- name: is_past
-- Whether all transactions with lower numbers than $1 have ended.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= $1;

-- name: chunks
-- The parts of a table that may hold rows of [$2, $3). One that holds the year 1 begins before it.
SELECT greatest(range_start, $2, timestamptz '0001-01-01Z') AS low, least(range_end, $3) AS high
FROM timescaledb_information.chunks
WHERE hypertable_name = $1 AND range_end > $2 AND range_start < $3 ORDER BY range_start;

-- name: delete_rows
-- Rows of a vehicle in [$2, $3), counted in the erasure $4 and for the vehicle. {table} and {column} are ours.
WITH gone AS (
    DELETE FROM {table} WHERE vehicle_id = $1 AND ts >= $2 AND ts < $3 RETURNING 1
), counted AS (
    SELECT count(*) AS n FROM gone
), noted AS (
    UPDATE erasures SET {column} = {column} + n FROM counted WHERE id = $4 AND n > 0
)
INSERT INTO tallies AS t (vehicle_id, what, {column}) SELECT $1, 'erased', n FROM counted WHERE n > 0
ON CONFLICT (vehicle_id, what) DO UPDATE SET {column} = t.{column} + excluded.{column};

-- name: delete_event_keys
-- What told repeats of events in [$2, $3).
DELETE FROM event_keys WHERE vehicle_id = $1 AND ts >= $2 AND ts < $3;

-- name: letters
-- A vehicle's dead letters behind number $2, some at a time.
SELECT id, stream::text FROM dead_letters WHERE vehicle_id = $1 AND id > $2 ORDER BY id LIMIT 50;

-- name: letter
-- One as it is now.
SELECT at, payload FROM dead_letters WHERE id = $1;

-- name: asides
-- What is set aside of a vehicle behind number $2, some at a time.
SELECT id, stream::text, seq, at, payload, samples + fixes + events + frames AS rows
FROM set_aside WHERE vehicle_id = $1 AND id > $2 ORDER BY id LIMIT 50;

-- name: lock_ledger
-- A stream's row, held until commit.
SELECT FROM ledger WHERE vehicle_id = $1 AND stream = $2 FOR UPDATE;

-- name: remove_letter
-- A dead letter of which nothing is left; its number stays settled.
WITH gone AS (
    DELETE FROM dead_letters WHERE id = $1 RETURNING vehicle_id, stream, seq
)
UPDATE ledger l SET
    dead = l.dead - int8multirange(int8range(g.seq, g.seq, '[]')),
    received = l.received + int8multirange(int8range(g.seq, g.seq, '[]')), erased = l.erased + $2
FROM gone g WHERE l.vehicle_id = g.vehicle_id AND l.stream = g.stream
RETURNING true;

-- name: rewrite_letter
-- A dead letter without what was erased of it.
UPDATE dead_letters SET payload = $2 WHERE id = $1;

-- name: remove_aside
-- An entry of which nothing is left.
DELETE FROM set_aside WHERE id = $1 RETURNING true;

-- name: rewrite_aside
-- An entry without what was erased of it.
UPDATE set_aside SET payload = $2, samples = $3, fixes = $4, events = $5, frames = $6,
    t_from = timestamptz 'epoch' + $7::bigint * interval '1 ms', t_to = timestamptz 'epoch' + $8::bigint * interval '1 ms'
WHERE id = $1 RETURNING true;

-- name: add_erased
-- Rows of a stream that were erased before they were ever stored.
UPDATE ledger SET erased = erased + $3 WHERE vehicle_id = $1 AND stream = $2;

-- name: note_apart
-- Rows that were erased outside of the tables.
UPDATE erasures SET kept_apart = kept_apart + $2 WHERE id = $1;

-- name: lock_latest
-- The newest values of a vehicle, held until commit.
SELECT FROM latest WHERE vehicle_id = $1 FOR UPDATE;

-- name: renew_latest
-- The newest values of a vehicle after [$2, $3), in ms, was erased: what was in it gives way to the newest that is left.
WITH known AS (
    SELECT l.vehicle_id, p.id, p.t, p.value FROM latest l, unnest(l.signal_ids, l.ts_ms, l.values) AS p (id, t, value)
    WHERE l.vehicle_id = $1
), left_over AS (
    SELECT id, t, value FROM known WHERE t < $2::bigint OR t >= $3::bigint
    UNION ALL
    SELECT k.id, floor(extract(epoch FROM last.ts) * 1000)::bigint, max(s.value)
    FROM known k
        CROSS JOIN LATERAL (
            SELECT max(ts) AS ts FROM samples WHERE vehicle_id = $1 AND signal_id = k.id
        ) last
        JOIN samples s ON s.vehicle_id = $1 AND s.signal_id = k.id AND s.ts >= date_trunc('milliseconds', last.ts)
    WHERE k.t >= $2 AND k.t < $3
    GROUP BY 1, 2
), packed AS (
    SELECT coalesce(array_agg(id ORDER BY id), '{}') AS ids, coalesce(array_agg(t ORDER BY id), '{}') AS ts,
        coalesce(array_agg(value ORDER BY id), '{}') AS vals, max(t) AS newest
    FROM left_over
), bounds AS (
    SELECT timestamptz 'epoch' + $2::bigint * interval '1 ms' AS low, timestamptz 'epoch' + $3::bigint * interval '1 ms' AS high
), place AS (
    SELECT date_trunc('milliseconds', f.ts) AS ts, f.lat, f.lon, f.alt, f.speed, f.course
    FROM fixes f
    WHERE f.vehicle_id = $1
        AND f.ts >= (SELECT date_trunc('milliseconds', max(ts)) FROM fixes WHERE vehicle_id = $1)
    ORDER BY lat DESC, lon DESC, alt DESC NULLS LAST, speed DESC NULLS LAST, course DESC NULLS LAST LIMIT 1
)
UPDATE latest l SET
    signal_ids = p.ids, ts_ms = p.ts, values = p.vals,
    fix_ts = n.ts, lat = n.lat, lon = n.lon, alt = n.alt, speed = n.speed, course = n.course,
    last_ts = CASE WHEN l.last_ts >= b.low AND l.last_ts < b.high THEN n.newest ELSE l.last_ts END,
    seen_at = CASE WHEN l.last_ts >= b.low AND l.last_ts < b.high AND n.newest IS NULL THEN NULL ELSE l.seen_at END
FROM packed p, bounds b
    LEFT JOIN LATERAL (
        SELECT place.*, greatest(
            place.ts,
            (SELECT timestamptz 'epoch' + p2.newest * interval '1 ms' FROM packed p2),
            (SELECT max(ts) FROM device_events WHERE vehicle_id = $1),
            (SELECT max(ts) FROM frames WHERE vehicle_id = $1)
        ) AS newest
        FROM (SELECT) AS always LEFT JOIN place ON true
    ) n ON true
WHERE l.vehicle_id = $1;

-- name: add_dirty
-- Derived rows of this span are stale.
INSERT INTO dirty (vehicle_id, t_from, t_to) VALUES ($1, greatest($2, timestamptz '0001-01-01Z'), $3);

-- name: finish
-- Nothing is left of it.
UPDATE erasures SET done_at = now() WHERE id = $1;
