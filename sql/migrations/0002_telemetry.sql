-- The stored facts. No foreign keys from hypertables: chunks created by many writers deadlock on them.
CREATE TABLE samples (
    ts timestamptz NOT NULL,
    vehicle_id int NOT NULL,
    signal_id int NOT NULL,
    value float8 NOT NULL,
    q smallint
);
SELECT create_hypertable('samples', by_range('ts', INTERVAL '1 day'), create_default_indexes => false);
-- Ascending: rows that share a millisecond then come in the order in which they were stored.
CREATE INDEX samples_vehicle_signal_ts ON samples (vehicle_id, signal_id, ts);

CREATE TABLE fixes (
    ts timestamptz NOT NULL,
    vehicle_id int NOT NULL,
    lat float8 NOT NULL,
    lon float8 NOT NULL,
    alt float8,
    speed float8,
    course float8,
    hdop float8,
    sats smallint,
    q smallint
);
SELECT create_hypertable('fixes', by_range('ts', INTERVAL '7 days'), create_default_indexes => false);
CREATE INDEX fixes_vehicle_ts ON fixes (vehicle_id, ts);

CREATE TABLE device_events (
    ts timestamptz NOT NULL,
    vehicle_id int NOT NULL,
    kind text NOT NULL,
    data jsonb NOT NULL DEFAULT '{}'
);
SELECT create_hypertable('device_events', by_range('ts', INTERVAL '7 days'), create_default_indexes => false);
CREATE INDEX device_events_vehicle_ts ON device_events (vehicle_id, ts);

CREATE TABLE frames (
    ts timestamptz NOT NULL,
    vehicle_id int NOT NULL,
    bus text NOT NULL,
    arb_id bigint NOT NULL,
    data bytea NOT NULL
);
SELECT create_hypertable('frames', by_range('ts', INTERVAL '1 day'), create_default_indexes => false);
CREATE INDEX frames_vehicle_ts ON frames (vehicle_id, ts);

-- What senders without a spool have sent already; ages with its chunks.
CREATE TABLE event_keys (
    ts timestamptz NOT NULL,
    vehicle_id int NOT NULL,
    key bytea NOT NULL,
    UNIQUE (ts, vehicle_id, key)
);
SELECT create_hypertable('event_keys', by_range('ts', INTERVAL '7 days'), create_default_indexes => false);

-- One packed row per vehicle: signal_ids, ts_ms and values run side by side, signal_ids ascending.
CREATE TABLE latest (
    vehicle_id int PRIMARY KEY,
    last_ts timestamptz,
    seen_at timestamptz,
    signal_ids int[] NOT NULL DEFAULT '{}',
    ts_ms bigint[] NOT NULL DEFAULT '{}',
    values float8[] NOT NULL DEFAULT '{}',
    fix_ts timestamptz,
    lat float8,
    lon float8,
    alt float8,
    speed float8,
    course float8
) WITH (fillfactor = 50);
