"""Signing in and out with a browser."""

import math

from aiohttp import web

from cloud.access import accounts
from cloud.access.auth import COOKIE, SESSION_LIFE, check_origin, close_session, open_session
from cloud.access.login_throttle import LoginThrottle
from cloud.api.call import Call
from cloud.api.query import Query
from cloud.api.replies import Credentials, Session
from cloud.problem import Problem

THROTTLE = web.AppKey("login_throttle", LoginThrottle)


async def sign_in(call: Call[Query, Credentials]) -> web.Response:
    """Wrong names and wrong passwords are refused alike, and both slow down whoever goes on trying."""
    check_origin(call.request.headers)
    throttle, credentials = call.request.app[THROTTLE], call.body
    keys = (f"name:{credentials.user}", f"address:{call.request.remote}")
    now_s = call.now.timestamp()
    if (wait_s := throttle.wait_s(keys, now_s)) > 0:
        seconds = math.ceil(wait_s)
        raise Problem(429, f"too many wrong passwords; try again in {seconds} s", headers={"Retry-After": str(seconds)})
    # Counted before it is known, so that many tries at once are no way around; a right one wipes it out again.
    throttle.failed(keys, now_s)
    user = await accounts.authenticate(call.db, credentials.user, credentials.password.get_secret_value())
    if user is None:
        raise Problem(401, "the name or the password is wrong")
    throttle.succeeded(keys)
    response = _session(user.name, user.role)
    response.set_cookie(
        COOKIE,
        await open_session(call.db, user.id),
        max_age=int(SESSION_LIFE.total_seconds()),
        httponly=True,
        samesite="Strict",
        secure=call.request.secure,
        path="/",
    )
    return response


async def who_am_i(call: Call[Query, None]) -> Session:
    return Session.model_validate({"user": call.principal.name, "role": call.principal.role})


async def sign_out(call: Call[Query, None]) -> web.Response:
    if call.principal.session is not None:
        await close_session(call.db, call.principal.session)
    response = web.Response(status=204)
    response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
    return response


def _session(name: str, role: str) -> web.Response:
    body = Session.model_validate({"user": name, "role": role}).model_dump_json()
    return web.Response(text=body, content_type="application/json")
