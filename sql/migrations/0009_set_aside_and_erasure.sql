-- Rows whose times cannot be: how many of each kind an entry holds, and when they say they were recorded.
-- Without stream and seq where the sender has none.
ALTER TABLE set_aside
    ALTER COLUMN stream DROP NOT NULL,
    ALTER COLUMN seq DROP NOT NULL,
    ADD COLUMN t_from timestamptz NOT NULL,
    ADD COLUMN t_to timestamptz NOT NULL,
    ADD COLUMN samples int NOT NULL DEFAULT 0,
    ADD COLUMN fixes int NOT NULL DEFAULT 0,
    ADD COLUMN events int NOT NULL DEFAULT 0,
    ADD COLUMN frames int NOT NULL DEFAULT 0;
CREATE INDEX set_aside_vehicle ON set_aside (vehicle_id, stream, seq);

-- erased: rows of this stream that were dropped when they came, taken from the dead letters or from what was set aside.
ALTER TABLE ledger ADD COLUMN frames bigint NOT NULL DEFAULT 0;

-- Rows that no stream accounts for: what came without one, and what was removed from the tables again.
-- Rows in the tables = ledger + unnumbered - erased - aged, for each kind. `dropped` came without a stream into an erased span.
CREATE TABLE tallies (
    vehicle_id int NOT NULL,
    what text NOT NULL CHECK (what IN ('unnumbered', 'erased', 'aged')),
    samples bigint NOT NULL DEFAULT 0,
    fixes bigint NOT NULL DEFAULT 0,
    events bigint NOT NULL DEFAULT 0,
    frames bigint NOT NULL DEFAULT 0,
    dropped bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (vehicle_id, what)
) WITH (fillfactor = 50);

-- An erasure holds for ever: what falls into [t_from, t_to) later is dropped by the writer. The counts are what it removed.
ALTER TABLE erasures
    ADD COLUMN actor text NOT NULL DEFAULT '',
    ADD COLUMN done_at timestamptz,
    ADD COLUMN samples bigint NOT NULL DEFAULT 0,
    ADD COLUMN fixes bigint NOT NULL DEFAULT 0,
    ADD COLUMN events bigint NOT NULL DEFAULT 0,
    ADD COLUMN frames bigint NOT NULL DEFAULT 0,
    ADD COLUMN kept_apart bigint NOT NULL DEFAULT 0,
    ADD CHECK (t_from < t_to);
CREATE INDEX erasures_vehicle ON erasures (vehicle_id);
CREATE INDEX erasures_pending ON erasures (id) WHERE done_at IS NULL;
