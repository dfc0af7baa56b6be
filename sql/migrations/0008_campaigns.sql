-- What vehicles are asked to keep. A version never changes; body is what goes to vehicles, and etag the hash of it.
CREATE TABLE campaigns (
    fleet_id int NOT NULL REFERENCES fleets,
    ident text NOT NULL,
    version int NOT NULL,
    etag text NOT NULL,
    body text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    PRIMARY KEY (fleet_id, ident, version)
);

CREATE TABLE vehicle_campaigns (
    vehicle_id int PRIMARY KEY REFERENCES vehicles ON DELETE CASCADE,
    fleet_id int NOT NULL,
    ident text NOT NULL,
    version int NOT NULL,
    assigned_at timestamptz NOT NULL DEFAULT now(),
    assigned_by text NOT NULL,
    FOREIGN KEY (fleet_id, ident, version) REFERENCES campaigns
);
CREATE INDEX vehicle_campaigns_campaign ON vehicle_campaigns (fleet_id, ident, version);

-- Counts changes of vehicle_campaigns, in their own transactions: what ingest remembers of them holds until it differs.
CREATE TABLE campaign_changes (n bigint NOT NULL);
INSERT INTO campaign_changes VALUES (0);

-- A vehicle's last word on its campaign is found without reading its other events.
CREATE INDEX device_events_campaign ON device_events (vehicle_id, ts) WHERE kind = 'campaign';
