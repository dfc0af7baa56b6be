-- How long a fleet keeps each class of data; what is not named here is kept for ever.
CREATE TABLE retention (
    fleet_id int NOT NULL REFERENCES fleets ON DELETE CASCADE,
    class text NOT NULL CHECK (class IN ('samples', 'fixes', 'events', 'frames')),
    keep interval NOT NULL CHECK (keep >= interval '1 day'),
    PRIMARY KEY (fleet_id, class)
);

-- The journal gets a row for every vehicle and group. In chunks, so that what is old goes without a trace of work;
-- nobody has read of it yet.
TRUNCATE journal;
ALTER TABLE journal DROP CONSTRAINT journal_pkey;
ALTER TABLE journal ADD COLUMN at timestamptz NOT NULL DEFAULT now();
SELECT create_hypertable('journal', by_range('at', INTERVAL '6 hours'), create_default_indexes => false);
