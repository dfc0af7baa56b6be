"""What can go wrong in the cloud's processes.

CloudError
├── ConfigError      a setting is missing, unknown or wrong
├── DatabaseError    the database cannot be used as it is
│   └── MigrationError
├── AccountError     a user, token or vehicle that cannot be made or found
├── DeadLetterError  a dead letter that cannot be found or stored
├── SetAsideError    rows set aside that cannot be found or released
├── ErasureError     an erasure that cannot be ordered or carried out now
├── PortTaken        somebody else listens on a port that was asked for
├── BusDown          Redis does not answer
├── BusFull          Redis is over its memory limit
└── BrokerAway       the MQTT broker does not answer, or refuses
"""


class CloudError(Exception):
    """Base of all; the message speaks to whoever runs the cloud."""


class ConfigError(CloudError):
    """A setting is missing, unknown or wrong."""


class DatabaseError(CloudError):
    """The database cannot be used as it is."""


class MigrationError(DatabaseError):
    """The schema and the migrations of this version do not fit."""


class AccountError(CloudError):
    """A user, token or vehicle that cannot be made or found."""


class DeadLetterError(CloudError):
    """A dead letter that cannot be found or stored."""


class SetAsideError(CloudError):
    """Rows set aside that cannot be found or released."""


class ErasureError(CloudError):
    """An erasure that cannot be ordered or carried out now."""


class PortTaken(CloudError):
    """Somebody else listens on a port that was asked for."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"port {port} on {host} is in use; stop what listens there or set another port")
        self.host = host
        self.port = port


class BusDown(CloudError):
    """Redis does not answer; what was asked may or may not have happened."""


class BusFull(CloudError):
    """Redis is over its memory limit and took nothing."""


class BrokerAway(CloudError):
    """The MQTT broker does not answer, or refuses."""
