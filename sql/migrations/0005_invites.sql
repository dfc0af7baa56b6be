-- One-time codes that a vehicle's agent exchanges for a device token of its own.
CREATE TABLE invites (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    vehicle_id int NOT NULL REFERENCES vehicles ON DELETE CASCADE,
    hash bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX invites_vehicle ON invites (vehicle_id);
