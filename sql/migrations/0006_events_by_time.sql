-- A fleet's newest events are asked for without a vehicle; by (vehicle_id, ts) alone that read them all.
CREATE INDEX device_events_ts ON device_events (ts);
