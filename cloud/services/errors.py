"""What can go wrong with the embedded services."""

from cloud.errors import CloudError


class ServiceError(CloudError):
    """A service cannot be unpacked, started or stopped; the message says what to do."""


WITH_DOCKER = (
    "start the services with 'docker compose up -d' and set FLEETWIRE_DATABASE_URL, FLEETWIRE_REDIS_URL "
    "and FLEETWIRE_MQTT_URL as compose.yaml says"
)
