"""Ways to the cloud: HTTP and MQTT, which of them is taken, how often, and how much of it."""
