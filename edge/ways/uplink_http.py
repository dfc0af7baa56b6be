"""The uplink's transport over HTTP."""

from collections.abc import Callable
from http import HTTPStatus
from ssl import SSLContext

import aiohttp

from edge.errors import UplinkError
from edge.ways.http_problem import reason
from edge.ways.transport import REQUEST_TIMEOUT_S, Answer


class HttpTransport:
    """Posts to the ingest address. Many may share one session."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        url: str,
        token: Callable[[], str],
        timeout_s: float = REQUEST_TIMEOUT_S,
        tls: SSLContext | None = None,
    ) -> None:
        """`token` is asked at each request, so that a new one is used without a restart; it may raise UplinkError."""
        self._session = session
        self._url = url.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._tls: SSLContext | bool = tls or True

    async def send(self, body: bytes, *, timeout_s: float | None = None) -> Answer:
        headers = {"Content-Type": "application/json", "Content-Encoding": "zstd"}
        return await self._request("POST", "/v1/batches", body, headers, timeout_s or self._timeout_s)

    async def send_catalog(self, name: str, body: bytes) -> Answer:
        headers = {"Content-Type": "application/json"}
        return await self._request("PUT", f"/v1/catalogs/{name}", body, headers, self._timeout_s)

    async def fetch_campaign(self) -> Answer:
        return await self._request("GET", "/v1/campaign", None, {}, self._timeout_s)

    async def _request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], timeout_s: float
    ) -> Answer:
        # A slow link is given more time, but not for the connection.
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=self._timeout_s)
        try:
            headers = {**headers, "Authorization": f"Bearer {self._token()}"}
            async with self._session.request(
                method,
                self._url + path,
                data=body,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                ssl=self._tls,
            ) as response:
                retry_after_s = _seconds(response.headers.get("Retry-After", ""))
                return Answer(response.status, await response.read(), retry_after_s)
        except UplinkError as error:
            return Answer(HTTPStatus.UNAUTHORIZED, problem=str(error), is_sent=False)
        except (aiohttp.ClientError, TimeoutError) as error:
            return Answer(problem=reason(error), is_sent=not isinstance(error, aiohttp.ClientConnectorError))


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() else 0.0
