-- Which state of the database this is: another one after a restart, a restore, a promotion, or when the ledger was built anew.
CREATE FUNCTION database_epoch() RETURNS text LANGUAGE sql AS $$
    SELECT left(md5(concat_ws('/',
        (SELECT system_identifier FROM pg_control_system()),
        CASE WHEN pg_is_in_recovery() THEN 'recovery' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END,
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        pg_postmaster_start_time(),
        pg_relation_filenode('ledger')
    )), 16)
$$;
