-- name: epoch
-- Which state of the database this is; ids that are known of another one are worth nothing.
SELECT database_epoch();

-- name: vehicles_by_ident
-- Ids of vehicles that the writer meets for the first time.
SELECT ident, id, fleet_id FROM vehicles WHERE ident = ANY ($1::text[]);

-- name: add_signals
-- Names met for the first time, sorted so that two writers never wait for one another.
INSERT INTO signals (fleet_id, name)
SELECT n.fleet_id, n.name FROM unnest($1::int[], $2::text[]) AS n (fleet_id, name) ORDER BY 1, 2
ON CONFLICT (fleet_id, name) DO NOTHING;

-- name: signals_by_name
-- Their ids.
SELECT s.fleet_id, s.name, s.id FROM unnest($1::int[], $2::text[]) AS n (fleet_id, name) JOIN signals s USING (fleet_id, name);

-- name: add_ledger_rows
-- Rows of streams met for the first time, in the order in which they are locked.
INSERT INTO ledger (vehicle_id, stream)
SELECT n.vehicle_id, n.stream FROM unnest($1::int[], $2::uuid[]) AS n (vehicle_id, stream) ORDER BY 1, 2
ON CONFLICT (vehicle_id, stream) DO NOTHING;

-- name: lock_ledger_rows
-- What is known of these streams, held until commit.
SELECT l.vehicle_id, l.stream::text, l.received::text, l.dead::text, l.lost::text, l.next
FROM ledger l JOIN unnest($1::int[], $2::uuid[]) AS n (vehicle_id, stream) USING (vehicle_id, stream)
ORDER BY l.vehicle_id, l.stream FOR UPDATE OF l;

-- name: update_ledger_rows
-- What is known after this group.
UPDATE ledger l SET
    received = n.received::int8multirange, dead = n.dead::int8multirange, lost = n.lost::int8multirange, next = n.next,
    samples = l.samples + n.samples, fixes = l.fixes + n.fixes, events = l.events + n.events, frames = l.frames + n.frames,
    erased = l.erased + n.erased, last_at = now()
FROM unnest(
    $1::int[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[],
    $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[]
) AS n (vehicle_id, stream, received, dead, lost, next, samples, fixes, events, frames, erased)
WHERE l.vehicle_id = n.vehicle_id AND l.stream = n.stream;

-- name: add_losses
-- Ranges that a vehicle declared lost, with its cause.
INSERT INTO losses (vehicle_id, stream, range, cause)
SELECT n.vehicle_id, n.stream, int8range(n.low, n.high, '[]'), n.cause
FROM unnest($1::int[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[]) AS n (vehicle_id, stream, low, high, cause)
ON CONFLICT DO NOTHING;

-- name: add_dead_letter
-- A batch that the database refuses, kept as it came.
INSERT INTO dead_letters (vehicle_id, stream, seq, problem, payload) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (vehicle_id, stream, seq) DO NOTHING;

-- name: take_dead_letter
-- Whether it was there; it is removed with the transaction that stores its content.
DELETE FROM dead_letters WHERE id = $1 AND vehicle_id = $2 AND stream = $3 AND seq = $4 RETURNING true;

-- name: add_latest_rows
-- Rows of vehicles that send for the first time, in the order in which they are locked.
INSERT INTO latest (vehicle_id) SELECT id FROM unnest($1::int[]) AS n (id) ORDER BY 1 ON CONFLICT (vehicle_id) DO NOTHING;

-- name: lock_latest_rows
-- The newest known values, held until commit.
SELECT vehicle_id, signal_ids, ts_ms, values, (extract(epoch FROM last_ts) * 1000)::bigint AS last_ms,
    (extract(epoch FROM fix_ts) * 1000)::bigint AS fix_ms, lat, lon, alt, speed, course
FROM latest WHERE vehicle_id = ANY ($1::int[]) ORDER BY vehicle_id FOR UPDATE;

-- name: update_latest_rows
-- The newest values after this group; those of one vehicle lie in $1, $2 and $3 from `low` to `high`.
UPDATE latest l SET
    seen_at = now(), last_ts = timestamptz 'epoch' + n.last_ms * interval '1 ms',
    signal_ids = ($1::int[])[n.low:n.high], ts_ms = ($2::bigint[])[n.low:n.high], values = ($3::float8[])[n.low:n.high],
    fix_ts = timestamptz 'epoch' + n.fix_ms * interval '1 ms',
    lat = n.lat, lon = n.lon, alt = n.alt, speed = n.speed, course = n.course
FROM unnest(
    $4::int[], $5::int[], $6::int[], $7::bigint[],
    $8::bigint[], $9::float8[], $10::float8[], $11::float8[], $12::float8[], $13::float8[]
) AS n (vehicle_id, low, high, last_ms, fix_ms, lat, lon, alt, speed, course)
WHERE l.vehicle_id = n.vehicle_id;

-- name: set_vehicle_catalogs
-- Which catalog a vehicle's newest batch was decoded with.
UPDATE vehicles v SET catalog = n.catalog FROM unnest($1::int[], $2::text[]) AS n (id, catalog)
WHERE v.id = n.id AND v.catalog IS DISTINCT FROM n.catalog;

-- name: add_dirty
-- Spans whose derived rows are stale.
INSERT INTO dirty (vehicle_id, t_from, t_to)
SELECT n.vehicle_id, timestamptz 'epoch' + n.low * interval '1 ms', timestamptz 'epoch' + n.high * interval '1 ms'
FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS n (vehicle_id, low, high);

-- name: add_journal
-- What this transaction stored.
INSERT INTO journal (vehicle_id, stream, seqs, t_from, t_to, samples, fixes, events)
SELECT n.vehicle_id, n.stream, n.seqs::int8multirange,
    timestamptz 'epoch' + n.low * interval '1 ms', timestamptz 'epoch' + n.high * interval '1 ms', n.samples, n.fixes, n.events
FROM unnest($1::int[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::int[], $7::int[], $8::int[])
    AS n (vehicle_id, stream, seqs, low, high, samples, fixes, events);

-- name: add_event_keys
-- Which events of a sender without a spool are new: $1 vehicle, $2 times in ms, $3 keys, $4 where those lie whose time
-- could not be when they came first.
INSERT INTO event_keys (ts, vehicle_id, key)
SELECT timestamptz 'epoch' + n.ms * interval '1 ms', $1, n.key
FROM unnest($2::bigint[], $3::bytea[]) WITH ORDINALITY AS n (ms, key, place)
WHERE NOT EXISTS (
    SELECT FROM event_keys k
    WHERE k.ts = timestamptz 'epoch' + $4::bigint * interval '1 ms' AND k.vehicle_id = $1 AND k.key = n.key
)
ORDER BY n.place
ON CONFLICT DO NOTHING
RETURNING (extract(epoch FROM ts) * 1000)::bigint AS ms, key;

-- name: erased_spans
-- What must not be stored any more of these vehicles, [low, high) in ms.
SELECT vehicle_id,
    floor(extract(epoch FROM greatest(t_from, timestamptz '0001-01-01Z')) * 1000)::bigint AS low,
    floor(extract(epoch FROM least(t_to, timestamptz '9999-12-31Z')) * 1000)::bigint AS high
FROM erasures WHERE vehicle_id = ANY ($1::int[]);

-- name: add_set_aside
-- Rows whose times cannot be.
INSERT INTO set_aside (vehicle_id, stream, seq, cause, t_from, t_to, samples, fixes, events, frames, payload)
SELECT n.vehicle_id, n.stream, n.seq, n.cause,
    timestamptz 'epoch' + n.low * interval '1 ms', timestamptz 'epoch' + n.high * interval '1 ms',
    n.samples, n.fixes, n.events, n.frames, n.payload
FROM unnest(
    $1::int[], $2::uuid[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::int[], $8::int[], $9::int[], $10::int[],
    $11::bytea[]
) AS n (vehicle_id, stream, seq, cause, low, high, samples, fixes, events, frames, payload);

-- name: take_set_aside
-- Which of these were there; they are removed with the transaction that stores their content.
DELETE FROM set_aside WHERE id = ANY ($1::bigint[]) RETURNING id;

-- name: add_unnumbered
-- What came without a stream, by vehicle.
INSERT INTO tallies AS t (vehicle_id, what, samples, fixes, events, frames, dropped)
SELECT n.vehicle_id, 'unnumbered', n.samples, n.fixes, n.events, n.frames, n.dropped
FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
    AS n (vehicle_id, samples, fixes, events, frames, dropped)
ON CONFLICT (vehicle_id, what) DO UPDATE SET
    samples = t.samples + excluded.samples, fixes = t.fixes + excluded.fixes, events = t.events + excluded.events,
    frames = t.frames + excluded.frames, dropped = t.dropped + excluded.dropped;

-- name: sleepers_in_the_way
-- Our own backends that a writer has been waiting for, and that wait themselves for their process; nobody's psql.
SELECT DISTINCT b.pid, b.xact_start
FROM pg_locks l
    JOIN pg_stat_activity w ON w.pid = l.pid
    CROSS JOIN unnest(pg_blocking_pids(l.pid)) AS blocking (pid)
    JOIN pg_stat_activity b ON b.pid = blocking.pid
WHERE NOT l.granted AND l.waitstart < clock_timestamp() - $1::interval
    AND w.datname = current_database() AND w.application_name = 'fleetwire-writer'
    AND b.datname = current_database() AND b.application_name IN ('fleetwire-writer', 'fleetwire-ingest')
    AND b.wait_event_type = 'Client' AND b.xact_start IS NOT NULL;

-- name: end_backends
-- Those of these backends that are still in the same transaction.
SELECT a.pid, pg_terminate_backend(a.pid) AS ended
FROM pg_stat_activity a JOIN unnest($1::int[], $2::timestamptz[]) AS n (pid, xact_start) USING (pid, xact_start);
