-- name: list
-- Entries without their content, the oldest first: $1 vehicle, $2 stream, $3 cause, each or null; $4 fleet or null; after $5, $6 at most.
SELECT s.id, v.ident AS vehicle, s.stream::text, s.seq, s.cause, s.at, s.t_from, s.t_to, s.samples, s.fixes, s.events, s.frames
FROM set_aside s JOIN vehicles v ON v.id = s.vehicle_id
WHERE ($1::text IS NULL OR v.ident = $1) AND ($2::text IS NULL OR s.stream::text = $2) AND ($3::text IS NULL OR s.cause = $3)
    AND ($4::int IS NULL OR v.fleet_id = $4) AND s.id > $5
ORDER BY s.id LIMIT $6;

-- name: contents
-- Entries with their content, by number.
SELECT s.id, v.ident AS vehicle, s.stream::text, s.seq, s.cause, s.at, s.payload
FROM set_aside s JOIN vehicles v ON v.id = s.vehicle_id WHERE s.id = ANY ($1::bigint[]) ORDER BY s.vehicle_id, s.stream, s.seq, s.id;

-- name: earliest
-- When the rows of entries begin.
SELECT min(t_from) FROM set_aside WHERE id = ANY ($1::bigint[]);
