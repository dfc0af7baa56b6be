"""What the simulator raises."""


class SimulatorError(Exception):
    """The base of all of it. The message says what happened, where, and what to do."""
