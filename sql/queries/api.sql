-- name: vehicle_id
-- The vehicle of this fleet that has this id.
SELECT id FROM vehicles WHERE fleet_id = $1 AND ident = $2;

-- name: vehicles
-- A page of a fleet's vehicles with where and when each was last: $2 only this one, $3 part of id or name, $4 after, $5 limit,
-- $6 signals that are engine speeds, $7 and $8 how recent driving counts, $9 from which speed.
SELECT v.ident, v.name,
    floor(extract(epoch FROM least(l.last_ts, l.seen_at)) * 1000)::bigint AS seen_ms,
    floor(extract(epoch FROM l.fix_ts) * 1000)::bigint AS fix_ms,
    l.lat, l.lon, l.alt, l.speed, l.course,
    (SELECT floor(extract(epoch FROM max(f.ts)) * 1000)::bigint FROM fixes f
        WHERE f.vehicle_id = v.id AND f.ts >= $7 AND f.ts < $8 AND f.speed > $9) AS driven_ms,
    (SELECT max(s.t) FROM unnest(l.signal_ids, l.ts_ms, l.values) AS s (id, t, value)
        WHERE s.id = ANY ($6::int[]) AND s.value > 0) AS engine_ms
FROM vehicles v LEFT JOIN latest l ON l.vehicle_id = v.id
WHERE v.fleet_id = $1
    AND ($2::text IS NULL OR v.ident = $2)
    AND ($3::text IS NULL OR strpos(lower(v.ident), lower($3)) > 0 OR strpos(lower(v.name), lower($3)) > 0)
    AND ($4::text IS NULL OR v.ident > $4)
ORDER BY v.ident LIMIT $5;

-- name: signal_names
-- Every signal that a fleet has ever sent.
SELECT id, name, unit FROM signals WHERE fleet_id = $1;

-- name: vehicle_signals
-- What is known of each signal that a vehicle has sent.
SELECT s.name, s.unit, s.min, s.max, s.choices::text
FROM latest l JOIN signals s ON s.id = ANY (l.signal_ids) WHERE l.vehicle_id = $1 ORDER BY s.name;

-- name: vehicle_latest
-- The newest value of each of a vehicle's signals.
SELECT s.name, p.t, p.value
FROM latest l, unnest(l.signal_ids, l.ts_ms, l.values) AS p (id, t, value) JOIN signals s ON s.id = p.id
WHERE l.vehicle_id = $1 ORDER BY s.name;

-- name: samples_extent
-- When a vehicle's samples of these signals begin and end: $2 signals, [$3, $4).
SELECT min(e.first) AS first, max(e.last) AS last
FROM unnest($2::int[]) AS w (signal_id)
CROSS JOIN LATERAL (
    SELECT (SELECT ts FROM samples WHERE vehicle_id = $1 AND signal_id = w.signal_id AND ts >= $3 AND ts < $4
                ORDER BY ts LIMIT 1) AS first,
           (SELECT ts FROM samples WHERE vehicle_id = $1 AND signal_id = w.signal_id AND ts >= $3 AND ts < $4
                ORDER BY ts DESC LIMIT 1) AS last
) e;

-- name: buckets
-- Samples of these signals in buckets of width $5 from $3 to $4. The sum is scaled, exactly, so that it cannot overflow.
SELECT signal_id, floor(extract(epoch FROM time_bucket($5::interval, ts, $3::timestamptz)) * 1000)::bigint AS t,
    min(value) AS min, max(value) AS max,
    sum(value / 1048576.0) / count(*) * 1048576.0 AS mean, count(*) AS n
FROM samples WHERE vehicle_id = $1 AND signal_id = ANY ($2::int[]) AND ts >= $3 AND ts < $4
GROUP BY signal_id, time_bucket($5::interval, ts, $3::timestamptz) ORDER BY 1, 2;

-- name: samples
-- A page of samples as stored, by time: of each signal $2 from $3, the first $4 left out, to $5, at most $6.
-- Times are unique within a batch's column; what ties beyond that comes as it was stored.
SELECT w.signal_id, p.ts, p.value
FROM unnest($2::int[], $4::int[]) WITH ORDINALITY AS w (signal_id, seen, place)
CROSS JOIN LATERAL (
    SELECT ts, ctid AS stored, value FROM samples
    WHERE vehicle_id = $1 AND signal_id = w.signal_id AND ts >= $3 AND ts < $5
    ORDER BY ts, ctid OFFSET w.seen LIMIT $6
) p
ORDER BY p.ts, w.place, p.stored LIMIT $6;

-- name: fixes
-- A vehicle's fixes of [$2, $4), the first $3 left out, at most $5.
SELECT ts, lat, lon, alt, speed, course FROM fixes
WHERE vehicle_id = $1 AND ts >= $2 AND ts < $4 ORDER BY ts, ctid OFFSET $3 LIMIT $5;

-- name: frames
-- A vehicle's raw frames of [$2, $4), the first $3 left out, at most $5, of bus $6.
SELECT ts, bus, arb_id, data FROM frames
WHERE vehicle_id = $1 AND ts >= $2 AND ts < $4 AND ($6::text IS NULL OR bus = $6) ORDER BY ts, ctid OFFSET $3 LIMIT $5;

-- name: streams
-- What the ledger says of each of a vehicle's streams.
SELECT stream::text, received::text, dead::text, lost::text, next, samples, fixes, events, erased
FROM ledger WHERE vehicle_id = $1 ORDER BY first_at, stream;

-- name: forks
-- Streams of a vehicle whose agents began from the same spool: an old image that was put back, or two agents.
SELECT data->>'before' AS before, array_agg(DISTINCT data->>'stream') AS streams FROM device_events
WHERE vehicle_id = $1 AND kind = 'agent_started' AND data->>'before' <> '' AND data->>'stream' <> ''
GROUP BY 1 HAVING count(DISTINCT data->>'stream') > 1 ORDER BY 1 LIMIT 100;

-- name: tallies
-- What was counted of a vehicle's rows, by how they came and went.
SELECT 'numbered' AS what, coalesce(sum(samples), 0)::bigint AS samples, coalesce(sum(fixes), 0)::bigint AS fixes,
    coalesce(sum(events), 0)::bigint AS events, coalesce(sum(frames), 0)::bigint AS frames
FROM ledger WHERE vehicle_id = $1
UNION ALL
SELECT what, samples, fixes, events, frames FROM tallies WHERE vehicle_id = $1;

-- name: aside_by_stream
-- What is set aside of a vehicle.
SELECT stream::text, cause, count(*) AS entries, sum(samples) AS samples, sum(fixes) AS fixes, sum(events) AS events,
    sum(frames) AS frames
FROM set_aside WHERE vehicle_id = $1 GROUP BY stream, cause ORDER BY stream NULLS FIRST, cause;

-- name: losses
-- Why a vehicle's batches were declared lost, oldest declaration first.
SELECT stream::text, lower(range) AS first, upper(range) - 1 AS last, cause
FROM losses WHERE vehicle_id = $1 ORDER BY at, range, cause;

-- name: events
-- A page of a fleet's device events, newest first: $2 vehicle, $3 kind, [$4, $5), the first $6 left out, at most $7.
SELECT v.ident, e.ts, e.kind, e.data::text
FROM device_events e JOIN vehicles v ON v.id = e.vehicle_id
WHERE v.fleet_id = $1 AND ($2::int IS NULL OR e.vehicle_id = $2) AND ($3::text IS NULL OR e.kind = $3)
    AND e.ts >= $4 AND e.ts < $5
ORDER BY e.ts DESC, e.vehicle_id, e.ctid OFFSET $6 LIMIT $7;

-- name: report_vehicles
-- The vehicles of a report's page: $2 only this one, $3 after, $4 limit.
SELECT id, ident FROM vehicles
WHERE fleet_id = $1 AND ($2::text IS NULL OR ident = $2) AND ($3::text IS NULL OR ident > $3)
ORDER BY ident LIMIT $4;

-- name: daily
-- Each UTC day of vehicles $1 within [$2, $3). A step leads from a fix to the next and belongs to the day in which it ends;
-- its length is the great circle's on a sphere of 6,371,008.8 m. It is driving when it took at most $4 s at more than $5 km/h,
-- by the later fix's speed or, where it has none, by its length.
WITH fixed AS (
    SELECT vehicle_id, ts, lat, lon, speed FROM fixes WHERE vehicle_id = ANY ($1::int[]) AND ts >= $2 AND ts < $3
    UNION ALL
    SELECT w.vehicle_id, p.ts, p.lat, p.lon, p.speed FROM unnest($1::int[]) AS w (vehicle_id)
    CROSS JOIN LATERAL (
        SELECT ts, lat, lon, speed FROM fixes WHERE vehicle_id = w.vehicle_id AND ts < $2 ORDER BY ts DESC LIMIT 1
    ) p
), paired AS (
    SELECT vehicle_id, ts, speed, radians(lat) AS lat, radians(lon) AS lon,
        lag(ts) OVER w AS ts0, radians(lag(lat) OVER w) AS lat0, radians(lag(lon) OVER w) AS lon0
    FROM fixed WINDOW w AS (PARTITION BY vehicle_id ORDER BY ts, lat, lon)
), steps AS (
    SELECT vehicle_id, ts, speed, extract(epoch FROM ts - ts0)::float8 AS took_s,
        CASE WHEN ts0 IS NOT NULL THEN 2 * 6371008.8 * asin(least(1, sqrt(
            sin((lat - lat0) / 2) ^ 2 + cos(lat0) * cos(lat) * sin((lon - lon0) / 2) ^ 2))) END AS metres
    FROM paired
), driven AS (
    SELECT vehicle_id, time_bucket('1 day', ts) AS day, count(*) AS fixes, max(speed) AS max_speed,
        coalesce(sum(metres), 0) AS metres, min(ts) AS first, max(ts) AS last,
        coalesce(sum(took_s) FILTER (WHERE took_s <= $4 AND coalesce(speed, metres * 3.6 / nullif(took_s, 0), 0) > $5), 0)
            AS driving_s
    FROM steps WHERE ts >= $2 GROUP BY 1, 2
), sampled AS (
    SELECT vehicle_id, time_bucket('1 day', ts) AS day, count(*) AS samples, min(ts) AS first, max(ts) AS last
    FROM samples WHERE vehicle_id = ANY ($1::int[]) AND ts >= $2 AND ts < $3 GROUP BY 1, 2
), happened AS (
    SELECT vehicle_id, time_bucket('1 day', ts) AS day, count(*) AS events, min(ts) AS first, max(ts) AS last
    FROM device_events WHERE vehicle_id = ANY ($1::int[]) AND ts >= $2 AND ts < $3 GROUP BY 1, 2
)
SELECT vehicle_id, (day AT TIME ZONE 'UTC')::date AS day, coalesce(d.metres, 0) / 1000 AS distance_km, coalesce(d.driving_s, 0) AS driving_s, d.max_speed,
    least(d.first, s.first, e.first) AS first, greatest(d.last, s.last, e.last) AS last,
    coalesce(s.samples, 0) AS samples, coalesce(d.fixes, 0) AS fixes, coalesce(e.events, 0) AS events
FROM driven d FULL JOIN sampled s USING (vehicle_id, day) FULL JOIN happened e USING (vehicle_id, day)
ORDER BY vehicle_id, day;

-- name: fleet_name
-- What a fleet is called.
SELECT name FROM fleets WHERE id = $1;

-- name: users
-- A fleet's users, by name.
SELECT name, role, created_at FROM users WHERE fleet_id = $1 ORDER BY name;

-- name: delete_user
-- A user and the sessions that are open; the last admin stays.
DELETE FROM users u WHERE u.fleet_id = $1 AND u.name = $2
    AND (u.role <> 'admin' OR EXISTS (SELECT FROM users o WHERE o.fleet_id = $1 AND o.role = 'admin' AND o.id <> u.id))
RETURNING u.id;

-- name: user_exists
-- Whether a fleet has that user.
SELECT EXISTS (SELECT FROM users WHERE fleet_id = $1 AND name = $2);

-- name: tokens
-- A fleet's API tokens in force, by name.
SELECT name, role, created_at, last_used_at FROM tokens WHERE fleet_id = $1 AND revoked_at IS NULL ORDER BY name;

-- name: revoke_token
-- Ends an API token of a fleet.
UPDATE tokens SET revoked_at = now() WHERE fleet_id = $1 AND name = $2 AND revoked_at IS NULL RETURNING id;

-- name: add_credential
-- A further device token of a vehicle.
INSERT INTO credentials (vehicle_id, hash) VALUES ($1, $2);

-- name: revoke_credentials
-- Ends every device token of a vehicle, and its codes that nobody has used.
WITH withdrawn AS (
    UPDATE invites SET expires_at = now() WHERE vehicle_id = $1 AND used_at IS NULL AND expires_at > now()
)
UPDATE credentials SET revoked_at = now() WHERE vehicle_id = $1 AND revoked_at IS NULL RETURNING id;

-- name: audit
-- Who did what.
INSERT INTO audit_log (actor, action, data) VALUES ($1, $2, $3::jsonb);
