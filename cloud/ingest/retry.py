"""The one refusal that is nobody's fault."""

import random

from aiohttp import hdrs

from cloud.problem import Problem


def try_again(detail: str) -> Problem:
    """503 with a Retry-After that spreads those who come back."""
    return Problem(503, f"{detail}; try again", headers={hdrs.RETRY_AFTER: str(random.randint(1, 5))})
