"""Who is asking: a browser's session cookie or an API token becomes a principal, which names the fleet it may see."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from cloud.access.accounts import ROLES, token_hash
from cloud.database import Executor, Pool
from cloud.problem import Problem
from cloud.queries import load

COOKIE = "fleetwire_session"
SESSION_LIFE = timedelta(days=7)

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_SQL = load("auth")


@dataclass(frozen=True)
class Principal:
    """`name` is a user's, or an API token's, which then is `token:NAME`; `session` the cookie it came with."""

    fleet_id: int
    name: str
    role: str
    session: str | None = None

    def may(self, role: str) -> bool:
        """Whether this one's role includes `role`: an admin may what a dispatcher may, and that what a viewer may."""
        return ROLES.index(self.role) <= ROLES.index(role)


PRINCIPAL = web.RequestKey("principal", Principal)
NOBODY = Principal(fleet_id=0, name="", role=ROLES[-1])
"""Who asks where no credential is needed: of a fleet that has no vehicles."""


def require_credential(db: Pool, *, public: frozenset[tuple[str, str]]) -> Middleware:
    """Below /v1/ nothing is served without a credential but what is `public`: methods and paths."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/v1/") and (request.method, request.path) not in public:
            request[PRINCIPAL] = principal = await authenticate(db, request.headers, request.cookies)
            if principal.session is not None and request.method not in _SAFE_METHODS:
                check_origin(request.headers)
        return await handler(request)

    return middleware


async def authenticate(db: Executor, headers: Mapping[str, str], cookies: Mapping[str, str]) -> Principal:
    """Raises Problem 401. A token in the header is meant, so a wrong one is not made good by a cookie."""
    if authorization := headers.get(hdrs.AUTHORIZATION):
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise _unauthorized(f"Authorization is '{scheme} …' and should be 'Bearer fwt_…'")
        row = await db.fetchrow(_SQL["token"], token_hash(token.strip()))
        if row is None:
            raise _unauthorized("this API token is not in force; an admin can make one")
        return Principal(row["fleet_id"], f"token:{row['name']}", row["role"])
    if cookie := cookies.get(COOKIE):
        row = await db.fetchrow(_SQL["session"], token_hash(cookie))
        if row is not None:
            return Principal(row["fleet_id"], row["name"], row["role"], cookie)
    raise _unauthorized("sign in with POST /v1/session, or send 'Authorization: Bearer fwt_…'")


async def open_session(db: Executor, user_id: int) -> str:
    """A new session's cookie, of which only the hash is kept."""
    cookie = secrets.token_urlsafe(32)
    await db.execute(_SQL["open_session"], token_hash(cookie), user_id, SESSION_LIFE)
    return cookie


async def close_session(db: Executor, cookie: str) -> None:
    await db.execute(_SQL["close_session"], token_hash(cookie))


def check_origin(headers: Mapping[str, str]) -> None:
    """Raises Problem 403 when a browser says that a page from elsewhere asks. Other clients send no Origin."""
    origin = headers.get(hdrs.ORIGIN)
    if origin is None:
        return
    if _host(origin) != headers.get(hdrs.HOST, "").lower():
        raise Problem(403, f"a page of {origin} may not use this session; open the dashboard at its own address")


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _unauthorized(detail: str) -> Problem:
    return Problem(401, detail, headers={hdrs.WWW_AUTHENTICATE: 'Bearer realm="fleetwire"'})
