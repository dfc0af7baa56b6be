-- The same token once more, hashed as Mosquitto's password file wants it. Tokens from before have none.
ALTER TABLE credentials ADD COLUMN broker_hash text;
