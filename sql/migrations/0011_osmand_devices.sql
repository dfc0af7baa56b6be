-- Devices that report positions over HTTP as OsmAnd does, and which vehicle each is. The identifier is all that such a
-- device proves itself with, so that it should be hard to guess.
CREATE TABLE osmand_devices (
    ident text PRIMARY KEY CHECK (length(ident) BETWEEN 1 AND 128),
    vehicle_id int NOT NULL UNIQUE REFERENCES vehicles ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now()
);
