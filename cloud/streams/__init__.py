"""What `cloud.bus` is made of: nodes, what travels, reading, hints, the scripts; and a bus in memory for tests."""
