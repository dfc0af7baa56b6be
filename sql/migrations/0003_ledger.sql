-- What arrived, what never will, and what changed by it.
CREATE TABLE ledger (
    vehicle_id int NOT NULL,
    stream uuid NOT NULL,
    received int8multirange NOT NULL DEFAULT '{}',
    dead int8multirange NOT NULL DEFAULT '{}',
    lost int8multirange NOT NULL DEFAULT '{}',
    next bigint NOT NULL DEFAULT 0,
    samples bigint NOT NULL DEFAULT 0,
    fixes bigint NOT NULL DEFAULT 0,
    events bigint NOT NULL DEFAULT 0,
    erased bigint NOT NULL DEFAULT 0,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (vehicle_id, stream)
) WITH (fillfactor = 50);

-- Why seqs were declared lost. received beats lost: a range here may since have arrived.
CREATE TABLE losses (
    vehicle_id int NOT NULL,
    stream uuid NOT NULL,
    range int8range NOT NULL,
    cause text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (vehicle_id, stream, range, cause)
);

CREATE TABLE dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    vehicle_id int NOT NULL,
    stream uuid NOT NULL,
    seq bigint NOT NULL,
    problem text NOT NULL,
    payload bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (vehicle_id, stream, seq)
);

CREATE TABLE set_aside (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    vehicle_id int NOT NULL,
    stream uuid NOT NULL,
    seq bigint NOT NULL,
    cause text NOT NULL,
    payload bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE erasures (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    vehicle_id int NOT NULL,
    t_from timestamptz NOT NULL,
    t_to timestamptz NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

-- Spans whose derived rows are stale; append-only, claimed by DELETE … RETURNING.
CREATE TABLE dirty (
    vehicle_id int NOT NULL,
    t_from timestamptz NOT NULL,
    t_to timestamptz NOT NULL
);

-- What was committed; readers stay below pg_snapshot_xmin and so see it in commit order.
CREATE TABLE journal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    vehicle_id int NOT NULL,
    stream uuid,
    seqs int8multirange NOT NULL DEFAULT '{}',
    t_from timestamptz,
    t_to timestamptz,
    samples int NOT NULL DEFAULT 0,
    fixes int NOT NULL DEFAULT 0,
    events int NOT NULL DEFAULT 0
);
CREATE INDEX journal_xid ON journal (xid, id);
