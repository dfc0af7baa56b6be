"""The one refusal that is nobody's fault."""

import random

import structlog
from aiohttp import hdrs

from cloud.errors import BusDown, BusFull
from cloud.problem import Problem

log = structlog.get_logger()


def try_again(detail: str) -> Problem:
    """503 with a Retry-After that spreads those who come back."""
    return Problem(503, f"{detail}; try again", headers={hdrs.RETRY_AFTER: str(random.randint(1, 5))})


def not_queued(error: BusDown | BusFull) -> Problem:
    """Why batches were not taken."""
    if isinstance(error, BusFull):
        return try_again("the queue is full, the database does not keep up")
    log.warning("not queued", problem=str(error))
    return try_again("the queue does not answer")
