-- name: state
-- Each hypertable: whether it has a columnstore, and after what time the server's policy moves its chunks there.
SELECT h.hypertable_name AS name, h.compression_enabled AS enabled, (
    SELECT (j.config->>'compress_after')::interval FROM timescaledb_information.jobs j
    WHERE j.proc_name = 'policy_compression' AND j.hypertable_name = h.hypertable_name
) AS after
FROM timescaledb_information.hypertables h;

-- name: enable
-- Columns instead of rows, once it is asked for. {table} and {segment} are ours.
ALTER TABLE {table} SET (
    timescaledb.enable_columnstore, timescaledb.segmentby = '{segment}', timescaledb.orderby = 'ts'
);

-- name: add_policy
-- Chunks that ended so long ago become columns by themselves. {table} and {after} are ours.
CALL add_columnstore_policy('{table}', after => INTERVAL '{after}', if_not_exists => true);

-- name: can_pack
-- Whether rows can be copied as columns at once: a setting of the community edition from 2.21 on.
SELECT EXISTS (SELECT FROM pg_settings WHERE name = 'timescaledb.enable_direct_compress_copy')
    AND EXISTS (
        SELECT FROM timescaledb_information.hypertables WHERE hypertable_name = 'samples' AND compression_enabled
    );

-- name: pack
-- What is copied from here on in this transaction becomes columns at once.
SET LOCAL timescaledb.enable_direct_compress_copy = on;

-- name: pack_no_more
-- The opposite.
SET LOCAL timescaledb.enable_direct_compress_copy = off;

-- name: unpack_without_end
-- Rows that a DELETE finds packed are unpacked first, 100,000 at most in a transaction if nothing is said.
SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0;
