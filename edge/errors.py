"""What can go wrong on the vehicle, told to the person who can act.

EdgeError
├── ConfigError    the agent's file
├── SpoolError     the spool cannot be opened or written
├── UplinkError    the credential or the address cannot be used
└── DbcError, RecordingError …    beside the code that raises them
"""


class EdgeError(Exception):
    """The base of all errors of this package; its text names what happened, where, and what to do."""


class ConfigError(EdgeError):
    """The agent's file is wrong."""


class SpoolError(EdgeError):
    """The spool cannot be used."""


class UplinkError(EdgeError):
    """The uplink cannot start."""
