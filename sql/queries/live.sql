-- name: vehicles
-- Every vehicle with its newest values: $1 and $2 how recent driving counts, $3 from which speed.
SELECT v.ident, v.name, v.fleet_id,
    floor(extract(epoch FROM least(l.last_ts, l.seen_at)) * 1000)::bigint AS seen_ms,
    floor(extract(epoch FROM l.fix_ts) * 1000)::bigint AS fix_ms, l.lat, l.lon, l.alt, l.speed, l.course,
    l.signal_ids, l.ts_ms, l.values,
    (SELECT floor(extract(epoch FROM max(f.ts)) * 1000)::bigint FROM fixes f
        WHERE f.vehicle_id = v.id AND f.ts >= $1 AND f.ts < $2 AND f.speed > $3) AS driven_ms
FROM vehicles v LEFT JOIN latest l ON l.vehicle_id = v.id;

-- name: signal_names
-- What the ids in the packed rows stand for.
SELECT id, name FROM signals;

-- name: erasures
-- Vehicles of which something was erased, but for the erasures $1.
SELECT e.id, v.ident FROM erasures e JOIN vehicles v ON v.id = e.vehicle_id
WHERE e.done_at IS NOT NULL AND NOT e.id = ANY ($1::bigint[]);
