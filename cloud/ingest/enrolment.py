"""POST /v1/enroll: a vehicle's agent exchanges a one-time code for its device token. The one route without a token."""

import asyncio
import math
from collections.abc import Callable
from typing import Any, Final

import asyncpg
import structlog
from aiohttp import hdrs

from cloud.access.invites import Enrolled, Reason, Refusal, redeem
from cloud.access.login_throttle import LoginThrottle
from cloud.database import QUICK_S, UNAVAILABLE, Pool
from cloud.ingest.metrics import IngestMetrics
from cloud.ingest.retry import try_again
from cloud.problem import Problem
from wire.names import is_vehicle

MOST_BYTES: Final = 1_000

_ADVICE: Final = "'fleetwire admin vehicle invite ID' makes a new one"
_REFUSALS: Final = {
    Reason.UNKNOWN: (404, f"there is no such code; compare it with what was given out, or {_ADVICE}"),
    Reason.USED: (410, f"this code has been used, and each is good once; {_ADVICE}"),
    Reason.EXPIRED: (410, f"this code has expired; {_ADVICE}"),
}

log = structlog.get_logger()


class Enrolment:
    """Codes are too long to be guessed; an address that goes on trying is slowed down for the database's sake."""

    def __init__(self, pool: Pool, metrics: IngestMetrics, *, now_s: Callable[[], float]) -> None:
        self._pool = pool
        self._metrics = metrics
        self._now_s = now_s
        self._throttle = LoginThrottle()

    async def enroll(self, value: Any, address: str) -> dict[str, str]:
        """Raises Problem 404, 409, 410, 422, 429 or 503; then the code is as it was."""
        code, vehicle = _read(value)
        key, now_s = (address,), self._now_s()
        if (wait_s := math.ceil(self._throttle.wait_s(key, now_s))) > 0:
            self._metrics.enrolments.labels("throttled").inc()
            raise Problem(
                429, f"too many wrong codes; try again in {wait_s} s", headers={hdrs.RETRY_AFTER: str(wait_s)}
            )
        try:
            async with asyncio.timeout(QUICK_S), self._pool.acquire(timeout=QUICK_S) as connection:
                outcome = await redeem(connection, code, vehicle=vehicle)
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            raise try_again("the database cannot be asked for this code") from error
        if isinstance(outcome, Enrolled):
            self._throttle.succeeded(key)
            self._metrics.enrolments.labels("enrolled").inc()
            log.info("vehicle_enrolled", vehicle=outcome.vehicle)
            return {"vehicle": outcome.vehicle, "token": outcome.token}
        self._throttle.failed(key, now_s)
        self._metrics.enrolments.labels(outcome.reason.value).inc()
        raise _refused(outcome)


def _read(value: Any) -> tuple[str, str | None]:
    code, vehicle = (value.get("code"), value.get("vehicle")) if isinstance(value, dict) else (None, None)
    if not isinstance(code, str) or not (vehicle is None or (isinstance(vehicle, str) and is_vehicle(vehicle))):
        raise Problem(422, 'send {"code": "XXXXX-XXXXX-XXXXX-XXXXX"}, and "vehicle" where it is known')
    return code, vehicle


def _refused(refusal: Refusal) -> Problem:
    if refusal.reason is Reason.OTHER_VEHICLE:
        return Problem(409, f"this code is for '{refusal.vehicle}'; correct the agent's 'vehicle', or {_ADVICE}")
    return Problem(*_REFUSALS[refusal.reason])
