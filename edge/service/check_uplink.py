"""Try the way to the cloud: reached, credential accepted, clocks alike."""

import time
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from ssl import SSLContext
from typing import Final

import aiohttp
import zstandard

from edge.errors import UplinkError
from edge.service.finding import Finding, note, ok, problem
from edge.ways.http_problem import reason
from edge.ways.transport import Transport

MOST_SKEW_S: Final = 30.0
_TIMEOUT: Final = aiohttp.ClientTimeout(total=15)
_NOTHING: Final = zstandard.compress(b'{"batches":[],"streams":[]}')
_ENCODING: Final = {"Content-Type": "application/json", "Content-Encoding": "zstd"}
_REACH: Final = "is there a network, is the address right, is ingest running? Until then everything waits in the spool"
_ENROL: Final = "'fleetwire edge enroll CODE' gets a new one; 'fleetwire admin vehicle invite' makes the code"


async def check_uplink(
    url: str, token: Callable[[], str], *, now: Callable[[], datetime], tls: SSLContext | None = None
) -> list[Finding]:
    """Sends a request with nothing in it, which changes nothing. `token` may raise UplinkError."""
    try:
        headers = {"Authorization": f"Bearer {token()}", **_ENCODING}
    except UplinkError as error:
        return [problem("uplink", str(error), _ENROL)]
    began = time.monotonic()
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.post(
                f"{url.rstrip('/')}/v1/batches", data=_NOTHING, headers=headers, allow_redirects=False, ssl=tls or True
            ) as got,
        ):
            answer = (await got.read())[:200].decode(errors="replace")
            status, date = got.status, got.headers.get("Date", "")
    except aiohttp.ClientConnectorCertificateError as error:
        return [problem("uplink", f"{url}: {error}", "the server's certificate is not trusted, or the clock is wrong")]
    except (aiohttp.ClientError, TimeoutError) as error:
        return [problem("uplink", f"{url} does not answer: {reason(error)}", _REACH)]
    took_ms = 1000 * (time.monotonic() - began)
    return [_judge(url, status, answer, took_ms), *_compare_clocks(date, now())]


async def check_broker(url: str, transport: Transport) -> Finding:
    """The same by way of an MQTT broker, which tells no time."""
    began = time.monotonic()
    answer = await transport.send(_NOTHING)
    if not answer.status:
        return problem("uplink", f"{url} does not answer: {answer.problem}", _REACH)
    said = answer.problem or answer.body[:200].decode(errors="replace")
    return _judge(url, answer.status, said, 1000 * (time.monotonic() - began))


def _judge(url: str, status: int, answer: str, took_ms: float) -> Finding:
    if status == 200 and answer.startswith("{"):
        return ok("uplink", f"{url} answers in {took_ms:.0f} ms and accepts the credential")
    if status in (401, 403):
        return problem("uplink", f"{url} refuses the credential ({status}): {answer}", _ENROL)
    if status in (429, 503):
        return note("uplink", f"{url} is there, and cannot take anything now ({status})", "nothing to do here")
    return problem("uplink", f"{url} answers {status}: {answer}", "this is no ingest server: look at uplink.url")


def _compare_clocks(date: str, now: datetime) -> list[Finding]:
    try:
        skew_s = (now - parsedate_to_datetime(date)).total_seconds()
    except (TypeError, ValueError):  # no Date, or none with a zone
        return []
    if abs(skew_s) <= MOST_SKEW_S:
        return []
    words = f"{abs(skew_s):,.0f} s {'ahead of' if skew_s > 0 else 'behind'} the cloud's"
    return [problem("clock", f"this clock is {words}", "set the one that is wrong; what is recorded now is misplaced")]
