-- name: list
-- What lies there, without its content.
SELECT d.id, v.ident AS vehicle, d.stream::text, d.seq, d.at, length(d.payload) AS bytes, d.problem
FROM dead_letters d JOIN vehicles v ON v.id = d.vehicle_id ORDER BY d.id;

-- name: one
-- All of one.
SELECT d.id, v.ident AS vehicle, d.stream::text, d.seq, d.at, d.problem, d.payload
FROM dead_letters d JOIN vehicles v ON v.id = d.vehicle_id WHERE d.id = $1;
